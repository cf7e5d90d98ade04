"""A job in short, as it stands in lists and streams: without its arguments and its result."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, NamedTuple

from hopyard.ledger import stored
from hopyard.ledger.database import Database, Row
from hopyard.ledger.dialect import Dialect
from hopyard.ledger.readers import label
from hopyard.ledger.values import moment
from hopyard.specs import State

_COLUMNS: Final = (
    "id, task, queue, priority, state, attempt, crashes, worker, created, eta, started, reason, schedule, "
    "person, parent"
)
#: What a summary is made of, of a live job and of one that is over.
LIVE: Final = f"{_COLUMNS}, CAST(NULL AS timestamptz) AS finished, CAST(NULL AS text) AS error"
OVER: Final = f"{_COLUMNS}, finished, error"
_LONGEST: Final = 500
#: What differs between errors of one kind: ids and other hexadecimal numbers, numbers, what stands in quotes.
_VARIES: Final = re.compile(
    r"0x[0-9a-f]+|\b[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b|'[^']*'|\"[^\"]*\"|\d+"
)


@dataclass(frozen=True, slots=True)
class JobSummary:
    """A job in short. Times in UTC; `seconds` is how long the last attempt ran, `error` a line."""

    id: str
    task: str
    queue: str
    priority: int
    state: str
    attempt: int
    crashes: int
    worker: int | None
    created: datetime
    eta: datetime | None
    started: datetime | None
    finished: datetime | None
    seconds: float | None
    reason: str | None
    error: str | None
    schedule: str | None
    person: str | None
    parent: str | None


@dataclass(frozen=True, slots=True)
class JobProgress:
    """How far a job is, as its task told last; `percentage` is None where no total is known."""

    job: str
    current: float
    total: float | None
    percentage: float | None
    message: str
    updated: datetime


def summary(row: Row) -> JobSummary:
    """Return a row with the columns above in short."""
    started, finished = moment(row["started"]), moment(row["finished"])
    return JobSummary(
        id=str(row["id"]),
        task=row["task"],
        queue=row["queue"],
        priority=row["priority"],
        state=label(row["state"]),
        attempt=row["attempt"],
        crashes=row["crashes"],
        worker=row["worker"],
        created=_at(row, "created"),
        eta=moment(row["eta"]),
        started=started,
        finished=finished,
        seconds=(finished - started).total_seconds() if started and finished else None,
        reason=_short(row["reason"]),
        error=_error(row["error"]),
        schedule=row["schedule"],
        person=row["person"],
        parent=str(row["parent"]) if row["parent"] else None,
    )


async def summaries(database: Database, ids: Sequence[str]) -> list[JobSummary]:
    """Return these jobs, of those that there are."""
    d, some = database.dialect, database.list(ids)
    rows = await database.fetch(
        f"SELECT {LIVE} FROM job_live WHERE id {d.ids('$1')} "
        f"UNION ALL SELECT {OVER} FROM job_history WHERE id {d.ids('$1')}",
        some,
    )
    return [summary(row) for row in rows]


async def states(database: Database, ids: Iterable[str]) -> dict[str, State]:
    """Return the states of jobs."""
    d, some = database.dialect, database.list(ids)
    rows = await database.fetch(
        f"SELECT id, state FROM job_live WHERE id {d.ids('$1')} "
        f"UNION ALL SELECT id, state FROM job_history WHERE id {d.ids('$1')}",
        some,
    )
    return {str(row["id"]): State(row["state"]) for row in rows}


class Submitted(NamedTuple):
    """What was asked for when a job was submitted; `body` as it is stored."""

    body: str
    person: str | None
    priority: int


async def submitted(database: Database, id_: str) -> Submitted | None:
    """Return what a job was submitted with; None if there is no such job."""
    some = "SELECT body, person, priority FROM"
    rows = await database.fetch(
        f"{some} job_live WHERE id = $1 UNION ALL {some} job_history WHERE id = $1", id_
    )
    return Submitted(str(rows[0]["body"]), rows[0]["person"], int(rows[0]["priority"])) if rows else None


async def running(database: Database, most: int) -> list[JobSummary]:
    """Return jobs that run, those that began last, at most so many."""
    rows = await database.fetch(
        f"SELECT {LIVE} FROM job_live WHERE state = {State.RUNNING:d} ORDER BY started DESC LIMIT {int(most)}"
    )
    return [summary(row) for row in rows]


async def progress(database: Database, ids: Sequence[str]) -> list[JobProgress]:
    """Return how far these jobs are, of those that have told."""
    rows = await database.fetch(
        "SELECT job_id, current, total, message, updated FROM job_progress "
        f"WHERE job_id {database.dialect.ids('$1')}",
        database.list(ids),
    )
    return [
        JobProgress(
            str(row["job_id"]),
            row["current"],
            row["total"],
            percentage(row["current"], row["total"]),
            row["message"],
            _at(row, "updated"),
        )
        for row in rows
    ]


def percentage(current: float, total: float | None) -> float | None:
    """Return the part of a total in percent, from 0 to 100; None where there is no total."""
    if not total or total <= 0:
        return None
    return round(min(100.0, max(0.0, 100 * current / total)), 1)


def fingerprint(task: str, error: str) -> str:
    """Return what the errors of one group have in common, as 12 hexadecimal digits."""
    text = f"{task}\n{_VARIES.sub('#', error.lower())}"
    return hashlib.sha256(text.encode(errors="replace")).hexdigest()[:12]


def is_over(state: str) -> bool:
    """Say whether a state, by its name, is final."""
    return state in {one.label for one in State if one.final}


def error_has(d: Dialect, part: str) -> str:
    """SQL: the line of an error has this text, both as they stand within JSON (`stored.within`).

    Only what lists show is looked at: neither names of the record nor the traceback.
    """
    kind = d.between("error", '"kind": "', '"')
    # A quotation mark within the message has a backslash before it, so that only its end looks so.
    message = d.between("error", '"message": "', '", "')
    return d.contains(f"substr({kind} || ': ' || {message}, 1, {_LONGEST})", part)


def _error(text: str | None) -> str | None:
    record = stored.record(text)
    if not record:
        return None
    kind, message = record.get("kind"), str(record.get("message") or "")
    return _short(f"{kind}: {message}" if kind else message)


def _short(text: str | None) -> str | None:
    return text if text is None or len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"


def _at(row: Row, name: str) -> datetime:
    at = moment(row[name])
    if at is None:
        raise ValueError(f"`{name}` of a job is never empty")
    return at
