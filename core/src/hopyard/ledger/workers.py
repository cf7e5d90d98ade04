"""Processes and their leases: one row each, kept alive by a heartbeat on the lease's clock."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Iterable
from typing import Final, NamedTuple

from hopyard.ledger import waiting
from hopyard.ledger.crashes import take_back
from hopyard.ledger.database import Connection, Database, appended
from hopyard.ledger.dialect import Dialect
from hopyard.ledger.leases import lost
from hopyard.ledger.values import LostJob, QueueMessage, utcnow
from hopyard.specs import State

#: How far back commands are read again.
_OVERLAP: Final = 1000
_OVERLAP_SECONDS: Final = 60


class Command(NamedTuple):
    """An order to workers: `kind` is `cancel`, `target` a job id."""

    n: int
    kind: str
    target: str


async def register(
    database: Database,
    *,
    name: str,
    role: str,
    queues: Iterable[str],
    plugins: dict[str, str],
    lease: float,
) -> int:
    """Enter this process; return its number, new for each start. `lease` is in seconds."""
    d = database.dialect
    rows = await database.fetch(
        f"INSERT INTO worker (name, host, pid, role, queues, plugins, started, beat, lease) "
        f"VALUES ($1, $2, $3, $4, $5, $6, {d.now}, {d.clock}, $7) RETURNING id",
        name,
        socket.gethostname(),
        os.getpid(),
        role,
        json.dumps(sorted(queues)),
        json.dumps(plugins),
        lease,
    )
    return int(rows[0]["id"])


async def set_plugins(database: Database, worker: int, plugins: dict[str, str]) -> None:
    """Say which plugins, with their versions, a process has by now."""
    await database.execute("UPDATE worker SET plugins = $2 WHERE id = $1", worker, json.dumps(plugins))


async def beat(database: Database, worker: int) -> bool:
    """Renew the lease. False: it was lost, and the worker's jobs were given to others."""
    d = database.dialect
    return bool(
        await database.execute(
            f"UPDATE worker SET beat = {d.clock} WHERE id = $1 AND stopped IS NULL", worker
        )
    )


async def leave(database: Database, worker: int) -> None:
    """Say that the process ended in an orderly way; whatever it still held is queued again."""
    d = database.dialect
    async with database.transaction() as tx:
        # Before anything is changed: a claim under way is committed then, and the next one takes nothing.
        await tx.fetch(f"SELECT 1 FROM worker WHERE id = $1 {d.for_update}", worker)
        await tx.execute(f"UPDATE worker SET stopped = {d.now} WHERE id = $1 AND stopped IS NULL", worker)
        await _requeue(tx, d, worker)


async def given_up(database: Database, worker: int) -> bool:
    """Say whether a worker's jobs were given to others, or it left: it claims nothing any more."""
    return not await database.fetch("SELECT 1 FROM worker WHERE id = $1 AND stopped IS NULL", worker)


async def _requeue(tx: Connection, d: Dialect, worker: int) -> None:
    left = {"outcome": "handed back", "at": utcnow().isoformat(), "message": "its worker left"}
    rest = json.dumps(left)[1:]
    entry = "'{\"attempt\": ' || attempt || ', \"worker\": ' || worker || ', ' || $1"
    await tx.execute(d.no_index)
    rows = await tx.fetch(
        f"UPDATE job_live SET state = {State.QUEUED:d}, worker = NULL, attempt = attempt - 1, "
        f"attempts = {appended(entry)} WHERE state = {State.RUNNING:d} AND worker = $2 RETURNING id",
        rest,
        worker,
    )
    await waiting.enter(tx, d, [str(row["id"]) for row in rows])


async def last_command(database: Database) -> int:
    rows = await database.fetch("SELECT coalesce(max(n), 0) AS n FROM command")
    return int(rows[0]["n"])


async def commands_since(database: Database, n: int) -> list[Command]:
    """Return the commands after `n`, and those of the last minute among the thousand before it.

    Their numbers need not become visible in order: a transaction that took a lower one may commit later.
    """
    d = database.dialect
    rows = await database.fetch(
        f"SELECT n, kind, target FROM command WHERE n > $1 - {_OVERLAP} "
        f"AND (n > $1 OR created > {d.plus(d.now, f'-{_OVERLAP_SECONDS}')}) ORDER BY n",
        n,
    )
    return [Command(int(row["n"]), row["kind"], row["target"]) for row in rows]


class Rescued(NamedTuple):
    """Workers that were lost, the messages of their jobs that run again, and all of their jobs."""

    workers: list[int]
    again: list[QueueMessage]
    jobs: list[LostJob]

    @property
    def dead(self) -> int:
        """How many jobs ended, as their workers keep dying."""
        return len(self.jobs) - len(self.again)


async def rescue(database: Database) -> Rescued:
    """Take jobs away from workers whose lease ran out.

    In one transaction the worker is marked as stopped, so that nothing it still writes is accepted.
    """
    d = database.dialect
    async with database.transaction() as tx:
        found = await tx.fetch(
            f"SELECT id, name FROM worker WHERE stopped IS NULL AND {lost(d)} {d.for_update}"
        )
        if not found:
            return Rescued([], [], [])
        numbers = [int(row["id"]) for row in found]
        names = {int(row["id"]): row["name"] for row in found}
        requeued: list[QueueMessage] = []
        jobs: list[LostJob] = []
        for number in numbers:  # few: one per process that died since the last look
            await tx.execute(f"UPDATE worker SET stopped = {d.now} WHERE id = $1", number)
            lost_jobs, again = await take_back(tx, d, number, names[number])
            jobs += lost_jobs
            requeued += again
    return Rescued(numbers, requeued, jobs)


async def living(database: Database) -> set[int]:
    """Return the numbers of processes that are not known to be over."""
    rows = await database.fetch("SELECT id FROM worker WHERE stopped IS NULL")
    return {int(row["id"]) for row in rows}


async def served_queues(database: Database) -> set[str]:
    """Return the queues that live workers work on."""
    d = database.dialect
    rows = await database.fetch(f"SELECT queues FROM worker WHERE stopped IS NULL AND NOT {lost(d)}")
    return {queue for row in rows for queue in json.loads(row["queues"])}
