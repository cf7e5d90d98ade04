"""What a running job asks of the worker that runs it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from hopyard.errors import JobCancelled, StaleFence
from hopyard.ledger import notes

if TYPE_CHECKING:
    from hopyard.engine.lanes import Lane, Running
    from hopyard.engine.telling import Telling
    from hopyard.ledger.database import Database
    from hopyard.ledger.values import Progress


class JobHost:
    """The `Host` of the jobs on an engine's loop and in its threads."""

    def __init__(
        self,
        database: Database,
        telling: Telling,
        running: Mapping[str, Running],
        kick: Callable[[Lane], None],
    ) -> None:
        self._database = database
        self._telling = telling
        self._running = running
        self._kick = kick

    def note(self, progress: Progress) -> None:
        """Take progress, from any thread."""
        self._telling.note(progress)

    async def save(self, id_: str, claim: int, data: Mapping[str, Any]) -> None:
        """Store a checkpoint under the job's fence."""
        database, fence = self.held(id_, claim)
        await notes.write_checkpoint(database, id_, fence, data)

    def held(self, id_: str, claim: int) -> tuple[Database, tuple[int, int]]:
        """Return the ledger and the job's fence."""
        self.check(id_, claim)
        return self._database, (self._running[id_].worker, claim)

    def check(self, id_: str, claim: int) -> None:
        """Raise if the job was told to stop."""
        running = self._running.get(id_)
        if running is None or running.claim.claim != claim:
            raise StaleFence(f"job {id_} is no longer this worker's")
        if running.why == "cancel":
            raise JobCancelled(f"job {id_} was cancelled")

    @asynccontextmanager
    async def aside(self, id_: str) -> AsyncIterator[None]:
        """Give the job's slot to others until the block ends."""
        running = self._running.get(id_)
        lane = running.lane if running else None
        if lane is None:
            yield
            return
        lane.free += 1
        self._kick(lane)
        try:
            yield
        finally:
            # Over the limit for as long as the job that took the slot lasts: nobody waits for it.
            lane.free -= 1
