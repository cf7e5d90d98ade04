"""Dead jobs in groups of what went wrong."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final, NamedTuple

from hopyard.ledger.database import Database
from hopyard.ledger.read import listing
from hopyard.ledger.read.listing import JobFilter
from hopyard.ledger.read.summary import JobSummary, fingerprint
from hopyard.ledger.values import utcnow
from hopyard.specs import State

#: Jobs that are looked at, at most.
MOST: Final = 5_000
#: Hours that a trend goes back.
_HOURS: Final = 24


@dataclass(frozen=True, slots=True)
class FailureGroup:
    """Dead jobs of one task whose errors are alike. `job` is the latest of them, `error` its error.

    `trend` is how many ended in each of the last 24 hours, the earliest first.
    """

    fingerprint: str
    task: str
    error: str
    jobs: int
    first: datetime
    last: datetime
    job: str
    trend: tuple[int, ...]


class Groups(NamedTuple):
    """The groups, the latest first; `more` if not all dead jobs were looked at."""

    groups: list[FailureGroup]
    looked_at: int
    more: bool


async def groups(database: Database, wanted: JobFilter, limit: int) -> Groups:
    """Return the latest dead jobs of a filter in groups."""
    jobs: list[JobSummary] = []
    cursor: str | None = None
    while len(jobs) < limit:
        found = await listing.page(
            database,
            replace(wanted, states=(State.DEAD,)),
            limit=min(listing.MOST, limit - len(jobs)),
            cursor=cursor,
        )
        jobs += found.jobs
        cursor = found.cursor
        if cursor is None:
            break
    return Groups(_grouped(jobs), len(jobs), cursor is not None)


def _grouped(jobs: Iterable[JobSummary]) -> list[FailureGroup]:
    found: dict[str, FailureGroup] = {}
    trends: dict[str, list[int]] = {}
    now = utcnow()
    for job in jobs:  # the latest first
        error, at = job.error or "", job.finished or job.created
        key = fingerprint(job.task, error)
        known = found.get(key)
        trend = trends.setdefault(key, [0] * _HOURS)
        if (hours := max(0, (now - at) // timedelta(hours=1))) < _HOURS:
            trend[-1 - hours] += 1
        if known is None:
            found[key] = FailureGroup(key, job.task, error, 1, at, at, job.id, ())
        else:
            found[key] = replace(known, jobs=known.jobs + 1, first=at)
    return [replace(group, trend=tuple(trends[key])) for key, group in found.items()]
