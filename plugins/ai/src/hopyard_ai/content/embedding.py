"""Texts with vectors, in collections: embedded once, found by what is near to a question."""

from __future__ import annotations

import asyncio
import heapq
import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

from hopyard import storage
from hopyard.errors import InvalidInput, TransientError
from hopyard.storage import Row

from hopyard_ai.content import spending, vectors
from hopyard_ai.content.asking import each, standing_in_line
from hopyard_ai.content.embedders import Made, embedder
from hopyard_ai.content.items import digest, named
from hopyard_ai.content.labels import check_labels
from hopyard_ai.content.settings import LEXICAL
from hopyard_ai.content.texts import tokens
from hopyard_ai.content.values import Embedded, Hit, Hits, Item, Spent
from hopyard_ai.health import settings

if TYPE_CHECKING:
    from hopyard import Job

#: What one look for vectors reads at once.
_PAGE: Final = 1_000
#: A search compares with each vector of a collection: more would take many seconds.
_MOST_SEARCHED: Final = 200_000
_MOST_HITS: Final = 100
#: A vector that was made or used within so many seconds is not removed: a job may be about to use it.
_SPARED: Final = 3_600
_LONGEST_META: Final = 10_000


async def embed_all(job: Job, items: Sequence[str | Item], collection: str) -> Embedded:
    """Give texts vectors and keep both in a collection; what it has under the same key is replaced.

    A text that has a vector of this model already, here or elsewhere, is not embedded again. One that the
    model does not take has its own error. Raises `InvalidInput`, and as the embedder where no text was taken.
    """
    check_labels([collection])
    todo, name = named(items), settings().embeddings.model
    fine, errors = _sound(todo)
    by_hash = {digest(item.text): item.text for item in fine}
    standing = await _standing(collection, name, fine)
    known = await _known(name, [*by_hash])
    missing = {hash_: text for hash_, text in by_hash.items() if hash_ not in known}
    async with standing_in_line(job):
        failed = await _embed(job, missing)
    kept = [item for item in fine if digest(item.text) not in failed]
    errors |= {item.key: failed[digest(item.text)] for item in fine if digest(item.text) in failed}
    new = [item for item in kept if item.key not in standing]
    await _store(collection, name, new)
    requests, used, cost = await spending.of_job(job.id)
    return Embedded(
        collection=collection,
        model=name,
        dimensions=await _dimensions(name, kept),
        stored=len(new),
        unchanged=len(kept) - len(new),
        reused=sum(digest(item.text) in known for item in new),
        embedded=len(missing) - len(failed),
        errors=errors,
        spent=Spent(model=name, requests=requests, tokens=used, cost=cost, offline=name == LEXICAL),
    )


def _sound(items: Sequence[Item]) -> tuple[list[Item], dict[str, str]]:
    """Return the items that can be embedded, and why the others cannot, by key."""
    most, fine, errors = settings().embeddings.max_tokens, list[Item](), dict[str, str]()
    for item in items:
        if not item.text.strip():
            errors[item.key] = "the text is empty"
        elif (found := tokens(item.text)) > most:
            errors[item.key] = f"the text has about {found:,} tokens, expected at most {most:,}"
        elif len(json.dumps(item.meta)) > _LONGEST_META:
            errors[item.key] = f"its meta is longer than {_LONGEST_META:,} characters"
        else:
            fine.append(item)
    return fine, errors


async def _embed(job: Job, missing: dict[str, str]) -> dict[str, str]:
    """Make and keep the vectors of texts by hash; return why some have none. Raises where none has one."""
    own, failed = settings().embeddings, dict[str, str]()
    hashes = [*missing]
    batches = [hashes[n : n + own.batch] for n in range(0, len(hashes), own.batch)]

    async def work(batch: list[str]) -> None:
        try:
            await _keep_vectors(
                job, own.model, batch, await embedder().embed([missing[one] for one in batch])
            )
        except InvalidInput as error:  # for one text of them: it is found by halves
            if len(batch) == 1:
                failed[batch[0]] = str(error)
                return
            half = len(batch) // 2
            await work(batch[:half])
            await work(batch[half:])
        except TransientError as error:
            if job.will_retry(error):
                raise
            failed.update(dict.fromkeys(batch, str(error)))

    await each(work, batches, job, "batches embedded:")
    if failed and len(failed) == len(hashes):
        raise InvalidInput(f"no text could be embedded: {next(iter(failed.values()))}")
    return failed


async def _keep_vectors(job: Job, model: str, hashes: Sequence[str], made: Made) -> None:
    rows = [
        (model, hash_, vectors.packed(vector)) for hash_, vector in zip(hashes, made.vectors, strict=True)
    ]
    prices = settings().prices
    async with storage.transaction() as tx:
        await tx.execute_many(
            f"INSERT INTO ai_vector (model, hash, vector, created) VALUES ($1, $2, $3, {tx.sql.now}) "
            "ON CONFLICT DO NOTHING",
            rows,
        )
        if made.requests:
            cost = spending.cost_of(prices, model, made.tokens, 0, made.cost)
            await spending.add(tx, job, model, requests=made.requests, tokens=made.tokens, cost=cost)


async def _known(model: str, hashes: Sequence[str]) -> set[str]:
    rows = await storage.fetch(
        f"SELECT hash FROM ai_vector WHERE model = $1 AND hash {storage.sql().texts('$2')}",
        model,
        storage.listed(hashes),
    )
    return {row["hash"] for row in rows}


async def _standing(collection: str, model: str, items: Sequence[Item]) -> set[str]:
    """Return the keys under which the collection has the same text, meta and model already."""
    rows = await storage.fetch(
        "SELECT e.item, e.hash, e.meta FROM ai_embedding e "
        "JOIN ai_vector v ON v.model = e.model AND v.hash = e.hash "
        f"WHERE e.collection = $1 AND e.model = $2 AND e.item {storage.sql().texts('$3')}",
        collection,
        model,
        storage.listed(item.key for item in items),
    )
    there = {row["item"]: (row["hash"], row["meta"]) for row in rows}
    return {item.key for item in items if there.get(item.key) == (digest(item.text), json.dumps(item.meta))}


async def _store(collection: str, model: str, items: Sequence[Item]) -> None:
    hashes = {digest(item.text) for item in items}
    async with storage.transaction() as tx:
        # Whoever removes unused vectors leaves those that were touched of late.
        there = await tx.execute(
            f"UPDATE ai_vector SET created = {tx.sql.now} WHERE model = $1 AND hash {tx.sql.texts('$2')}",
            model,
            storage.listed(hashes),
        )
        if there != len(hashes):
            raise TransientError("vectors were removed meanwhile: the texts are embedded again")
        await tx.execute_many(
            "INSERT INTO ai_embedding (collection, item, model, hash, text, meta, at) "
            f"VALUES ($1, $2, $3, $4, $5, $6, {tx.sql.now}) ON CONFLICT (collection, item) DO UPDATE SET "
            "model = excluded.model, hash = excluded.hash, text = excluded.text, meta = excluded.meta, "
            "at = excluded.at",
            [
                (collection, item.key, model, digest(item.text), item.text, json.dumps(item.meta))
                for item in items
            ],
        )


async def _dimensions(model: str, items: Sequence[Item]) -> int:
    if not items:
        return 0
    rows = await storage.fetch(
        "SELECT vector FROM ai_vector WHERE model = $1 AND hash = $2", model, digest(items[0].text)
    )
    return len(vectors.unpacked(rows[0]["vector"])) if rows else 0


async def search(job: Job, query: str, collection: str, limit: int) -> Hits:
    """Return the texts of a collection that are nearest to a query.

    Compares with every text of the collection that has a vector of the configured model. Raises
    `InvalidInput` where there is none, and for an empty query; as the embedder.
    """
    if not query.strip() or not 1 <= limit <= _MOST_HITS:
        raise InvalidInput(f"expected a query, and 1 to {_MOST_HITS} hits")
    name = settings().embeddings.model
    await _check_searchable(collection, name)
    made = await embedder().embed([query], query=True)
    wanted = vectors.unpacked(vectors.packed(made.vectors[0]))
    if made.requests:
        async with storage.transaction() as tx:
            cost = spending.cost_of(settings().prices, name, made.tokens, 0, made.cost)
            await spending.add(tx, job, name, requests=1, tokens=made.tokens, cost=cost)
    searched, best, after = 0, list[tuple[float, str]](), ""
    while rows := await _page(collection, name, after):
        scored = await asyncio.to_thread(_scores, rows, wanted)
        best = heapq.nlargest(limit, [*best, *scored])
        searched, after = searched + len(rows), rows[-1]["item"]
    return Hits(
        collection=collection,
        model=name,
        lexical=name == LEXICAL,
        searched=searched,
        hits=await _hits(collection, [one for one in best if one[0] > 0]),
    )


async def _check_searchable(collection: str, model: str) -> None:
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


async def _page(collection: str, model: str, after: str) -> Sequence[Row]:
    return await storage.fetch(
        "SELECT e.item, v.vector FROM ai_embedding e "
        "JOIN ai_vector v ON v.model = e.model AND v.hash = e.hash "
        f"WHERE e.collection = $1 AND e.model = $2 AND e.item > $3 ORDER BY e.item LIMIT {_PAGE}",
        collection,
        model,
        after,
    )


def _scores(rows: Sequence[Row], wanted: Any) -> list[tuple[float, str]]:
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
            text=found[item]["text"],
            meta=json.loads(found[item]["meta"]),
        )
        for score, item in best
        if item in found
    ]


async def collections() -> list[dict[str, Any]]:
    """Return each collection with its model and how many texts it has."""
    rows = await storage.fetch(
        "SELECT collection, model, count(*) AS texts FROM ai_embedding GROUP BY collection, model "
        "ORDER BY collection, model"
    )
    return [{"collection": r["collection"], "model": r["model"], "texts": int(r["texts"])} for r in rows]


async def forget(collection: str) -> int:
    """Remove a collection, and vectors that no other one uses; return how many texts went.

    Raises `InvalidInput` where there is none.
    """
    async with storage.transaction() as tx:
        gone = await tx.execute("DELETE FROM ai_embedding WHERE collection = $1", collection)
        if not gone:
            raise InvalidInput(
                f"there is no collection {collection[:80]}: `hopyard ai collections` shows them"
            )
        await tx.execute(
            "DELETE FROM ai_vector WHERE NOT EXISTS (SELECT 1 FROM ai_embedding e "
            "WHERE e.model = ai_vector.model AND e.hash = ai_vector.hash) "
            f"AND created < {tx.sql.minus(tx.sql.now, str(_SPARED))}"
        )
    return gone
