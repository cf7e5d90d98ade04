"""Queues as operators see them: how full they are, and whether they are paused."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from hopyard.ledger.database import Database
from hopyard.ledger.values import moment
from hopyard.ledger.waiting import RENEWED
from hopyard.specs import State


async def pause(database: Database, queue: str, by: str) -> bool:
    """Start no more jobs of a queue, on any worker, until it is resumed; say whether that is new.

    Durable: it outlives workers and brokers. Jobs that run go on.
    """
    d = database.dialect
    return bool(
        await database.execute(
            f"INSERT INTO queue_state (queue, paused, paused_by) VALUES ($1, {d.now}, $2) "
            f"ON CONFLICT (queue) DO UPDATE SET paused = {d.now}, paused_by = $2 "
            "WHERE queue_state.paused IS NULL",
            queue,
            by,
        )
    )


async def resume(database: Database, queue: str) -> int | None:
    """Let a queue go on; return how many messages will be sent again: workers dropped them meanwhile.

    None if it was not paused.
    """
    d = database.dialect
    async with database.transaction() as tx:
        changed = await tx.execute(
            "UPDATE queue_state SET paused = NULL, paused_by = NULL WHERE queue = $1 AND paused IS NOT NULL",
            queue,
        )
        if not changed:
            return None
        return await tx.execute(
            f"INSERT INTO job_outbox (id, created) SELECT id, {d.now} FROM job_live "
            f"WHERE queue = $1 AND state = {State.QUEUED:d} {RENEWED}",
            queue,
        )


async def depths(database: Database) -> dict[str, int]:
    """Return how many live jobs each queue has."""
    rows = await database.fetch("SELECT queue, count(*) AS jobs FROM job_live GROUP BY queue ORDER BY queue")
    return {row["queue"]: int(row["jobs"]) for row in rows}


async def paused(database: Database) -> list[tuple[str, datetime | None, str | None]]:
    """Return the queues that are paused, since when, and by whom."""
    rows = await database.fetch("SELECT queue, paused, paused_by FROM queue_state WHERE paused IS NOT NULL")
    return [(row["queue"], moment(row["paused"]), row["paused_by"]) for row in rows]


async def overview(database: Database, known: Iterable[str]) -> list[dict[str, Any]]:
    """Return each known queue, and each with live jobs, with its counts by state."""
    rows = await database.fetch(
        "SELECT queue, state, count(*) AS jobs, min(created) AS oldest FROM job_live GROUP BY queue, state"
    )
    held = await paused(database)
    found: dict[str, dict[str, Any]] = {}
    for name in sorted({*known, *(row["queue"] for row in rows), *(name for name, _, _ in held)}):
        counts = {state.label: 0 for state in State if not state.final}
        found[name] = {"queue": name, "paused": None, "paused_by": None, "oldest": None, **counts}
    for row in rows:
        one = found[row["queue"]]
        one[State(row["state"]).label] = int(row["jobs"])
        if row["state"] == State.QUEUED:
            one["oldest"] = moment(row["oldest"])
    for name, since, by in held:
        found[name] |= {"paused": since, "paused_by": by}
    return [*found.values()]
