"""What is kept of connections: the lease, what both sides had at the last sync, what was set aside."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Final, Literal, NamedTuple, get_args

from hopyard import redact, storage
from hopyard.leases import RowLease

from hopyard_file.cloud.deciding import Known
from hopyard_file.cloud.models import CloudReport, SetAside, State

#: One run at a time for each connection.
LEASE: Final = RowLease("file_cloud_connection")
_MOST_ASIDE: Final = 1_000
#: Stands before the digest of sides that were begun with, and of which no run has ended well.
_BEGUN: Final = "begun "

#: `same`; `other` than at the last sync; `begun`: other than before, and no sync of them has ended well yet.
Sides = Literal["same", "begun", "other"]


class Standing(NamedTuple):
    """A connection's row."""

    state: State
    error: str | None
    started: datetime | None
    succeeded: datetime | None
    report: CloudReport | None
    running: bool


async def finish(name: str, holder: str, report: CloudReport, error: str | None) -> None:
    """Record how a run ended and give the connection back, unless another run has it already."""
    now = storage.sql().now
    well = f", succeeded = {now}, told = NULL" if report.state == "ok" else ""
    await storage.execute(
        f"UPDATE file_cloud_connection SET state = $3, error = $4, report = $5, ended = {now}, "
        f"holder = NULL, job = NULL, held_until = NULL{well} WHERE name = $1 AND holder = $2",
        name,
        holder,
        report.state,
        storable(redact(error))[:1000] if error else None,
        storable(report.model_dump_json(exclude={"summary"})),
    )


async def tell_once(name: str, what: str) -> bool:
    """Say whether people are to be told of a state now: once until the connection is well again."""
    told = await storage.execute(
        "UPDATE file_cloud_connection SET told = $2 WHERE name = $1 AND (told IS NULL OR told <> $2)",
        name,
        what,
    )
    return bool(told)


async def known(name: str) -> dict[str, Known]:
    """Return what both sides had at the last sync, by path."""
    rows = await storage.fetch(
        "SELECT path, size, sha256, here, there FROM file_cloud_entry WHERE connection = $1", name
    )
    return {row["path"]: Known(row["size"], row["sha256"], row["here"], row["there"]) for row in rows}


async def standing_of_sides(name: str, sides: str) -> Sides:
    """Say whether the last syncs of a connection were those of the same two sides, by their digest."""
    rows = await storage.fetch("SELECT sides FROM file_cloud_connection WHERE name = $1", name)
    found = rows[0]["sides"] if rows else None
    if found is None or found == sides:  # None: it never ran, or not since connections tell
        return "same"
    return "begun" if found == _BEGUN + sides else "other"


async def begin_anew(name: str, holder: str, sides: str) -> int:
    """Forget what was known of other sides, and note that these are begun with; return of how many files.

    Raises `LeaseLost`.
    """
    async with storage.transaction() as tx:
        await LEASE.renew(tx, name, holder)
        await tx.execute("UPDATE file_cloud_connection SET sides = $2 WHERE name = $1", name, _BEGUN + sides)
        return await tx.execute("DELETE FROM file_cloud_entry WHERE connection = $1", name)


async def keep_sides(name: str, holder: str, sides: str) -> None:
    """Note which sides the files that are known belong to. Raises `LeaseLost`."""
    async with storage.transaction() as tx:
        await LEASE.renew(tx, name, holder)
        await tx.execute("UPDATE file_cloud_connection SET sides = $2 WHERE name = $1", name, sides)


async def checkpoint(name: str, holder: str, equal: Mapping[str, Known], gone: Iterable[str]) -> None:
    """Record files that both sides have now, and that neither has; renew the lease. Raises `LeaseLost`."""
    async with storage.transaction() as tx:
        await LEASE.renew(tx, name, holder)
        if equal:
            await tx.execute_many(
                "INSERT INTO file_cloud_entry (connection, path, size, sha256, here, there) "
                "VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (connection, path) DO UPDATE SET "
                "size = excluded.size, sha256 = excluded.sha256, here = excluded.here, "
                "there = excluded.there",
                [(name, path, *one_row(one)) for path, one in equal.items()],
            )
        paths = [*gone]
        if paths:
            await tx.execute(
                f"DELETE FROM file_cloud_entry WHERE connection = $1 AND path {tx.sql.texts('$2')}",
                name,
                storage.listed(paths),
            )


def one_row(one: Known) -> tuple[int, str, str, str]:
    """Return the columns of a row."""
    return one.size, one.sha256, one.here, one.there


async def set_aside(name: str, holder: str, reasons: Mapping[str, str]) -> None:
    """Record what is no part of the sync: the first thousand. Raises `LeaseLost`."""
    rows = [
        (storage.new_id(), name, storable(path)[:2000], storable(reason)[:500])
        for path, reason in sorted(reasons.items())[:_MOST_ASIDE]
    ]
    async with storage.transaction() as tx:
        await LEASE.renew(tx, name, holder)
        await tx.execute("DELETE FROM file_cloud_set_aside WHERE connection = $1", name)
        if rows:
            await tx.execute_many(
                "INSERT INTO file_cloud_set_aside (id, connection, path, reason, at) "
                f"VALUES ($1, $2, $3, $4, {tx.sql.now})",
                rows,
            )


async def forget(name: str) -> int:
    """Forget what both sides had, so that the next sync compares everything; return of how many files."""
    return await storage.execute("DELETE FROM file_cloud_entry WHERE connection = $1", name)


async def standings() -> dict[str, Standing]:
    """Return the rows of all connections that ever ran."""
    now = storage.sql().now
    rows = await storage.fetch(
        "SELECT name, state, error, started, succeeded, report, "
        f"(holder IS NOT NULL AND held_until > {now}) AS running FROM file_cloud_connection"
    )
    return {
        row["name"]: Standing(
            _state(row["state"]),
            row["error"],
            storage.moment(row["started"]),
            storage.moment(row["succeeded"]),
            CloudReport.model_validate(json.loads(row["report"])) if row["report"] else None,
            bool(row["running"]),
        )
        for row in rows
    }


async def counts(table: str) -> dict[str, int]:
    """Return how many rows each connection has in `file_cloud_entry` or `file_cloud_set_aside`."""
    rows = await storage.fetch(f"SELECT connection, count(*) AS n FROM {table} GROUP BY connection")
    return {row["connection"]: int(row["n"]) for row in rows}


async def aside(name: str, limit: int) -> Sequence[SetAside]:
    """Return what was set aside of a connection."""
    rows = await storage.fetch(
        "SELECT path, reason FROM file_cloud_set_aside WHERE connection = $1 "
        f"ORDER BY path LIMIT {int(limit)}",
        name,
    )
    return [SetAside(path=row["path"], reason=row["reason"]) for row in rows]


def storable(text: str) -> str:
    """Return text as any database takes it."""
    return text.replace("\0", "\ufffd").encode(errors="backslashreplace").decode()


def _state(text: str) -> State:
    if text not in get_args(State):
        raise ValueError(f"file_cloud_connection has the state {text!r}")
    found: State = text  # type: ignore[assignment]  # looked at above
    return found
