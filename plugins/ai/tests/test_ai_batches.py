"""Many texts at once, by a model: categories and vectors; what one text does costs that text."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hopyard.testing import Hop
from hopyard_ai import AI
from hopyard_ai.content import vectors
from hopyard_ai.tasks import generate_embeddings_batch, search, smart_categorization
from hypothesis import assume, given
from hypothesis import strategies as st
from reading_model import Answerer, ReadingModel, read

Maker = Callable[..., tuple[Hop, ReadingModel]]


@pytest.fixture
def made(tmp_path: Path) -> Iterator[Maker]:
    """Make an installation and its model, which makes vectors as well."""
    opened: list[Any] = []

    def make(answerer: Answerer = read, **embeddings: Any) -> tuple[Hop, ReadingModel]:
        model = ReadingModel(answerer)
        own = {"model": "compatible:letters", "base_url": model.url, "batch": 4, **embeddings}
        settings = {**model.settings}
        settings["plugins.ai.settings"] = settings["plugins.ai.settings"] | {"embeddings": own}
        hop = Hop({"ai": AI}, folder=tmp_path / "hop", settings=settings)
        opened.extend([model, hop])
        return hop, model

    yield make
    for one in reversed(opened):
        one.close()


def sorts(told: str, shown: str) -> Any:
    """Answer with a category for each numbered item: the first of its words that is one."""
    if "Propose" in told:
        return {"categories": ["sea", "garden"]}
    known = re.findall(r"`([^`]+)`", told)
    found = []
    for n, text in re.findall(r"(\d+)\. (.*)", shown):
        fitting = [label for label in known if label in text]
        found.append({"n": int(n), "suggestions": [{"category": f, "confidence": 0.9} for f in fitting]})
    return {"items": found}


def test_many_items_are_sorted_in_few_requests(made: Maker) -> None:
    hop, model = made(sorts)
    texts = [f"number {n} is about the {'sea' if n % 2 else 'garden'}" for n in range(45)]
    found = hop.run(smart_categorization, texts, ["sea", "garden"]).result()
    assert len(model.requests) == 3
    assert [one.suggestions[0].category for one in found.items] == [
        "sea" if n % 2 else "garden" for n in range(45)
    ]


def test_categories_are_learned_from_the_items(made: Maker) -> None:
    hop, model = made(sorts)
    assert hop.run(smart_categorization, ["the sea", "a garden"]).result().categories == ["sea", "garden"]
    assert hop.run(smart_categorization, ["the sea again"]).result().learned
    assert sum("Propose" in str(request) for request in model.requests) == 1


def test_a_category_that_is_none_is_asked_again(made: Maker) -> None:
    answers = iter(["river", "sea"])

    def once_wrong(told: str, shown: str) -> Any:
        return {"items": [{"n": 1, "suggestions": [{"category": next(answers), "confidence": 1}]}]}

    hop, model = made(once_wrong)
    found = hop.run(smart_categorization, ["the sea"], ["sea"]).result()
    assert found.items[0].suggestions[0].category == "sea"
    assert "is none of the categories" in str(model.requests[1])


def test_a_batch_that_the_model_refuses_costs_only_its_items(made: Maker) -> None:
    def refuses(told: str, shown: str) -> Any:
        if "POISON" in shown:
            return 400, {"error": {"message": "I do not read this"}}
        return sorts(told, shown)

    hop, _ = made(refuses)
    texts = ["POISON", *(f"{n} of the sea" for n in range(30))]
    found = hop.run(smart_categorization, texts, ["sea"]).result()
    assert found.failed == 20
    assert "I do not read this" in str(found.items[0].error)
    assert all(one.suggestions for one in found.items[20:])


def test_vectors_are_made_in_batches_and_found_again(made: Maker) -> None:
    hop, model = made()
    found = hop.run(generate_embeddings_batch, ["aaa", "bbb", "abab", "ccc", "zzz"]).result()
    assert (found.embedded, found.dimensions) == (5, 26)
    assert sorted(len(request["input"]) for request in model.requests) == [1, 4]
    assert found.spent.tokens == 14
    hits = hop.run(search, "a").result().hits
    assert [one.text for one in hits] == ["aaa", "abab"]
    assert hits[0].score == pytest.approx(1)


def test_the_one_text_that_the_model_does_not_take_is_found(made: Maker) -> None:
    hop, model = made(batch=64)
    model.refused = {"t13"}
    found = hop.run(generate_embeddings_batch, [f"t{n}" for n in range(30)]).result()
    assert found.stored == 29
    [error] = found.errors.values()
    assert "this model takes no ['t13']" in error


def test_no_text_at_all_is_an_error(made: Maker) -> None:
    hop, model = made()
    model.refused = {"bad"}
    outcome = hop.run(generate_embeddings_batch, ["bad"])
    assert outcome.state == "dead"
    assert "no text could be embedded" in str(outcome.error)


@pytest.mark.parametrize("items", [[], [{"key": "a", "text": "x"}, {"key": "a", "text": "y"}]])
def test_items_that_are_none_or_mean_two_things_are_refused(made: Maker, items: list[Any]) -> None:
    hop, model = made()
    for task in (generate_embeddings_batch, smart_categorization):
        outcome = hop.run(task, items)
        assert (outcome.state, outcome.attempt) == ("dead", 1)
    assert model.requests == []


@given(st.lists(st.floats(-1e6, 1e6, width=32), min_size=1, max_size=50))
def test_a_packed_vector_has_length_one(values: list[float]) -> None:
    assume(any(values))
    vector = vectors.unpacked(vectors.packed(values))
    length = vectors.cosine(vector, vector)
    assert length == pytest.approx(1, abs=1e-3)


@given(st.text(max_size=500), st.text(max_size=500))
def test_a_text_is_nearest_to_itself(one: str, other: str) -> None:
    made = [vectors.lexical(text) for text in (one, other)]
    assume(all(map(any, made)))  # a text without words has no vector
    first, second = (vectors.unpacked(vectors.packed(vector)) for vector in made)
    assert vectors.cosine(first, second) <= vectors.cosine(first, first) + 1e-5
