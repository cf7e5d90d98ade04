"""Jobs that a transaction on SQLite has ended: told of and counted before it commits, whatever statement did.

A trigger costs there by the row, half as much as ending a job: statements do it once a transaction. The rows
that are new are those with higher row numbers, since nothing else writes in between.
"""

from __future__ import annotations

import sqlite3
from typing import Final

_LAST: Final = "SELECT max(rowid) FROM job_history"
_TELL: Final = """
INSERT INTO job_event (at, jobs)
SELECT hopyard_now(), json_group_array(id) FROM job_history WHERE rowid > ?1"""
# As the trigger of PostgreSQL does (`versions/0006_reading.py`).
_COUNT: Final = """
INSERT INTO job_minute (minute, task, queue, state, shard, jobs, began, waited, ran)
SELECT finished / 60000000 * 60000000, task, queue, state, 0, count(*), count(started),
       coalesce(sum(started - coalesce(eta, created)), 0) / 1e6,
       coalesce(sum(finished - started), 0) / 1e6
  FROM job_history WHERE rowid > ?1 GROUP BY 1, 2, 3, 4
ON CONFLICT (minute, task, queue, state, shard)
DO UPDATE SET jobs = jobs + excluded.jobs, began = began + excluded.began,
              waited = waited + excluded.waited, ran = ran + excluded.ran"""


def last(raw: sqlite3.Connection) -> int:
    """Return the number of the latest job in history, at the beginning of a transaction."""
    found: int | None = raw.execute(_LAST).fetchone()[0]
    return found or 0


def tell(raw: sqlite3.Connection, before: int) -> None:
    """Tell of the jobs that came into history after the one with the number `before`, and count them."""
    if last(raw) > before:
        raw.execute(_TELL, (before,))
        raw.execute(_COUNT, (before,))
