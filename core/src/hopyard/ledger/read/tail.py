"""Following the jobs that change: which ones did, in the order in which the ledger tells of it.

A row of `job_event` is written for each statement that changes jobs, mostly by triggers. On PostgreSQL a
transaction may commit after one that has taken a higher number: numbers that are missing are asked for again
for a while. The place from which somebody can go on is therefore before the first number that may still come.
"""

from __future__ import annotations

import json
import time
from collections.abc import Collection, Iterable, Sequence
from itertools import pairwise
from typing import Any, Final, NamedTuple

from hopyard.ledger.database import Connection, Database, Row

#: Seconds that what has changed is kept for those who come back.
KEPT: Final = 3600.0
#: A number that has not come after so many seconds was rolled back: longer than a transaction may last.
_LATE: Final = 30.0
#: Rows that one look reads.
_BATCH: Final = 5_000
_PRUNED: Final = 5_000


class Changes(NamedTuple):
    """`jobs` that changed, in order, each once; `place` to go on from later; `more` if more wait."""

    jobs: list[str]
    place: int
    more: bool


class Tail:
    """Follows the changes from a place on. One for each process, whatever the number of those who look."""

    def __init__(self, database: Database, place: int) -> None:
        self._database = database
        self._last = place
        self._missing: dict[int, float] = {}
        """Numbers that may still come, and when they were first missed (monotonic seconds)."""

    @classmethod
    async def from_now(cls, database: Database) -> Tail:
        """Return a tail that begins behind what is there, but for the numbers that may still come."""
        rows = await database.fetch(f"SELECT n FROM job_event ORDER BY n DESC LIMIT {_BATCH}")
        there = [int(row["n"]) for row in reversed(rows)]
        tail = cls(database, there[-1] if there else 0)
        now = time.monotonic()
        for before, n in pairwise(there):
            tail._missing |= dict.fromkeys(range(before + 1, n), now)
        return tail

    @property
    def place(self) -> int:
        """All up to this number was told; numbers above may have been."""
        return min(self._missing, default=self._last + 1) - 1

    async def read(self) -> Changes:
        """Return what has changed since the last look. Raises `LedgerError`."""
        missing = [*self._missing]
        again = f" OR n IN ({', '.join(str(n) for n in missing)})" if missing else ""
        rows = await self._database.fetch(
            f"SELECT n, jobs FROM job_event WHERE n > $1{again} ORDER BY n LIMIT {_BATCH}", self._last
        )
        now = time.monotonic()
        for row in rows:
            n = int(row["n"])
            self._missing.pop(n, None)
            if n > self._last:
                self._missing |= dict.fromkeys(range(self._last + 1, n), now)
                self._last = n
        self._missing = {n: since for n, since in self._missing.items() if now - since < _LATE}
        return Changes(_once(row["jobs"] for row in rows), self.place, len(rows) == _BATCH)


async def missed(
    database: Database, places: Collection[int], most: int = 100_000
) -> dict[int, Changes | None]:
    """Return what has changed since each place that somebody was told; None where not all is kept any more.

    What was told before may be told again: whoever asks reads the jobs as they are now. Two statements,
    whatever the number of places.
    """
    (row,) = await database.fetch("SELECT min(n) AS first, coalesce(max(n), 0) AS last FROM job_event")
    first, last = row["first"], int(row["last"])
    kept = [
        place
        for place in places
        if place <= last and last - place <= most and (place == last or int(first) <= place + 1)
    ]
    rows: Sequence[Row] = []
    if kept:
        rows = await database.fetch(
            f"SELECT n, jobs FROM job_event WHERE n > $1 ORDER BY n LIMIT {int(most)}", min(kept)
        )
    found: dict[int, Changes | None] = dict.fromkeys(places)
    for place in kept:
        theirs = [row for row in rows if int(row["n"]) > place]
        found[place] = Changes(
            _once(row["jobs"] for row in theirs), int(theirs[-1]["n"]) if theirs else place, False
        )
    return found


async def note(tx: Connection, database: Database, jobs: Sequence[str]) -> None:
    """Tell of jobs that no trigger sees, since they are removed."""
    await tx.execute(
        f"INSERT INTO job_event (at, jobs) VALUES ({database.dialect.now}, $1)", database.list(jobs)
    )


async def prune(database: Database) -> int:
    """Remove what was kept long enough, one batch; the newest row stays. Returns how many went."""
    d = database.dialect
    return await database.execute(
        f"DELETE FROM job_event WHERE n IN (SELECT n FROM job_event ORDER BY n LIMIT {_PRUNED}) "
        f"AND at < {d.minus(d.now, '$1')} AND n < (SELECT max(n) FROM job_event)",
        KEPT,
    )


def _once(stored: Iterable[Any]) -> list[str]:
    """Return the ids of rows, the last mention of each."""
    found: dict[str, None] = {}
    for ids in stored:
        for id_ in json.loads(ids) if isinstance(ids, str) else ids:
            found.pop(str(id_), None)
            found[str(id_)] = None
    return [*found]
