"""A text summarized by a real engine with a small model."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from hopyard.testing import Hop
from hopyard_ai import AI
from hopyard_ai.tasks import process_with_llm
from llama import running_llama

LETTER = "Dear Ada, the hops are ripe and will be picked on Monday. The drying house is ready. Yours, Bob."


@pytest.fixture(scope="module")
def engine() -> Iterator[str]:
    with running_llama() as url:
        yield url


@pytest.fixture
def hop(engine: str, tmp_path: Path) -> Iterator[Hop]:
    settings = {"model": "compatible:smollm2", "base_url": engine, "api_key": "none", "timeout": 100}
    with Hop({"ai": AI}, folder=tmp_path, settings={"plugins.ai.settings": settings}) as made:
        yield made


def test_a_text_is_summarized(hop: Hop) -> None:
    outcome = hop.run(process_with_llm, LETTER)
    found = outcome.result()
    assert found.text.strip()
    assert found.spent.tokens > 50
    assert not found.spent.offline
