"""Lines that jobs log on their way to the ledger."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Sequence
from typing import Final

from hopyard.engine.record.later import LaterWriter
from hopyard.ledger.database import Database
from hopyard.ledger.read import logs
from hopyard.ledger.read.logs import LogLine
from hopyard.monitor.joblog import JobLog

#: More lines than this that wait for the ledger are not kept; they stand in the worker's log.
_WAITING: Final = 10_000
_BATCH: Final = 500


class LineWriter(LaterWriter[LogLine]):
    """Takes the lines of this process's jobs, and of its children's, and writes them."""

    def __init__(self, database: Database, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(loop)
        self._database = database
        self._waiting: deque[LogLine] = deque(maxlen=_WAITING)
        self._handler = JobLog(self.logged)
        logging.getLogger().addHandler(self._handler)

    def close(self) -> None:
        """Listen no more."""
        logging.getLogger().removeHandler(self._handler)

    def logged(self, line: LogLine) -> None:
        """Take a line, from any thread; never waits."""
        self._waiting.append(line)
        self.arm()

    def _take(self) -> Sequence[LogLine]:
        return [self._waiting.popleft() for _ in range(min(_BATCH, len(self._waiting)))]

    async def _store(self, notes: Sequence[LogLine]) -> None:
        await logs.write(self._database, notes)

    def _about(self, note: LogLine) -> str:
        return f"a line of job {note.job_id}'s log"
