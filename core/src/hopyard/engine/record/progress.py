"""Progress on its way to the ledger: the latest word of each job, a few times a second."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from typing import Final

from hopyard import portal
from hopyard.engine.observers import Observer
from hopyard.errors import LedgerUnavailable
from hopyard.ledger import notes
from hopyard.ledger.database import Database
from hopyard.ledger.values import Progress

log = logging.getLogger("hopyard.engine")

_SECONDS: Final = 0.5


class ProgressWriter(Observer):
    """Takes progress from any thread, and writes it from the engine's loop."""

    def __init__(self, database: Database, loop: asyncio.AbstractEventLoop) -> None:
        self._database = database
        self._loop = loop
        self._latest: dict[str, Progress] = {}
        self._writing: asyncio.Task[None] | None = None

    def progressed(self, progress: Sequence[Progress]) -> None:
        """Take progress; never waits."""
        self._latest |= {one.id: one for one in progress}
        portal.call_soon(self._loop, self._arm)

    def _arm(self) -> None:
        if self._writing is None or self._writing.done():
            self._writing = portal.spawn(self._write())

    async def _write(self) -> None:
        while self._latest:
            await self.flush()
            await asyncio.sleep(_SECONDS)

    async def flush(self) -> None:
        """Write what was told so far."""
        latest, self._latest = self._latest, {}
        if latest:
            await self._store([*latest.values()])

    async def _store(self, progress: Sequence[Progress]) -> None:
        try:
            await notes.write_progress(self._database, progress)
        except LedgerUnavailable as error:
            log.info("progress of %d jobs is not stored: %s", len(progress), error)
        except Exception as error:  # noqa: BLE001 - what one job said must not cost the others'
            if len(progress) > 1:
                for one in progress:
                    await self._store([one])
            else:
                log.warning("the progress of job %s cannot be stored: %r", progress[0].id, error)
