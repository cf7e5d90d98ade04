"""Texts read and embedded by a server that nobody here wrote, with 429 answers mixed in."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hopyard.testing import Hop
from hopyard_ai import AI
from hopyard_ai.tasks import analyze_content, generate_embeddings_batch, search
from outside_llm import OutsideLLM, running_outside_llm

TEXT = "The hops are picked in August. They are dried at once."


def settings(llm: OutsideLLM) -> dict[str, Any]:
    own = {"model": "compatible:gpt-outside", "base_url": llm.url, "api_key": "outside"}
    embeddings = {"model": "compatible:text-outside", "base_url": llm.url, "batch": 3}
    return {"plugins.ai.settings": own | {"embeddings": embeddings}}


@pytest.mark.parametrize("rate_limited", [0.0, 0.2])
def test_a_text_is_read_and_texts_are_found(tmp_path: Path, rate_limited: float) -> None:
    texts = [f"text number {n}" for n in range(8)]
    with (
        running_outside_llm(rate_limited) as llm,
        Hop({"ai": AI}, folder=tmp_path, settings=settings(llm)) as hop,
    ):
        found = hop.run(analyze_content, TEXT).result()
        assert found.summary == "The hops are picked in August."
        assert found.spent.tokens > 0
        assert hop.run(generate_embeddings_batch, texts).result().embedded == 8
        [best] = hop.run(search, "text number 5", limit=1).result().hits
        assert best.text == "text number 5"
        assert best.score == pytest.approx(1, abs=1e-4)
