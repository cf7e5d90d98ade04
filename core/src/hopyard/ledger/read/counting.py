"""Counts of jobs that cost the same however many there are: by minute from what the ledger's triggers keep.

Only live jobs are counted one by one. Where there may be very many, keep what `live` returns for a while.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from hopyard.ledger.database import Database
from hopyard.ledger.values import moment
from hopyard.specs import State

#: Minutes older than this, in seconds, are complete: their rows by connection become one each.
_COMPLETE: Final = 300.0
#: Days that minutes are kept.
MINUTES_KEPT_DAYS: Final = 8.0
#: The latest jobs that percentiles are made of.
_SAMPLE: Final = 2_000
_BATCH: Final = 2_000


@dataclass(frozen=True, slots=True)
class LiveCount:
    """Live jobs of a task in a queue, in a state; `oldest` is when the first of them was made."""

    task: str
    queue: str
    state: State
    jobs: int
    oldest: datetime


@dataclass(frozen=True, slots=True)
class EndedCount:
    """Jobs of a task and queue that ended in a span of time; `began` of them ran at all.

    `waited` and `ran` are sums of their seconds. `at` is the beginning of the span, a whole number of spans
    since 1970.
    """

    at: datetime
    task: str
    queue: str
    state: State
    jobs: int
    began: int
    waited: float
    ran: float


@dataclass(frozen=True, slots=True)
class Latency:
    """How long a queue's jobs waited before they began, and ran, in seconds.

    Of those among the latest 2,000 jobs of the whole installation: a quiet queue beside a busy one has none.
    """

    queue: str
    jobs: int
    waited_p50: float
    waited_p95: float
    ran_p50: float
    ran_p95: float


async def live(database: Database) -> list[LiveCount]:
    """Count the live jobs. It looks at each of them: some 0.2 s for a million."""
    rows = await database.fetch(
        "SELECT task, queue, state, count(*) AS jobs, min(created) AS oldest FROM job_live "
        "GROUP BY task, queue, state ORDER BY queue, task, state"
    )
    return [
        LiveCount(row["task"], row["queue"], State(row["state"]), int(row["jobs"]), oldest)
        for row in rows
        if (oldest := moment(row["oldest"])) is not None and row["state"] in State._value2member_map_
    ]


async def ended(database: Database, *, minutes: int, span: int = 1) -> list[EndedCount]:
    """Return what ended in the last `minutes`, in spans of so many minutes, the earliest first.

    The first span may be cut: what ended before those minutes is not in it.
    """
    d = database.dialect
    at = d.rounded("minute", str(span * 60))
    rows = await database.fetch(
        f"SELECT {at} AS at, task, queue, state, sum(jobs) AS jobs, sum(began) AS began, "
        "sum(waited) AS waited, sum(ran) AS ran "
        f"FROM job_minute WHERE minute >= {d.rounded(d.minus(d.now, '$1'), '60')} "
        "GROUP BY 1, 2, 3, 4 ORDER BY 1, 2, 3, 4",
        float(minutes * 60),
    )
    return [
        EndedCount(
            begun,
            row["task"],
            row["queue"],
            State(row["state"]),
            int(row["jobs"]),
            int(row["began"]),
            row["waited"],
            row["ran"],
        )
        for row in rows
        if (begun := moment(row["at"])) is not None
    ]


async def latencies(database: Database) -> list[Latency]:
    """Return how long the latest jobs waited and ran, by queue: of the last 2,000 that ended."""
    rows = await database.fetch(
        "SELECT queue, created, eta, started, finished FROM job_history ORDER BY finished DESC "
        f"LIMIT {_SAMPLE}"
    )
    found: dict[str, tuple[list[float], list[float]]] = {}
    for row in rows:
        began, ended_at = moment(row["started"]), moment(row["finished"])
        due = moment(row["eta"]) or moment(row["created"])
        if began is None or ended_at is None or due is None:
            continue
        waited, ran = found.setdefault(row["queue"], ([], []))
        waited.append(max(0.0, (began - due).total_seconds()))
        ran.append(max(0.0, (ended_at - began).total_seconds()))
    return [
        Latency(queue, len(ran), *_percentiles(waited), *_percentiles(ran))
        for queue, (waited, ran) in sorted(found.items())
    ]


def _percentiles(values: Sequence[float]) -> tuple[float, float]:
    """Return the median and the 95th percentile, by nearest rank."""
    ordered = sorted(values)
    last = len(ordered) - 1
    return ordered[round(last * 0.5)], ordered[round(last * 0.95)]


async def tidy(database: Database) -> int:
    """Make one row of those that connections have counted into, of minutes that are complete.

    Returns how many rows went. Minutes past their retention go as well.
    """
    d = database.dialect
    complete, old = f"minute < {d.minus(d.now, '$1')}", d.minus(d.now, "$1")
    async with database.transaction() as tx:
        rows = await tx.fetch(
            "SELECT minute, task, queue, state, shard FROM job_minute "
            f"WHERE shard <> 0 AND {complete} ORDER BY minute LIMIT {_BATCH}",
            _COMPLETE,
        )
        minutes = {row["minute"] for row in rows}
        if minutes:
            await tx.execute(
                "INSERT INTO job_minute AS m (minute, task, queue, state, shard, jobs, began, waited, ran) "
                "SELECT minute, task, queue, state, 0, sum(jobs), sum(began), sum(waited), sum(ran) "
                "FROM job_minute WHERE shard <> 0 AND minute BETWEEN $1 AND $2 "
                "GROUP BY minute, task, queue, state "
                "ON CONFLICT (minute, task, queue, state, shard) "
                "DO UPDATE SET jobs = m.jobs + excluded.jobs, began = m.began + excluded.began, "
                "waited = m.waited + excluded.waited, "
                "ran = m.ran + excluded.ran",
                min(minutes),
                max(minutes),
            )
            await tx.execute(
                "DELETE FROM job_minute WHERE shard <> 0 AND minute BETWEEN $1 AND $2",
                min(minutes),
                max(minutes),
            )
        await tx.execute(f"DELETE FROM job_minute WHERE minute < {old}", MINUTES_KEPT_DAYS * 86_400)
    return len(rows)
