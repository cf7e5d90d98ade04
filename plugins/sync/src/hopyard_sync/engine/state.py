"""The record of each connection: how its last run ended, and who was told."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, get_args

from hopyard import redact, storage
from hopyard.leases import RowLease

from hopyard_sync.models import Report, SetAside, State
from hopyard_sync.texts import storable

#: One run at a time for each connection.
LEASE: Final = RowLease("sync_connection")
_COLUMNS = "name, state, error, started, succeeded, report, held_until"


@dataclass(frozen=True, slots=True)
class Standing:
    """A connection's row."""

    state: State
    error: str | None
    started: datetime | None
    succeeded: datetime | None
    report: Report | None
    running: bool


async def standings() -> dict[str, Standing]:
    """Return the rows of all connections that ever ran."""
    now = storage.sql().now
    rows = await storage.fetch(
        f"SELECT {_COLUMNS}, (holder IS NOT NULL AND held_until > {now}) AS running FROM sync_connection"
    )
    return {
        row["name"]: Standing(
            _state(row["state"]),
            row["error"],
            storage.moment(row["started"]),
            storage.moment(row["succeeded"]),
            Report.model_validate_json(row["report"]) if row["report"] else None,
            bool(row["running"]),
        )
        for row in rows
    }


async def standing(name: str) -> Standing:
    """Return where a connection stands."""
    return (await standings()).get(name, Standing("never", None, None, None, None, False))


async def finish(name: str, holder: str, report: Report, error: str | None) -> None:
    """Record how a run ended and give the connection back, unless another run has it already.

    A dry run leaves no trace but the lock that it gives back.
    """
    now = storage.sql().now
    if report.dry_run:
        await LEASE.release(name, holder)
        return
    well = report.state == "ok"
    await storage.execute(
        f"UPDATE sync_connection SET state = $3, error = $4, report = $5, ended = {now}, holder = NULL, "
        f"job = NULL, held_until = NULL{f', succeeded = {now}, told = NULL' if well else ''} "
        "WHERE name = $1 AND holder = $2",
        name,
        holder,
        report.state,
        storable(redact(error))[:1000] if error else None,
        report.model_dump_json(exclude={"summary"}),
    )


async def tell_once(name: str, what: str) -> bool:
    """Say whether people are to be told of a state now: once until the connection is well again."""
    told = await storage.execute(
        "UPDATE sync_connection SET told = $2 WHERE name = $1 AND (told IS NULL OR told <> $2)", name, what
    )
    return bool(told)


async def leave_reconnect(name: str) -> None:
    """Let a connection run again."""
    await storage.execute(
        "UPDATE sync_connection SET state = 'never', error = NULL, told = NULL WHERE name = $1", name
    )


async def row_counts() -> dict[str, int]:
    """Return how many events, records, pages and messages are stored, by connection."""
    counted = " UNION ALL ".join(
        f"SELECT connection, count(*) AS n FROM {table}{where} GROUP BY connection"
        for table, where in (
            ("sync_event", ""),
            ("sync_record", ""),
            ("sync_notion_page", " WHERE gone IS NULL"),
            ("sync_message", " WHERE gone IS NULL"),
        )
    )
    rows = await storage.fetch(
        f"SELECT connection, sum(n) AS n FROM ({counted}) AS counts GROUP BY connection"
    )
    return {row["connection"]: int(row["n"]) for row in rows}


async def set_aside_counts() -> dict[str, int]:
    """Return how many things are set aside, by connection."""
    rows = await storage.fetch("SELECT connection, count(*) AS n FROM sync_set_aside GROUP BY connection")
    return {row["connection"]: int(row["n"]) for row in rows}


async def set_aside(name: str, limit: int) -> Sequence[SetAside]:
    """Return what was set aside of a connection, the latest first."""
    rows = await storage.fetch(
        "SELECT connection, stream, what, reason, content, at FROM sync_set_aside WHERE connection = $1 "
        f"ORDER BY id DESC LIMIT {int(limit)}",
        name,
    )
    return [SetAside.model_validate({**row, "at": storage.moment(row["at"])}) for row in rows]


def _state(text: str) -> State:
    if text not in get_args(State):
        raise ValueError(f"sync_connection has the state {text!r}")
    found: State = text  # type: ignore[assignment]  # looked at above
    return found
