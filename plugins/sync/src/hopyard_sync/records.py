"""The table `sync_record`: rows of any kind by connection, stream and key, as JSON."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hopyard import storage
from hopyard.storage import Transaction

from hopyard_sync.texts import storable

if TYPE_CHECKING:
    from hopyard_sync.engine.run import Run
    from hopyard_sync.engine.stream import StreamState

__all__ = ["Record", "count", "count_unseen", "sweep", "touch", "upsert"]


@dataclass(frozen=True, slots=True)
class Record:
    """A row by its key; `data` is JSON-like."""

    key: str
    data: Any


@dataclass(frozen=True, slots=True)
class _Written:
    key: str
    text: str
    digest: str


async def upsert(run: Run, tx: Transaction, stream: StreamState, rows: Sequence[Record]) -> None:
    """Insert or update rows, each once, the last of those with the same key."""
    written = _written(rows)
    known = await _known(tx, stream, written)
    fresh = [one for one in written if known.get(one.key) != one.digest]
    await tx.execute_many(
        "INSERT INTO sync_record (connection, stream, key, data, digest, pass_number, changed) "
        f"VALUES ($1, $2, $3, $4, $5, $6, {tx.sql.now}) ON CONFLICT (connection, stream, key) DO UPDATE SET "
        "data = excluded.data, digest = excluded.digest, pass_number = excluded.pass_number, "
        "changed = excluded.changed",
        [
            (stream.connection, stream.name, one.key, one.text, one.digest, stream.pass_number)
            for one in fresh
        ],
    )
    same = [one.key for one in written if known.get(one.key) == one.digest]
    if same:
        await touch(tx, stream, same)
    _count(run, fresh, known)
    await run.taken(tx, stream.name, [one.key for one in written])


async def touch(tx: Transaction, stream: StreamState, keys: Sequence[str]) -> None:
    """Say that a pass has seen rows that could not be taken over: their stored copies stay."""
    await tx.execute(
        "UPDATE sync_record SET pass_number = $3 WHERE connection = $1 AND stream = $2 "
        f"AND key {tx.sql.texts('$4')}",
        stream.connection,
        stream.name,
        stream.pass_number,
        storage.listed(keys),
    )


async def count(run: Run, stream: StreamState, rows: Sequence[Record]) -> None:
    """Count what `upsert` would do."""
    written = _written(rows)
    async with storage.transaction() as tx:
        known = await _known(tx, stream, written)
    _count(run, [one for one in written if known.get(one.key) != one.digest], known)


async def sweep(run: Run, tx: Transaction, stream: StreamState, share: float) -> None:
    """Remove the rows that the pass has not seen. Raises `TooManyDeletions`."""
    where = "FROM sync_record WHERE connection = $1 AND stream = $2"
    rows = await tx.fetch(
        f"SELECT count(*) AS n, count(CASE WHEN pass_number < $3 THEN 1 END) AS gone {where}",
        stream.connection,
        stream.name,
        stream.pass_number,
    )
    gone, there = int(rows[0]["gone"]), int(rows[0]["n"])
    run.check_deletions(f"from the stream {stream.name}", gone, there, share)
    await tx.execute(
        f"DELETE {where} AND pass_number < $3", stream.connection, stream.name, stream.pass_number
    )
    run.counts.removed += gone


async def count_unseen(run: Run, stream: StreamState, seen: Collection[str], share: float) -> None:
    """Count what `sweep` would remove, where a dry run has seen these keys."""
    gone = there = 0
    after = ""
    while rows := await storage.fetch(
        "SELECT key FROM sync_record WHERE connection = $1 AND stream = $2 AND key > $3 "
        "ORDER BY key LIMIT 1000",
        stream.connection,
        stream.name,
        after,
    ):
        there, after = there + len(rows), rows[-1]["key"]
        gone += sum(row["key"] not in seen for row in rows)
    run.check_deletions(f"from the stream {stream.name}", gone, there, share)
    run.counts.removed += gone


def _written(rows: Sequence[Record]) -> list[_Written]:
    texts = {row.key: _text(row.data) for row in rows}
    return [_Written(key, text, hashlib.sha256(text.encode()).hexdigest()) for key, text in texts.items()]


def _text(data: Any) -> str:
    return storable(json.dumps(data, ensure_ascii=False, sort_keys=True, separators=(",", ":")))


async def _known(tx: Transaction, stream: StreamState, rows: Sequence[_Written]) -> dict[str, str]:
    if not rows:
        return {}
    found = await tx.fetch(
        f"SELECT key, digest FROM sync_record WHERE connection = $1 AND stream = $2 "
        f"AND key {tx.sql.texts('$3')}",
        stream.connection,
        stream.name,
        storage.listed(row.key for row in rows),
    )
    return {row["key"]: row["digest"] for row in found}


def _count(run: Run, fresh: Sequence[_Written], known: dict[str, str]) -> None:
    changed = sum(one.key in known for one in fresh)
    run.counts.changed += changed
    run.counts.added += len(fresh) - changed
