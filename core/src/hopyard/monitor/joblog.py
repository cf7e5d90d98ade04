"""What a job logs is kept with the job: its first lines, for who looks at it later or meanwhile."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final

from hopyard.display import printable
from hopyard.ledger.read.logs import KEPT, LONGEST, LogLine
from hopyard.tasks.job import current_job

#: Of one attempt; the number of a line is its attempt's times this, and its place in the attempt.
_ATTEMPT: Final = 1_000
#: Attempts whose lines are counted: of more at the same time the oldest begin anew, and repeat no number
#: that is stored.
_COUNTED: Final = 10_000
#: The engine's own words about a job stand in its history already.
_OURS: Final = ("hopyard.engine", "hopyard.reconciler")


class JobLog(logging.Handler):
    """Hands on the lines that are logged within a job: the first 500 of each attempt, secrets masked.

    `take` is called from any thread and must not wait.
    """

    def __init__(self, take: Callable[[LogLine], None]) -> None:
        super().__init__(logging.INFO)
        self._take_line = take
        self._counts: dict[tuple[str, int], int] = {}

    def emit(self, record: logging.LogRecord) -> None:
        """Hand on a line of a job; lines of no job are none of its."""
        job = current_job.get()
        if job is None or record.name.startswith(_OURS):
            return
        try:
            n = self._counts.get((job.id, job.attempt), 0) + 1
            if n > KEPT:
                return
            self._count(job.id, job.attempt, n)
            text = self._text(record) if n < KEPT else "the job logged more: see its worker's log"
            at = datetime.fromtimestamp(record.created, UTC)
            line = LogLine(job.id, job.attempt * _ATTEMPT + n, at, record.levelname, text)
            self._take_line(line)
        except Exception:  # noqa: BLE001 - as every handler: logging must not fail
            self.handleError(record)

    def _count(self, id_: str, attempt: int, n: int) -> None:
        self._counts[id_, attempt] = n
        if len(self._counts) > _COUNTED:
            del self._counts[next(iter(self._counts))]

    def _text(self, record: logging.LogRecord) -> str:
        text = record.getMessage()
        if record.exc_info:
            text += "\n" + logging.Formatter().formatException(record.exc_info)
        lines = [printable(line) for line in text.splitlines()] or [""]
        whole = "\n".join(lines)
        return whole if len(whole) <= LONGEST else whole[: LONGEST - 1] + "…"
