"""Texts with vectors, in collections: embedded once, found by what is near to a question."""

from __future__ import annotations

import json
from collections.abc import Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any, Final

from hopyard import storage
from hopyard.errors import InvalidInput, TransientError
from hopyard.storage import Transaction

from hopyard_ai.agent.answers import UnusableAnswer
from hopyard_ai.agent.providers import Unable
from hopyard_ai.content import spending, vectors
from hopyard_ai.content.asking import each, given_up, standing_in_line, within_budget
from hopyard_ai.content.embedders import Made, embedder
from hopyard_ai.content.items import digest, named
from hopyard_ai.content.labels import check_labels
from hopyard_ai.content.settings import LEXICAL
from hopyard_ai.content.texts import tokens
from hopyard_ai.content.values import Embedded, Item, Spent
from hopyard_ai.health import settings

if TYPE_CHECKING:
    from hopyard import Job

#: So many texts that are not taken, and none that is: it is not the texts.
_GIVES_UP: Final = 64
#: A vector that was made or used within so many seconds is not removed: a job may be about to use it.
_SPARED: Final = 3_600
_MOST_ERRORS: Final = 1_000
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
    making = _Making(job, missing)
    async with standing_in_line(job):
        await making.all()
    failed = making.failed
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
        failed=len(errors),
        errors=dict(islice(errors.items(), _MOST_ERRORS)),
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


class _Making:
    """Makes the vectors that are missing, by hash, and knows why some texts have none."""

    def __init__(self, job: Job, missing: dict[str, str]) -> None:
        self._job = job
        self._missing = missing
        self._made = 0
        self.failed = dict[str, str]()

    async def all(self) -> None:
        """Make them. Raises `InvalidInput` where no text was taken, and as the embedder."""
        hashes, size = [*self._missing], settings().embeddings.batch
        batches = [hashes[n : n + size] for n in range(0, len(hashes), size)]
        await each(self._batch, batches, self._job, "batches embedded:")
        if self.failed and len(self.failed) == len(hashes):
            raise InvalidInput(self._none())

    async def _batch(self, batch: list[str]) -> None:
        if settings().embeddings.model != LEXICAL:
            await within_budget(self._job)
        try:
            made = await embedder().embed([self._missing[one] for one in batch])
            await self._keep(batch, made)
        except Unable:
            raise
        except InvalidInput as error:  # for one text of them: it is found by halves
            await self._halves(batch, error)
        except TransientError as error:
            if self._job.will_retry(error) and not await given_up(self._job, error):
                raise
            self.failed.update(dict.fromkeys(batch, str(error)))

    async def _halves(self, batch: list[str], error: InvalidInput) -> None:
        half = len(batch) // 2
        if half:
            await self._batch(batch[:half])
            await self._batch(batch[half:])
            return
        self.failed[batch[0]] = str(error)
        if not self._made and len(self.failed) >= _GIVES_UP:
            raise Unable(self._none())

    def _none(self) -> str:
        return f"no text could be embedded: {next(iter(self.failed.values()))}"

    async def _keep(self, hashes: Sequence[str], made: Made) -> None:
        """Keep what is of use of an answer, and what it cost in any case."""
        name, rows = settings().embeddings.model, list[tuple[str, str, bytes]]()
        async with storage.transaction() as tx:
            await spend(tx, self._job, name, made)
            known = await tx.fetch("SELECT vector FROM ai_vector WHERE model = $1 LIMIT 1", name)
            length = vectors.dimensions(known[0]["vector"]) if known else None
            for hash_, vector in zip(hashes, () if made.wrong else made.vectors, strict=not made.wrong):
                try:
                    rows.append((name, hash_, _packed(vector, length)))
                except (InvalidInput, TransientError) as error:  # one vector costs one text
                    self.failed[hash_] = str(error)
            await tx.execute_many(
                f"INSERT INTO ai_vector (model, hash, vector, created) VALUES ($1, $2, $3, {tx.sql.now}) "
                "ON CONFLICT DO NOTHING",
                rows,
            )
        self._made += len(rows)
        if made.wrong:
            raise UnusableAnswer(made.wrong)


def _packed(vector: Sequence[float], length: int | None) -> bytes:
    if length is not None and len(vector) != length:
        raise InvalidInput(
            f"found a vector of {len(vector)} dimensions, expected {length} as those that are kept of this "
            "model: if the model has changed, forget its collections (`hopyard ai collections --forget`)"
        )
    return vectors.packed(vector)


async def spend(tx: Transaction, job: Job, model: str, made: Made) -> None:
    """Add to what a job has spent what some vectors took."""
    if made.requests:
        cost = spending.cost_of(settings().prices, model, made.tokens, 0, made.cost)
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


async def collections() -> list[dict[str, Any]]:
    """Return each collection with its model and how many texts it has."""
    rows = await storage.fetch(
        "SELECT collection, model, count(*) AS texts FROM ai_embedding GROUP BY collection, model "
        "ORDER BY collection, model"
    )
    return [{"collection": r["collection"], "model": r["model"], "texts": int(r["texts"])} for r in rows]


async def forget(collection: str) -> int:
    """Remove a collection, and vectors that no other one uses; return how many texts went.

    Young ones are spared, unless no collection is left of their model: the next may have another length.

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
            f"AND (created < {tx.sql.minus(tx.sql.now, str(_SPARED))} OR NOT EXISTS "
            "(SELECT 1 FROM ai_embedding e WHERE e.model = ai_vector.model))"
        )
    return gone
