"""The workers that live, and what they run."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from hopyard.ledger.database import Database
from hopyard.ledger.leases import lost
from hopyard.ledger.read.summary import LIVE, JobSummary, summary
from hopyard.ledger.values import moment
from hopyard.specs import State

#: Running jobs that are listed, at most.
_MOST: Final = 1_000


@dataclass(frozen=True, slots=True)
class LivingWorker:
    """A worker process whose lease has not run out."""

    id: int
    name: str
    host: str
    pid: int
    queues: list[str]
    plugins: dict[str, str]
    started: datetime


async def living(database: Database) -> list[LivingWorker]:
    """Return the workers that live, by name."""
    rows = await database.fetch(
        "SELECT id, name, host, pid, queues, plugins, started FROM worker "
        f"WHERE stopped IS NULL AND NOT {lost(database.dialect)} ORDER BY name, id"
    )
    return [
        LivingWorker(
            int(row["id"]),
            row["name"],
            row["host"],
            row["pid"],
            [*json.loads(row["queues"])],
            dict(json.loads(row["plugins"])),
            started,
        )
        for row in rows
        if (started := moment(row["started"])) is not None
    ]


async def running(database: Database, workers: Sequence[int]) -> list[JobSummary]:
    """Return what these workers run, those that began first before the others, up to a thousand."""
    if not workers:
        return []
    some = ", ".join(str(int(one)) for one in workers)
    rows = await database.fetch(
        f"SELECT {LIVE} FROM job_live WHERE state = {State.RUNNING:d} AND worker IN ({some}) "
        f"ORDER BY started, id LIMIT {_MOST}"
    )
    return [summary(row) for row in rows]


def mixed(workers: Iterable[LivingWorker]) -> dict[str, list[str]]:
    """Return the plugins of which workers have different versions, with these."""
    versions: dict[str, set[str]] = {}
    for worker in workers:
        for name, version in worker.plugins.items():
            versions.setdefault(name, set()).add(version)
    return {name: sorted(some) for name, some in sorted(versions.items()) if len(some) > 1}
