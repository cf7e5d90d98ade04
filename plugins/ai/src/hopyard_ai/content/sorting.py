"""Category suggestions for many items at once, by a taxonomy that is given, kept, or learned."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from hopyard import storage
from hopyard.errors import InvalidInput, TaskError, TransientError
from hopyard.storage import Transaction
from pydantic import BaseModel, Field

from hopyard_ai.agent.providers import Unable
from hopyard_ai.content import extracting
from hopyard_ai.content.asking import Asker, each, offline_spent, standing_in_line
from hopyard_ai.content.combining import NO_ORDER
from hopyard_ai.content.items import named
from hopyard_ai.content.labels import check_labels, quoted
from hopyard_ai.content.sizes import LONGEST_RESULT, beginning, size
from hopyard_ai.content.texts import framed, tokens
from hopyard_ai.content.values import Item, Sorted, Sorting, Suggestion
from hopyard_ai.health import settings

if TYPE_CHECKING:
    from hopyard import Job

#: Of each item so many characters are shown to the model: enough to know what it is about.
_SHOWN: Final = 4_000
_SAMPLE: Final = 60
_SAMPLE_SHOWN: Final = 400
_BATCH: Final = 20
_MOST_LEARNED: Final = 12
#: In bytes of the job's result: what is written around an item and a suggestion in it, and an error.
_AROUND_ITEM: Final = 50
_AROUND_SUGGESTION: Final = 60
_LONGEST_ERROR: Final = 200
#: They are made of foreign texts and shown with each later question: a name has room, an order has not.
_LONGEST_LEARNED: Final = 40
_SORT: Final = (
    "Numbered items follow. For each say which categories fit, at most {most}, the best first, with how sure "
    f"you are from 0 to 1; none where none fits. The categories: {{categories}}. {NO_ORDER}"
)
_LEARN: Final = (
    "Numbered items follow. Propose at most {most} categories, each of one to three words, by which a person "
    f"would sort such items; together they should cover most of them, with little overlap. {NO_ORDER}"
)


class _Choice(BaseModel):
    n: int = Field(description="The item's number.")
    suggestions: list[Suggestion]


class _Choices(BaseModel):
    """The categories that fit each item."""

    items: list[_Choice]


class _Proposed(BaseModel):
    """Categories by which such items can be sorted."""

    categories: list[str]


@dataclass(frozen=True, slots=True)
class _Taxonomy:
    name: str
    categories: list[str]
    learned: bool
    kept: bool = False
    """It is in the database already."""


async def sorting_of(
    job: Job,
    items: Sequence[str | Item],
    categories: Sequence[str],
    taxonomy: str,
    suggestions: int,
    fresh: bool,
) -> Sorting:
    """Return suggestions for all items, and keep them. An item that cannot be sorted has its own error.

    `categories` become the taxonomy; without them the one that is kept under its name is used, or learned.
    Raises `InvalidInput` for wrong items, labels and names; as `Asker.ask` where no item could be sorted.
    """
    todo = named(items)
    if not 1 <= suggestions <= 20:
        raise InvalidInput(f"suggestions: found {suggestions}, expected 1 to 20")
    check_labels([taxonomy])
    if categories:
        check_labels(categories)
    asker = Asker(job, fresh=fresh)
    async with standing_in_line(job):
        known = await _taxonomy(asker, taxonomy, categories, todo)
        _check_size(todo, known.categories, suggestions)
        found = await _sorted(asker, job, known, todo, suggestions)
    await _keep(job, known, found)
    return Sorting(
        taxonomy=known.name,
        categories=known.categories,
        learned=known.learned,
        items=found,
        failed=sum(one.error is not None for one in found),
        spent=offline_spent() if settings().offline else await asker.spent(),
    )


def _check_size(items: Sequence[Item], categories: Sequence[str], most: int) -> None:
    """Raise `InvalidInput` where the answers would be no result of a job, before they are paid for.

    Of each item they are suggestions, or the error in their place: a model may fail at all but one batch.
    """
    longest = sorted(map(size, categories), reverse=True)[:most]
    suggested = sum(_AROUND_SUGGESTION + one for one in longest)
    own = _AROUND_ITEM + max(suggested, 0 if settings().offline else _LONGEST_ERROR)
    found = sum(size(item.key) + own for item in items) + size([*categories])
    if found > LONGEST_RESULT:
        raise InvalidInput(
            f"the suggestions for {len(items):,} items, or the errors in their place, may have {found:,} "
            f"bytes, expected at most {LONGEST_RESULT:,}: give fewer items at once"
            + (f", or ask for fewer `suggestions` than {most}" if suggested > _LONGEST_ERROR else "")
        )


async def _taxonomy(asker: Asker, name: str, given: Sequence[str], items: Sequence[Item]) -> _Taxonomy:
    if given:
        return _Taxonomy(name, [*given], False)
    rows = await storage.fetch(
        "SELECT category, learned FROM ai_category WHERE taxonomy = $1 ORDER BY place", name
    )
    if rows:
        return _Taxonomy(name, [row["category"] for row in rows], bool(rows[0]["learned"]), True)
    return _Taxonomy(name, await _learned(asker, items), True)


async def _learned(asker: Asker, items: Sequence[Item]) -> list[str]:
    if settings().offline:
        found = extracting.keywords("\n".join(item.text[:_SHOWN] for item in items), _MOST_LEARNED)
        if not found:
            raise InvalidInput("no categories can be learned: the items have no words; give `categories`")
        return found
    step = max(1, len(items) // _SAMPLE)
    sample = [item.text[:_SAMPLE_SHOWN] for item in items[::step]][:_SAMPLE]

    def wrong(found: _Proposed) -> str | None:
        try:
            check_labels(found.categories, longest=_LONGEST_LEARNED)
        except InvalidInput as error:
            return str(error)
        return None if len(found.categories) <= _MOST_LEARNED else f"at most {_MOST_LEARNED} categories"

    told = _LEARN.format(most=_MOST_LEARNED)
    return (await asker.ask(_Proposed, _numbered(sample), instructions=told, check=wrong)).categories


async def _sorted(asker: Asker, job: Job, known: _Taxonomy, items: Sequence[Item], most: int) -> list[Sorted]:
    if settings().offline:
        return [_by_words(item, known, most) for item in items]
    batches, errors = _batches(items), list[TaskError]()

    async def work(batch: list[Item]) -> list[Sorted]:
        try:
            return await _batch(asker, known, batch, most)
        except Unable:  # costs each batch the same
            raise
        except (InvalidInput, TransientError) as error:  # costs this batch, not the others
            if job.will_retry(error):
                raise
            errors.append(error)
            told = beginning(str(error), _LONGEST_ERROR)
            return [Sorted(key=item.key, suggestions=[], error=told) for item in batch]

    found = await each(work, batches, job, "batches sorted:")
    if len(errors) == len(batches):
        raise errors[0]
    return [one for batch in found for one in batch]


async def _batch(asker: Asker, known: _Taxonomy, batch: Sequence[Item], most: int) -> list[Sorted]:
    def wrong(found: _Choices) -> str | None:
        numbers = sorted(choice.n for choice in found.items)
        if numbers != [*range(1, len(batch) + 1)]:
            return f"expected each item once, by its number from 1 to {len(batch)}, found {numbers[:50]}"
        others = {s.category for choice in found.items for s in choice.suggestions} - {*known.categories}
        return f"{min(others)[:60]!r} is none of the categories" if others else None

    told = _SORT.format(most=most, categories=quoted(known.categories))
    shown = _numbered([item.text[:_SHOWN] for item in batch])
    answer = await asker.ask(_Choices, shown, instructions=told, check=wrong)
    by_number = {choice.n: choice.suggestions for choice in answer.items}
    return [Sorted(key=item.key, suggestions=_best(by_number[n], most)) for n, item in enumerate(batch, 1)]


def _best(suggestions: Sequence[Suggestion], most: int) -> list[Suggestion]:
    once = {one.category: one for one in sorted(suggestions, key=lambda one: one.confidence)}
    return sorted(once.values(), key=lambda one: -one.confidence)[:most]


def _by_words(item: Item, known: _Taxonomy, most: int) -> Sorted:
    fitting = extracting.fitting(item.text[:_SHOWN], known.categories, most)
    return Sorted(
        key=item.key, suggestions=[Suggestion(category=label, confidence=share) for label, share in fitting]
    )


def _numbered(texts: Sequence[str]) -> str:
    return "\n".join(framed(f"{n}. {text}", "item") for n, text in enumerate(texts, 1))


def _batches(items: Sequence[Item]) -> list[list[Item]]:
    """Return the items in batches that a model is shown at once."""
    most, found, size = settings().content.part_tokens, list[list[Item]](), 0
    for item in items:
        own = tokens(item.text[:_SHOWN])
        if not found or len(found[-1]) == _BATCH or size + own > most:
            found.append([])
            size = 0
        found[-1].append(item)
        size += own
    return found


async def _keep(job: Job, known: _Taxonomy, found: Sequence[Sorted]) -> None:
    sorted_ = [one for one in found if one.error is None]
    async with storage.transaction() as tx:
        if not known.kept:
            await _keep_taxonomy(tx, known)
        await tx.execute(
            f"DELETE FROM ai_sorted WHERE taxonomy = $1 AND item {tx.sql.texts('$2')}",
            known.name,
            storage.listed(one.key for one in sorted_),
        )
        await tx.execute_many(
            "INSERT INTO ai_sorted (taxonomy, item, category, confidence, job_id, at) "
            f"VALUES ($1, $2, $3, $4, $5, {tx.sql.now}) ON CONFLICT DO NOTHING",
            [
                (known.name, one.key, suggested.category, suggested.confidence, job.id)
                for one in sorted_
                for suggested in one.suggestions
            ],
        )


async def _keep_taxonomy(tx: Transaction, known: _Taxonomy) -> None:
    await tx.execute("DELETE FROM ai_category WHERE taxonomy = $1", known.name)
    await tx.execute_many(
        "INSERT INTO ai_category (taxonomy, category, place, learned, created) "
        f"VALUES ($1, $2, $3, $4, {tx.sql.now}) ON CONFLICT DO NOTHING",
        [(known.name, category, n, known.learned) for n, category in enumerate(known.categories)],
    )


async def overview() -> list[dict[str, object]]:
    """Return by taxonomy and category how many items have it as a suggestion."""
    rows = await storage.fetch(
        "SELECT c.taxonomy, c.category, c.learned, count(s.item) AS items FROM ai_category c "
        "LEFT JOIN ai_sorted s ON s.taxonomy = c.taxonomy AND s.category = c.category "
        "GROUP BY c.taxonomy, c.category, c.learned, c.place ORDER BY c.taxonomy, c.place"
    )
    return [
        {
            "taxonomy": row["taxonomy"],
            "category": row["category"],
            "learned": bool(row["learned"]),
            "items": int(row["items"]),
        }
        for row in rows
    ]


async def forget(taxonomy: str) -> None:
    """Remove a taxonomy with all suggestions, so that the next job learns it anew. Raises `InvalidInput`."""
    async with storage.transaction() as tx:
        if not await tx.execute("DELETE FROM ai_category WHERE taxonomy = $1", taxonomy):
            raise InvalidInput(f"there is no taxonomy {taxonomy[:80]}: `hopyard ai categories` shows them")
        await tx.execute("DELETE FROM ai_sorted WHERE taxonomy = $1", taxonomy)
