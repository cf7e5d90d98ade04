"""The lines that jobs logged, as far as they are kept."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, NamedTuple

from hopyard.ledger.database import Database
from hopyard.ledger.values import moment, plain_text

#: Lines that are kept of each attempt; one more says that there were others.
KEPT: Final = 500
#: Lines that are read at once.
PAGE: Final = 1_000
#: Characters of one line.
LONGEST: Final = 2_000


class LogLine(NamedTuple):
    """A line that a job logged, to be stored; `n` is its attempt times 1,000 and its place there, from 1."""

    job_id: str
    n: int
    at: datetime
    level: str
    message: str


@dataclass(frozen=True, slots=True)
class Line:
    """A line of a job's log; `n` is its attempt times 1,000 and its place there, from 1."""

    n: int
    at: datetime
    level: str
    message: str


async def write(database: Database, lines: Iterable[LogLine]) -> None:
    """Store lines; one that is there already stays."""
    async with database.transaction() as tx:
        await tx.execute_many(
            "INSERT INTO job_log (job_id, n, at, level, message) VALUES ($1, $2, $3, $4, $5) "
            "ON CONFLICT DO NOTHING",
            [line._replace(message=plain_text(line.message)) for line in lines],
        )


async def last(database: Database, ids: Sequence[str]) -> dict[str, int]:
    """Return the number of the last line of each of these jobs that has any."""
    rows = await database.fetch(
        "SELECT job_id, max(n) AS last FROM job_log "
        f"WHERE job_id {database.dialect.ids('$1')} GROUP BY job_id",
        database.list(ids),
    )
    return {str(row["job_id"]): int(row["last"]) for row in rows}


async def lines(
    database: Database, job: str, after: int = 0, limit: int = PAGE, *, latest: bool = False
) -> list[Line]:
    """Return up to `limit` of a job's lines behind number `after`, in order: the first, or the `latest`."""
    order = "DESC" if latest else "ASC"
    rows = await database.fetch(
        "SELECT n, at, level, message FROM job_log "
        f"WHERE job_id = $1 AND n > $2 ORDER BY n {order} LIMIT {int(limit)}",
        job,
        after,
    )
    return [
        Line(int(row["n"]), at, row["level"], row["message"])
        for row in (reversed(rows) if latest else rows)
        if (at := moment(row["at"])) is not None
    ]
