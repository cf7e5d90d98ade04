"""Unique jobs: while a key is held, a second job with it is refused, or takes the first one's place."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from hopyard.ledger import waiting
from hopyard.ledger.database import Connection, Database, Row
from hopyard.ledger.dialect import Dialect
from hopyard.ledger.values import NewJob, renamed, utcnow
from hopyard.specs import State

OnDuplicate = Literal["reject", "replace", "debounce"]


@dataclass(frozen=True, slots=True)
class Unique:
    """How a job is unique by `key`.

    `reject` leaves the earlier job alone. `replace` gives an earlier job that still waits the new arguments;
    `debounce` also makes it wait anew. One that runs already cannot be changed: the new job is stored beside
    it, so that the latest arguments are never lost. The key is held until the job is over, or for `seconds`.
    """

    key: str
    on_duplicate: OnDuplicate = "reject"
    seconds: float | None = None

    @property
    def until(self) -> datetime | None:
        return None if self.seconds is None else utcnow() + timedelta(seconds=self.seconds)


async def submit_unique(database: Database, job: NewJob, unique: Unique) -> tuple[str, bool]:
    """Store a job unless its key is held.

    Returns the id of the job that holds the key now, and whether that is a new one.
    """
    d = database.dialect
    async with database.transaction() as tx:
        earlier = await _holder(tx, d, job, unique)
        if earlier is not None and (
            unique.on_duplicate == "reject" or await _changed(tx, d, earlier, job, unique)
        ):
            return earlier, False
        await tx.execute(
            "UPDATE job_key SET job_id = $2, until = $3 WHERE key = $1", unique.key, job.id, unique.until
        )
        return job.id, bool(await tx.insert_jobs([job]))


async def _holder(tx: Connection, d: Dialect, job: NewJob, unique: Unique) -> str | None:
    """Return the job that holds the key; the key's row is locked until the transaction ends.

    The row is locked before the holder is looked for, in a statement of its own: on PostgreSQL a statement
    sees what was committed when it began, not what the owner of the lock committed meanwhile.
    """
    rows: Sequence[Row] = ()
    while not rows:  # retention may delete the row between the two statements
        if await tx.execute(
            "INSERT INTO job_key (key, job_id, until) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING",
            unique.key,
            job.id,
            unique.until,
        ):
            return None
        rows = await tx.fetch(
            f"SELECT job_id, until, until > {d.now} AS held FROM job_key WHERE key = $1 {d.for_update}",
            unique.key,
        )
    earlier = str(rows[0]["job_id"])
    if rows[0]["until"] is not None:
        return earlier if rows[0]["held"] else None
    return earlier if await tx.fetch("SELECT 1 AS yes FROM job_live WHERE id = $1", earlier) else None


async def _changed(tx: Connection, d: Dialect, earlier: str, job: NewJob, unique: Unique) -> bool:
    """Give the earlier job the new one's arguments, and its time if it is to wait anew."""
    waits = f"state IN ({State.SCHEDULED:d}, {State.QUEUED:d}, {State.RETRYING:d}, {State.PARKED:d})"
    headers = renamed(job.headers, earlier)
    if unique.on_duplicate == "replace":
        return bool(
            await tx.execute(
                f"UPDATE job_live SET body = $2, headers = $3 WHERE id = $1 AND {waits}",
                earlier,
                job.body,
                headers,
            )
        )
    changed = await tx.execute(
        f"UPDATE job_live SET body = $2, headers = $3, state = $4, eta = $5 WHERE id = $1 AND {waits}",
        earlier,
        job.body,
        headers,
        job.state,
        job.eta,
    )
    if changed and job.state == State.QUEUED:
        await waiting.enter(tx, d, [earlier])
    return bool(changed)


async def holder(database: Database, key: str) -> str | None:
    """Return the id of the job that holds a key, None if none does."""
    rows = await database.fetch(
        "SELECT k.job_id FROM job_key k LEFT JOIN job_live j ON j.id = k.job_id WHERE k.key = $1 "
        f"AND (k.until > {database.dialect.now} OR (k.until IS NULL AND j.id IS NOT NULL))",
        key,
    )
    return str(rows[0]["job_id"]) if rows else None
