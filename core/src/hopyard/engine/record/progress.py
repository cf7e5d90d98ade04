"""Progress on its way to the ledger: the latest word of each job."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from hopyard.engine.record.later import LaterWriter
from hopyard.ledger import notes
from hopyard.ledger.database import Database
from hopyard.ledger.values import Progress


class ProgressWriter(LaterWriter[Progress]):
    """Takes progress from any thread, and writes it from the engine's loop."""

    def __init__(self, database: Database, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(loop)
        self._database = database
        self._latest: dict[str, Progress] = {}

    def progressed(self, progress: Sequence[Progress]) -> None:
        """Take progress; never waits."""
        self._latest |= {one.id: one for one in progress}
        self.arm()

    def _take(self) -> Sequence[Progress]:
        latest, self._latest = self._latest, {}
        return [*latest.values()]

    def _put_back(self, notes_: Sequence[Progress]) -> None:
        self._latest = {one.id: one for one in notes_} | self._latest

    def _waits(self) -> bool:
        return bool(self._latest)

    async def _store(self, notes_: Sequence[Progress]) -> None:
        await notes.write_progress(self._database, notes_)

    def _about(self, note: Progress) -> str:
        return f"the progress of job {note.id}"
