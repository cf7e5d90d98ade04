"""What could not be dealt with and was set aside, so that the rest goes on: kept with its reason.

Kinds: `message` (no job's), `follow-up` (of a job that is over), `duty` (of the leading reconciler).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from hopyard.ledger.database import Connection, Database
from hopyard.ledger.values import moment

_REASON_CHARACTERS: Final = 1000
_DATA_CHARACTERS: Final = 1_000_000


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
                _storable(one.reason, _REASON_CHARACTERS),
                _storable(one.data, _DATA_CHARACTERS),
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


async def found(database: Database, *, target: str | None = None, limit: int = 50) -> list[dict[str, Any]]:
    """Return what was set aside, the latest first: kind, target, reason, times, first, last."""
    where, parameters = ("WHERE target = $1", [target]) if target is not None else ("", [])
    rows = await database.fetch(
        f"SELECT kind, target, reason, times, first, last FROM set_aside {where} "
        f"ORDER BY last DESC, target LIMIT {int(limit)}",
        *parameters,
    )
    return [
        {name: row[name] for name in ("kind", "target", "reason", "times")}
        | {"first": moment(row["first"]), "last": moment(row["last"])}
        for row in rows
    ]


async def prune(database: Database, days: int, limit: int) -> int:
    """Forget what nobody met again for so many days, at most `limit` things; return how many."""
    d = database.dialect
    return await database.execute(
        "DELETE FROM set_aside WHERE (kind, target) IN (SELECT kind, target FROM set_aside "
        f"WHERE {d.plus('last', str(days * 86400))} < {d.now} LIMIT {int(limit)})"
    )


def _storable(text: str, characters: int) -> str:
    return text[:characters].replace("\0", "\ufffd").encode(errors="replace").decode()
