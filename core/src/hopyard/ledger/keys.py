"""Unique jobs: while a key is held, a second job with it is refused, or takes the first one's place."""

from __future__ import annotations

from collections.abc import Sequence

from hopyard.ledger import waiting
from hopyard.ledger.database import Connection, Database, Row
from hopyard.ledger.dialect import Dialect
from hopyard.ledger.values import NewJob, renamed
from hopyard.specs import State, Unique


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
            "UPDATE job_key SET job_id = $2, until = $3 WHERE key = $1",
            unique.stored_key(job.task),
            job.id,
            unique.until,
        )
        return job.id, bool(await tx.insert_jobs([job]))


async def _holder(tx: Connection, d: Dialect, job: NewJob, unique: Unique) -> str | None:
    """Return the job that holds the key; the key's row is locked until the transaction ends.

    The row is locked before the holder is looked for, in a statement of its own: on PostgreSQL a statement
    sees what was committed when it began, not what the owner of the lock committed meanwhile.
    """
    key = unique.stored_key(job.task)
    rows: Sequence[Row] = ()
    while not rows:  # retention may delete the row between the two statements
        if await tx.execute(
            "INSERT INTO job_key (key, job_id, until) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING",
            key,
            job.id,
            unique.until,
        ):
            return None
        rows = await tx.fetch(
            f"SELECT job_id, until, until > {d.now} AS held FROM job_key WHERE key = $1 {d.for_update}",
            key,
        )
    earlier = str(rows[0]["job_id"])
    if rows[0]["until"] is not None:
        return earlier if rows[0]["held"] else None
    return earlier if await tx.fetch("SELECT 1 AS yes FROM job_live WHERE id = $1", earlier) else None


async def _changed(tx: Connection, d: Dialect, earlier: str, job: NewJob, unique: Unique) -> bool:
    """Give the earlier job the new one's arguments, and its time if it is to wait anew.

    Only one of the same task takes them: a shared key may be held by another's.
    """
    waiting_states = f"{State.SCHEDULED:d}, {State.QUEUED:d}, {State.RETRYING:d}, {State.PARKED:d}"
    theirs = f"id = $1 AND task = $2 AND state IN ({waiting_states})"
    headers = renamed(job.headers, earlier)
    if unique.on_duplicate == "replace":
        before = await tx.fetch("SELECT priority, state FROM job_live WHERE id = $1", earlier)
        changed = await tx.execute(
            f"UPDATE job_live SET body = $3, headers = $4, person = $5, priority = $6 WHERE {theirs}",
            *(earlier, job.task, job.body, headers, job.person, job.priority),
        )
        if changed and before[0]["state"] == State.QUEUED and before[0]["priority"] != job.priority:
            await waiting.enter(tx, d, [earlier])  # its message waits among those of another priority
        return bool(changed)
    changed = await tx.execute(
        "UPDATE job_live SET body = $3, headers = $4, person = $5, priority = $6, state = $7, eta = $8 "
        f"WHERE {theirs}",
        *(earlier, job.task, job.body, headers, job.person, job.priority, job.state, job.eta),
    )
    if changed and job.state == State.QUEUED:
        await waiting.enter(tx, d, [earlier])
    return bool(changed)


async def holders(database: Database, key: str) -> list[tuple[str, str]]:
    """Return which jobs hold a key, of whichever task: pairs of the key as it is stored and the job's id."""
    rows = await database.fetch(
        "SELECT k.key, k.job_id FROM job_key k LEFT JOIN job_live j ON j.id = k.job_id "
        "WHERE (k.key = $1 OR (length(k.key) > length($1) "
        "AND substr(k.key, length(k.key) - length($1)) = ':' || $1)) "
        f"AND (k.until > {database.dialect.now} OR (k.until IS NULL AND j.id IS NOT NULL)) ORDER BY k.key",
        key,
    )
    return [(row["key"], str(row["job_id"])) for row in rows]
