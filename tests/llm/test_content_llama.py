"""Texts read by a real engine with a model so small that what it says is often wrong: never its form."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from hopyard.testing import Hop
from hopyard_ai import AI
from hopyard_ai.tasks import process_with_llm, smart_categorization
from llama import running_llama

pytestmark = pytest.mark.timeout(400)
LETTER = "Dear Ada, the hops are ripe and will be picked on Monday. The drying house is ready. Yours, Bob."


@pytest.fixture(scope="module")
def engine() -> Iterator[str]:
    with running_llama() as url:
        yield url


@pytest.fixture
def hop(engine: str, tmp_path: Path) -> Iterator[Hop]:
    settings = {"model": "compatible:smollm2", "base_url": engine, "api_key": "none", "timeout": 100}
    # On two busy processors each of its answers takes many seconds.
    with Hop({"ai": AI}, folder=tmp_path, settings={"plugins.ai.settings": settings}, within=300) as made:
        yield made


def test_a_text_is_summarized(hop: Hop) -> None:
    outcome = hop.run(process_with_llm, LETTER)
    found = outcome.result()
    assert found.text.strip()
    assert found.spent.tokens > 50
    assert not found.spent.offline


def test_items_get_categories_that_exist_or_the_job_says_why_not(hop: Hop) -> None:
    labels = ["harvest", "music"]
    outcome = hop.run(smart_categorization, [LETTER, "The band plays a song tonight."], labels)
    if outcome.state == "dead":
        assert outcome.attempt == 3
        assert "a larger model may do it" in str(outcome.error)
        return
    for item in outcome.result().items:
        assert {one.category for one in item.suggestions} <= {*labels}
