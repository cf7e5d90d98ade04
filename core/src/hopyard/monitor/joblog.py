"""What a job logs is kept with the job: its first lines, for who looks at it later or meanwhile."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final
from weakref import WeakKeyDictionary

from hopyard.display import printable
from hopyard.ledger.read.logs import KEPT, LONGEST, LogLine
from hopyard.tasks.job import Job, current_job

#: Of one attempt; the number of a line is its attempt's times this, and its place in the attempt.
_ATTEMPT: Final = 1_000
#: The engine's own words about a job stand in its history already.
_OURS: Final = ("hopyard.engine", "hopyard.reconciler")


class JobLog(logging.Handler):
    """Hands on the lines that are logged within a job: the first 500 of each attempt, secrets masked.

    `take` is called from any thread and must not wait.
    """

    def __init__(self, take: Callable[[LogLine], None]) -> None:
        super().__init__(logging.INFO)
        self._take_line = take
        self._counts: WeakKeyDictionary[Job, int] = WeakKeyDictionary()
        """Lines of each job that runs here; a count goes with its job."""

    def emit(self, record: logging.LogRecord) -> None:
        """Hand on a line of a job; lines of no job are none of its."""
        job = current_job.get()
        if job is None or record.name.startswith(_OURS):
            return
        try:
            n = self._counts.get(job, 0) + 1
            if n > KEPT + 1:
                return
            self._counts[job] = n
            text = (
                job.hidden(self._text(record)) if n <= KEPT else "the job logged more: see its worker's log"
            )
            at = datetime.fromtimestamp(record.created, UTC)
            line = LogLine(job.id, job.attempt * _ATTEMPT + n, at, record.levelname, text)
            self._take_line(line)
        except Exception:  # noqa: BLE001 - as every handler: logging must not fail
            self.handleError(record)

    def _text(self, record: logging.LogRecord) -> str:
        text = record.getMessage()
        if record.exc_info:
            text += "\n" + logging.Formatter().formatException(record.exc_info)
        lines = [printable(line) for line in text.splitlines()] or [""]
        whole = "\n".join(lines)
        return whole if len(whole) <= LONGEST else whole[: LONGEST - 1] + "…"
