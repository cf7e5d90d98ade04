"""What is near to a question, out of a collection of embedded texts."""

from __future__ import annotations

import asyncio
import heapq
import json
from array import array
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from hopyard import storage
from hopyard.errors import InvalidInput
from hopyard.storage import Row

from hopyard_ai.agent.answers import UnusableAnswer
from hopyard_ai.content import vectors
from hopyard_ai.content.asking import within_budget
from hopyard_ai.content.embedders import embedder
from hopyard_ai.content.embedding import spend
from hopyard_ai.content.labels import check_labels
from hopyard_ai.content.settings import LEXICAL
from hopyard_ai.content.sizes import LONGEST_RESULT, beginning, size
from hopyard_ai.content.texts import checked
from hopyard_ai.content.values import Hit, Hits
from hopyard_ai.health import settings

if TYPE_CHECKING:
    from hopyard import Job

#: What one look for vectors reads at once.
_PAGE: Final = 1_000
#: A search compares with each vector of a collection: more would take many seconds.
_MOST_SEARCHED: Final = 200_000
_MOST_HITS: Final = 100
#: Of each text so many characters are in a hit, and bytes: a hundred whole ones would be no result of a job.
_SHOWN: Final = 2_000
_SHOWN_BYTES: Final = 6_000
#: What is written around a hit's key, text and meta.
_AROUND_HIT: Final = 120


async def search(job: Job, query: str, collection: str, limit: int) -> Hits:
    """Return the texts of a collection that are nearest to a query.

    Compares with every text of the collection that has a vector of the configured model, of the query's
    length. Raises `InvalidInput` where there is none, and for a query that is empty or too long; as the
    embedder.
    """
    own = settings().embeddings
    query, name = checked(query, own.max_tokens, "query", "embeddings.max_tokens"), own.model
    if not 1 <= limit <= _MOST_HITS:
        raise InvalidInput(f"limit: found {limit}, expected 1 to {_MOST_HITS}")
    check_labels([collection])
    there = await _searchable(collection, name)
    wanted = await _wanted(job, query)
    searched, best, after = 0, list[tuple[float, str]](), ""
    while rows := await _page(collection, name, after):
        scored = await asyncio.to_thread(_scores, rows, wanted)
        best = heapq.nlargest(limit, [*best, *scored])
        searched, after = searched + len(scored), rows[-1]["item"]
    if not searched:
        raise InvalidInput(
            f"the collection {collection} has vectors of another length than {len(wanted)}, which {name} has "
            "now: forget it and embed its texts again"
        )
    return Hits(
        collection=collection,
        model=name,
        lexical=name == LEXICAL,
        searched=searched,
        left_out=there - searched,
        hits=_with_room(await _hits(collection, [one for one in best if one[0] > 0])),
    )


async def _wanted(job: Job, query: str) -> array[float]:
    """Return the query's vector."""
    name = settings().embeddings.model
    if name != LEXICAL:
        await within_budget(job)
    made = await embedder().embed([query], query=True)
    async with storage.transaction() as tx:
        await spend(tx, job, name, made)
    if made.wrong:
        raise UnusableAnswer(made.wrong)
    try:
        return vectors.unpacked(vectors.packed(made.vectors[0]))
    except InvalidInput as error:
        raise InvalidInput(f"the query: {error}") from error


async def _searchable(collection: str, model: str) -> int:
    """Return how many texts a collection has. Raises `InvalidInput` where none is of this model."""
    rows = await storage.fetch(
        "SELECT model, count(*) AS n FROM ai_embedding WHERE collection = $1 GROUP BY model", collection
    )
    counted = {row["model"]: int(row["n"]) for row in rows}
    if not counted.get(model):
        others = f"; it has texts of {', '.join(sorted(counted))}: embed them again" if counted else ""
        raise InvalidInput(f"the collection {collection[:80]} has no texts embedded by {model}{others}")
    if counted[model] > _MOST_SEARCHED:
        raise InvalidInput(
            f"the collection {collection[:80]} has {counted[model]:,} texts, expected at most "
            f"{_MOST_SEARCHED:,} for a search"
        )
    return sum(counted.values())


async def _page(collection: str, model: str, after: str) -> Sequence[Row]:
    return await storage.fetch(
        "SELECT e.item, v.vector FROM ai_embedding e "
        "JOIN ai_vector v ON v.model = e.model AND v.hash = e.hash "
        f"WHERE e.collection = $1 AND e.model = $2 AND e.item > $3 ORDER BY e.item LIMIT {_PAGE}",
        collection,
        model,
        after,
    )


def _scores(rows: Sequence[Row], wanted: array[float]) -> list[tuple[float, str]]:
    found = [(vectors.unpacked(row["vector"]), row["item"]) for row in rows]
    # A provider may have changed the length of a model's vectors: others cannot be compared.
    return [(vectors.cosine(one, wanted), item) for one, item in found if len(one) == len(wanted)]


async def _hits(collection: str, best: Sequence[tuple[float, str]]) -> list[Hit]:
    rows = await storage.fetch(
        "SELECT item, text, meta FROM ai_embedding WHERE collection = $1 "
        f"AND item {storage.sql().texts('$2')}",
        collection,
        storage.listed(item for _, item in best),
    )
    found = {row["item"]: row for row in rows}
    return [
        Hit(
            key=item,
            score=round(min(score, 1.0), 6),
            text=beginning(found[item]["text"][:_SHOWN], _SHOWN_BYTES),
            meta=json.loads(found[item]["meta"]),
        )
        for score, item in best
        if item in found
    ]


def _with_room(hits: Sequence[Hit]) -> list[Hit]:
    """Return hits that are a job's result together: for the meta of the last ones there may be no room."""
    room = LONGEST_RESULT - sum(_AROUND_HIT + size(hit.key) + size(hit.text) for hit in hits)
    fitting = list[Hit]()
    for hit in hits:
        own = size(hit.meta)
        fits = own <= room
        room -= own if fits else 0
        fitting.append(hit if fits else hit.model_copy(update={"meta": {}, "meta_left_out": True}))
    return fitting
