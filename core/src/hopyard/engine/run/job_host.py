"""What a running job asks of the worker that runs it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from hopyard.errors import JobCancelled, StaleFence
from hopyard.ledger import notes

if TYPE_CHECKING:
    from hopyard.engine.observers import Observer
    from hopyard.engine.running import Running
    from hopyard.engine.slots import Slots
    from hopyard.ledger.database import Database
    from hopyard.ledger.values import Progress


class JobHost:
    """The `Host` of the jobs on an engine's loop and in its threads."""

    def __init__(
        self,
        database: Database,
        observers: Observer,
        running: Mapping[str, Running],
        wake: Callable[[Slots], None],
    ) -> None:
        self._database = database
        self._observers = observers
        self._running = running
        self._wake = wake

    def note(self, progress: Progress) -> None:
        """Take progress, from any thread."""
        self._observers.progressed([progress])

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
    async def release_slot(self, id_: str) -> AsyncIterator[None]:
        """Give the job's slot to others until the block ends."""
        running = self._running.get(id_)
        if running is None:
            yield
            return
        running.waits += 1
        if running.waits == 1:
            running.slots.free += 1
            self._wake(running.slots)
        try:
            yield
        finally:
            running.waits -= 1
            if running.waits == 0 and not running.over:
                # Over the limit for as long as the job that took the slot lasts: nobody waits for it.
                running.slots.free -= 1
