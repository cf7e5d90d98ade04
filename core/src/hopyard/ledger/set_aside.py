"""What could not be dealt with and was set aside, so that the rest goes on: kept with its reason.

Kinds: `message` (of no job), `follow-up` (of a job that is over), `schedule`, `duty` (of the reconciler),
`hook` (of a plugin, switched off in one process), `events` (that a plugin was too slow to be told).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from hopyard.ledger.database import Connection, Database
from hopyard.ledger.values import moment, plain_text

_REASON_CHARACTERS: Final = 1000
_DATA_CHARACTERS: Final = 1_000_000
_COLUMNS: Final = "kind, target, reason, data, times, first, last"


class SetAside(NamedTuple):
    """One thing. `target` tells it from others of its kind; `data` is what a person may want to look at."""

    kind: str
    target: str
    reason: str
    data: str = ""


async def add(tx: Connection, now: str, things: Sequence[SetAside]) -> None:
    """Keep things; the same one again is counted. `now` is the database's expression for it."""
    await tx.execute_many(
        "INSERT INTO set_aside (kind, target, reason, data, times, first, last) "
        f"VALUES ($1, $2, $3, $4, 1, {now}, {now}) ON CONFLICT (kind, target) DO UPDATE SET "
        "times = set_aside.times + 1, reason = excluded.reason, last = excluded.last",
        [
            (
                one.kind,
                one.target,
                plain_text(one.reason[:_REASON_CHARACTERS]),
                plain_text(one.data[:_DATA_CHARACTERS]),
            )
            for one in things
        ],
    )


async def keep(database: Database, things: Sequence[SetAside]) -> None:
    """Keep things, in a transaction of their own. Raises `LedgerUnavailable`."""
    async with database.transaction() as tx:
        await add(tx, database.dialect.now, things)


async def settled(database: Database, kind: str, target: str) -> None:
    """Forget a thing that could be dealt with after all."""
    await database.execute("DELETE FROM set_aside WHERE kind = $1 AND target = $2", kind, target)


async def of(database: Database, target: str) -> list[dict[str, Any]]:
    """Return what was set aside of one target, such as a job, as `latest` does."""
    rows = await database.fetch(f"SELECT {_COLUMNS} FROM set_aside WHERE target = $1 ORDER BY kind", target)
    return [_shown(row) for row in rows]


async def latest(
    database: Database, *, seconds: float | None = None, limit: int = 1000
) -> list[dict[str, Any]]:
    """Return what was set aside in the last `seconds` (or ever), the latest first.

    Each has kind, target, reason, data, times, first, last.
    """
    d = database.dialect
    where = "" if seconds is None else f"WHERE {d.plus('last', str(float(seconds)))} >= {d.now} "
    rows = await database.fetch(
        f"SELECT {_COLUMNS} FROM set_aside {where}ORDER BY last DESC, target LIMIT {int(limit)}"
    )
    return [_shown(row) for row in rows]


def _shown(row: Any) -> dict[str, Any]:
    texts = {name: row[name] for name in ("kind", "target", "reason", "data", "times")}
    return texts | {"first": moment(row["first"]), "last": moment(row["last"])}


async def discard(database: Database, target: str | None) -> int:
    """Forget what was set aside of one target, or all of it; return how many things."""
    if target is None:
        return await database.execute("DELETE FROM set_aside")
    return await database.execute("DELETE FROM set_aside WHERE target = $1", target)


async def prune(database: Database, days: float, limit: int) -> int:
    """Forget what nobody met again for so many days, at most `limit` things; return how many."""
    d = database.dialect
    return await database.execute(
        "DELETE FROM set_aside WHERE (kind, target) IN (SELECT kind, target FROM set_aside "
        f"WHERE {d.plus('last', str(days * 86400))} < {d.now} LIMIT {int(limit)})"
    )
