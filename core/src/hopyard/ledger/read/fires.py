"""What became of a schedule's due times."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from hopyard.ledger.database import Database
from hopyard.ledger.read.summary import states
from hopyard.ledger.values import moment


@dataclass(frozen=True, slots=True)
class FireState:
    """A due time of a schedule; without a job it was left out by the misfire or overlap policy."""

    due: datetime
    fired: datetime
    job: str | None
    state: str | None


async def latest(database: Database, schedule: str, limit: int) -> list[FireState]:
    """Return the latest due times of a schedule, the latest first."""
    rows = await database.fetch(
        "SELECT due, fired, job_id FROM schedule_fire WHERE schedule = $1 "
        f"ORDER BY due DESC LIMIT {int(limit)}",
        schedule,
    )
    known = await states(database, [str(row["job_id"]) for row in rows if row["job_id"]])
    return [
        FireState(due, fired, job, known[job].label if job is not None and job in known else None)
        for row in rows
        if (due := moment(row["due"])) is not None and (fired := moment(row["fired"])) is not None
        for job in [str(row["job_id"]) if row["job_id"] else None]
    ]
