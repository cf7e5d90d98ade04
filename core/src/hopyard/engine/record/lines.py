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

log = logging.getLogger("hopyard.engine")

#: More lines than this do not wait for the ledger: those that come then stand in the worker's log only.
_WAITING: Final = 10_000
_BATCH: Final = 500


class LineWriter(LaterWriter[LogLine]):
    """Takes the lines of this process's jobs, and of its children's, and writes them."""

    def __init__(self, database: Database, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(loop)
        self._database = database
        self._waiting: deque[LogLine] = deque()
        self._left_out = 0
        self._handler = JobLog(self.logged)
        logging.getLogger().addHandler(self._handler)

    def close(self) -> None:
        """Listen no more."""
        logging.getLogger().removeHandler(self._handler)

    def logged(self, line: LogLine) -> None:
        """Take a line, from any thread; never waits."""
        if len(self._waiting) < _WAITING:
            self._waiting.append(line)
        else:
            self._left_out += 1  # said when there is room again: saying it here would be a line, too
        self.arm()

    def _take(self) -> Sequence[LogLine]:
        return [self._waiting.popleft() for _ in range(min(_BATCH, len(self._waiting)))]

    def _put_back(self, notes: Sequence[LogLine]) -> None:
        self._waiting.extendleft(reversed(notes))

    def _waits(self) -> bool:
        return bool(self._waiting)

    async def _store(self, notes: Sequence[LogLine]) -> None:
        await logs.write(self._database, notes)
        if self._left_out:
            count, self._left_out = self._left_out, 0
            log.warning("%d lines that jobs logged are not kept with them: too many waited", count)

    def _about(self, note: LogLine) -> str:
        return f"a line of job {note.job_id}'s log"
