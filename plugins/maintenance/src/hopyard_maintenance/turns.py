"""One at a time in the whole installation: whoever does something has its turn, kept in a table.

A turn belongs to a job, not to a connection, so that it outlives poolers and restarts: the same job takes
it up again after its worker died, and another one once that job is over.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from hopyard import Hopyard, Job, storage
from hopyard.errors import TransientError, UnknownJob
from hopyard.storage import Transaction


class Taken(TransientError):
    """Another job has the turn; the message says which."""


@asynccontextmanager
async def turn(name: str, job: Job) -> AsyncIterator[None]:
    """Hold the turn called `name` for a job until the block ends.

    If an attempt dies or loses its lease, the turn stays with its job for the next attempt. Raises `Taken`
    while another job has it.
    """
    await _take(name, job)
    try:
        yield
    finally:
        # Not by an attempt that was given up and lives on: the turn is the next attempt's by then.
        await storage.execute(
            "DELETE FROM maintenance_turn WHERE name = $1 AND job_id = $2 AND attempt = $3",
            name,
            job.id,
            job.attempt,
        )


@asynccontextmanager
async def brief_turn(name: str) -> AsyncIterator[Transaction]:
    """Hold the turn for one transaction, for what a person does by hand: who wants it meanwhile waits.

    Raises `Taken` while a job has it.
    """
    rows = await storage.fetch("SELECT job_id FROM maintenance_turn WHERE name = $1", name)
    left = [str(row["job_id"]) for row in rows if await _is_over(str(row["job_id"]))]
    own = storage.new_id()
    async with storage.transaction() as tx:
        for holder in left:
            await tx.execute("DELETE FROM maintenance_turn WHERE name = $1 AND job_id = $2", name, holder)
        taken = await tx.execute(
            "INSERT INTO maintenance_turn (name, job_id, attempt, since) "
            f"VALUES ($1, $2, 1, {tx.sql.now}) ON CONFLICT (name) DO NOTHING",
            name,
            own,
        )
        if not taken:
            raise Taken(f"a job is at it just now ({name}): one at a time")
        yield tx
        await tx.execute("DELETE FROM maintenance_turn WHERE name = $1 AND job_id = $2", name, own)


async def _take(name: str, job: Job) -> None:
    holder = await _try(name, job, job.id)
    if holder is not None and await _is_over(holder):
        holder = await _try(name, job, holder)
    if holder is not None:
        raise Taken(f"the job {holder} is at it ({name}): one at a time")


async def _try(name: str, job: Job, over: str) -> str | None:
    """Take the turn where nobody has it, or the job `over`; return who has it instead."""
    async with storage.transaction() as tx:
        await tx.execute(
            "INSERT INTO maintenance_turn (name, job_id, attempt, since) "
            f"VALUES ($1, $2, $3, {tx.sql.now}) ON CONFLICT (name) DO UPDATE SET job_id = excluded.job_id, "
            "attempt = excluded.attempt, since = excluded.since WHERE maintenance_turn.job_id = $4",
            name,
            job.id,
            job.attempt,
            over,
        )
        (row,) = await tx.fetch("SELECT job_id FROM maintenance_turn WHERE name = $1", name)
    holder = str(row["job_id"])
    return None if holder == job.id else holder


async def _is_over(holder: str) -> bool:
    try:
        return (await Hopyard.current().handle(holder).status()).state.final
    except UnknownJob:  # its record is past its retention
        return True
