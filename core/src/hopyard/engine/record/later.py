"""Notes about jobs on their way to the ledger: taken from any thread, written a few times a second."""

from __future__ import annotations

import asyncio
import logging
from abc import abstractmethod
from collections.abc import Sequence
from typing import Final, Generic, TypeVar

from hopyard import portal
from hopyard.engine.observers import Observer
from hopyard.errors import LedgerUnavailable

log = logging.getLogger("hopyard.engine")

T = TypeVar("T")

_SECONDS: Final = 0.5


class LaterWriter(Observer, Generic[T]):
    """Writes what it was handed from the engine's loop; what cannot be stored is logged."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._writing: asyncio.Task[None] | None = None
        self._away = False
        """The ledger is away, which was said."""

    @abstractmethod
    def _take(self) -> Sequence[T]:
        """Return what waits, or some of it, and keep it no longer."""

    @abstractmethod
    def _put_back(self, notes: Sequence[T]) -> None:
        """Keep what was taken and cannot be stored now, but for what has come in its place meanwhile."""

    @abstractmethod
    def _waits(self) -> bool:
        """Say whether anything waits."""

    @abstractmethod
    async def _store(self, notes: Sequence[T]) -> None:
        """Write notes."""

    @abstractmethod
    def _about(self, note: T) -> str:
        """Say what a note is, for the log."""

    def arm(self) -> None:
        """Have what waits written soon; never waits."""
        portal.call_soon(self._loop, self._begin)

    def _begin(self) -> None:
        if self._writing is None or self._writing.done():
            self._writing = portal.spawn(self._write())

    async def _write(self) -> None:
        # It ends at once when nothing waits: what is told while it sleeps is written after that.
        while self._waits():
            await self.flush()
            await asyncio.sleep(_SECONDS)

    async def drained(self) -> None:
        """Write all that waits, or as much as the ledger takes."""
        while self._waits() and await self.flush():
            pass

    async def flush(self) -> bool:
        """Write what was told so far, or a part; False if the ledger is away: it waits on."""
        notes = self._take()
        return not notes or await self._try(notes)

    async def _try(self, notes: Sequence[T]) -> bool:
        try:
            await self._store(notes)
        except LedgerUnavailable as error:
            if not self._away:
                log.info("what jobs said waits for the ledger: %s", error)
            self._away = True
            self._put_back(notes)
            return False
        except Exception as error:  # noqa: BLE001 - what one job said must not cost the others'
            if len(notes) > 1:
                return all([await self._try([one]) for one in notes])
            log.warning("%s cannot be stored: %r", self._about(notes[0]), error)
        self._away = False
        return True
