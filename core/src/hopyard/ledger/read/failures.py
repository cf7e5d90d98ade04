"""Dead jobs in groups of what went wrong."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final, NamedTuple

from hopyard.ledger.database import Database
from hopyard.ledger.read import listing
from hopyard.ledger.read.listing import JobFilter
from hopyard.ledger.read.summary import JobSummary
from hopyard.specs import State

#: Jobs that are looked at, at most.
MOST: Final = 5_000
#: What differs between errors of one kind: ids and other hexadecimal numbers, numbers, what stands in quotes.
_VARIES: Final = re.compile(
    r"0x[0-9a-f]+|\b[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b|'[^']*'|\"[^\"]*\"|\d+"
)


@dataclass(frozen=True, slots=True)
class FailureGroup:
    """Dead jobs of one task whose errors are alike. `job` is the latest of them, `error` its error."""

    fingerprint: str
    task: str
    error: str
    jobs: int
    first: datetime
    last: datetime
    job: str


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


def fingerprint(task: str, error: str) -> str:
    """Return what the errors of one group have in common, as 12 hexadecimal digits."""
    text = f"{task}\n{_VARIES.sub('#', error.lower())}"
    return hashlib.sha256(text.encode(errors="replace")).hexdigest()[:12]


def _grouped(jobs: Iterable[JobSummary]) -> list[FailureGroup]:
    found: dict[str, FailureGroup] = {}
    for job in jobs:  # the latest first
        error, at = job.error or "", job.finished or job.created
        key = fingerprint(job.task, error)
        known = found.get(key)
        if known is None:
            found[key] = FailureGroup(key, job.task, error, 1, at, at, job.id)
        else:
            found[key] = replace(known, jobs=known.jobs + 1, first=at)
    return [*found.values()]
