"""What is kept of texts, on both databases: answers, costs, templates, categories, vectors."""

from __future__ import annotations

from typing import Any

import pytest
from hopyard import Hopyard, storage
from hopyard.errors import InvalidInput
from hopyard.storage import new_id
from hopyard_ai.content import asking, embedding, sorting, spending, templates
from hopyard_ai.content.combining import Answer
from hopyard_ai.tasks import generate_embeddings_batch, search, smart_categorization

BOOKS = {
    "whale": "A captain hunts a white whale across the sea",
    "ship": "A ship sails the sea in a storm",
    "hops": "Hops grow on high poles and are picked in late summer",
}


class OneJob:
    """What spending is told of a job."""

    def __init__(self, person: str | None = None) -> None:
        self.id, self.task, self.person = str(new_id()), "ai.analyze_content", person


async def run(floor: Any, task: Any, **arguments: Any) -> Any:
    """Run a job; return its result. Raises what it failed with, as `InvalidInput`."""
    handle = await task.submit(**arguments)
    await floor.run(handle.id)
    return await handle.result(timeout=5)


def items(**texts: str) -> list[dict[str, str]]:
    return [{"key": key, "text": text} for key, text in texts.items()]


async def spend(job: Any, tokens: int, cost: float | None, model: str = "m") -> None:
    async with storage.transaction() as tx:
        await spending.add(tx, job, model, requests=1, tokens=tokens, cost=cost)


async def test_what_a_job_spends_adds_up(hopyard: Hopyard) -> None:
    job, other = OneJob(), OneJob("alice")
    await spend(job, 10, None)
    await spend(job, 5, 0.25)
    await spend(job, 1, None, "spare")
    await spend(other, 100, 1.0)
    assert await spending.of_job(job.id) == (3, 16, 0.25)
    assert await spending.of_job(str(new_id())) == (0, 0, None)
    [first, spare] = await spending.overview(1)
    assert (first["jobs"], first["requests"], first["tokens"], first["cost"]) == (2, 3, 115, 1.25)
    assert spare["cost"] is None


async def test_what_texts_cost_counts_for_a_persons_day(hopyard: Hopyard) -> None:
    from datetime import timedelta

    from hopyard_ai import store

    await spend(OneJob("alice"), 100, 1.5)
    since = storage.utcnow() - timedelta(hours=1)
    assert await store.spent("alice", since) == (0, 100, 1.5)
    assert await store.spent("bob", since) == (0, 0, 0.0)
    assert await store.spent("alice", storage.utcnow() + timedelta(hours=1)) == (0, 0, 0.0)


async def test_answers_are_kept_for_so_many_days(hopyard: Hopyard) -> None:
    await asking._keep("k", Answer(text="old"))
    await asking._keep("k", Answer(text="new"))
    assert await asking._kept(Answer, "k") == Answer(text="new")
    assert await asking._kept(templates.PromptTemplate, "k") is None
    assert await asking.forget(1) == 0
    assert await asking.forget(-1) == 1
    assert await asking._kept(Answer, "k") is None


async def test_each_change_of_a_template_is_a_version(hopyard: Hopyard) -> None:
    first = await templates.put("weekly", "Report on $topic for $who, at most $$5.", "the week")
    assert (first.version, first.variables) == (1, ["topic", "who"])
    assert (await templates.put("weekly", first.text)).version == 1
    assert (await templates.put("weekly", "Report on $topic.")).version == 2
    assert (await templates.get("weekly")).variables == ["topic"]
    old = await templates.get("weekly@1")
    assert templates.filled(old, {"topic": "hops", "who": "Ada"}) == "Report on hops for Ada, at most $5."
    assert [one.version for one in await templates.newest()] == [2]
    await templates.withdraw("weekly")
    with pytest.raises(InvalidInput, match="there is no template weekly: known are none"):
        await templates.get("weekly")
    assert (await templates.put("weekly", "Report on $topic.")).version == 3


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({}, "missing topic"),
        ({"topic": "a", "b": "c"}, "unknown b"),
        ({"topic": "x" * 3000}, "at most 2,000"),
    ],
)
def test_wrong_variables_are_refused(values: dict[str, str], words: str) -> None:
    now = storage.utcnow()
    template = templates.PromptTemplate(
        name="one", version=1, text="On $topic.", about="", variables=["topic"], created=now
    )
    with pytest.raises(InvalidInput, match=words):
        templates.filled(template, values)


@pytest.mark.parametrize("text", ["", " ", "costs $5", "a $", "${a", "x" * 20_001])
async def test_what_is_no_template_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput, match="a template: "):
        await templates.put("bad", text)


@pytest.mark.parametrize("name", ["", "A", "a b", "a@1", "../a"])
async def test_a_template_has_a_plain_name(name: str) -> None:
    with pytest.raises(InvalidInput, match="expected a name"):
        await templates.put(name, "text")


async def test_items_are_sorted_by_given_categories_and_kept(hopyard: Hopyard, floor: Any) -> None:
    made = await run(floor, smart_categorization, items=items(**BOOKS), categories=["sea", "hops", "music"])
    assert {one.key: [s.category for s in one.suggestions] for one in made.items} == {
        "whale": ["sea"],
        "ship": ["sea"],
        "hops": ["hops"],
    }
    assert (made.learned, made.failed, made.spent.offline) == (False, 0, True)
    counted = {one["category"]: one["items"] for one in await sorting.overview()}
    assert counted == {"sea": 2, "hops": 1, "music": 0}


async def test_a_taxonomy_is_learned_once_and_used_from_then_on(hopyard: Hopyard, floor: Any) -> None:
    first = await run(floor, smart_categorization, items=items(**BOOKS), taxonomy="books")
    assert first.learned
    assert "sea" in first.categories
    again = await run(floor, smart_categorization, items=["The sea"], taxonomy="books")
    assert again.categories == first.categories
    assert again.learned
    await sorting.forget("books")
    assert await sorting.overview() == []
    with pytest.raises(InvalidInput):
        await sorting.forget("books")


async def test_sorting_an_item_again_replaces_its_suggestions(hopyard: Hopyard, floor: Any) -> None:
    for text in ("the sea", "the hops"):
        await run(floor, smart_categorization, items=items(a=text), categories=["sea", "hops"])
    rows = await storage.fetch("SELECT item, category FROM ai_sorted")
    assert [(row["item"], row["category"]) for row in rows] == [("a", "hops")]


async def test_each_text_is_embedded_once(hopyard: Hopyard, floor: Any) -> None:
    first = await run(floor, generate_embeddings_batch, items=[*items(**BOOKS), *items(twin=BOOKS["ship"])])
    assert (first.stored, first.embedded, first.unchanged, first.reused) == (4, 3, 0, 0)
    again = await run(floor, generate_embeddings_batch, items=items(**BOOKS))
    assert (again.stored, again.embedded, again.unchanged) == (0, 0, 3)
    other = await run(floor, generate_embeddings_batch, items=items(ship=BOOKS["ship"]), collection="other")
    assert (other.stored, other.embedded, other.reused) == (1, 0, 1)
    changed = await run(floor, generate_embeddings_batch, items=items(ship="A boat"))
    assert (changed.stored, changed.embedded) == (1, 1)
    found = [(one["collection"], one["texts"]) for one in await embedding.collections()]
    assert found == [("default", 4), ("other", 1)]


async def test_a_text_that_cannot_be_embedded_costs_only_itself(hopyard: Hopyard, floor: Any) -> None:
    bad = [{"key": "empty", "text": " "}, {"key": "long", "text": "word " * 10_000}]
    made = await run(floor, generate_embeddings_batch, items=[*bad, *items(**BOOKS)])
    assert made.stored == 3
    assert made.errors["empty"] == "the text is empty"
    assert "expected at most 8,000" in made.errors["long"]


async def test_the_nearest_texts_are_found(hopyard: Hopyard, floor: Any) -> None:
    given = [{"key": key, "text": text, "meta": {"shelf": key}} for key, text in BOOKS.items()]
    await run(floor, generate_embeddings_batch, items=given)
    found = await run(floor, search, query="sailing a ship in a storm", limit=2)
    assert found.hits[0].key == "ship"
    assert found.hits[0].meta == {"shelf": "ship"}
    assert found.hits[0].score > found.hits[1].score
    assert (found.lexical, found.searched) == (True, 3)


async def test_a_collection_without_vectors_of_this_model_is_refused(hopyard: Hopyard, floor: Any) -> None:
    handle = await search.submit(query="ship", collection="none")
    await floor.run(handle.id)
    assert "has no texts embedded by local:lexical" in (await floor.error(handle.id))["message"]


async def test_a_collection_is_forgotten_and_others_keep_their_vectors(hopyard: Hopyard, floor: Any) -> None:
    await run(floor, generate_embeddings_batch, items=items(**BOOKS))
    await run(floor, generate_embeddings_batch, items=items(ship=BOOKS["ship"]), collection="other")
    words = storage.sql()
    await storage.execute(f"UPDATE ai_vector SET created = {words.minus(words.now, '7200')}")
    assert await embedding.forget("default") == 3
    assert (await run(floor, search, query="ship", collection="other")).hits[0].key == "ship"
    assert len(await storage.fetch("SELECT hash FROM ai_vector")) == 1
    with pytest.raises(InvalidInput):
        await embedding.forget("default")
