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

    @abstractmethod
    def _take(self) -> Sequence[T]:
        """Return what waits, and keep it no longer."""

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
        while await self.flush():  # noqa: ASYNC110 - this works, it does not wait for something
            await asyncio.sleep(_SECONDS)

    async def flush(self) -> bool:
        """Write what was told so far; say whether there was anything."""
        notes = self._take()
        if notes:
            await self._try(notes)
        return bool(notes)

    async def _try(self, notes: Sequence[T]) -> None:
        try:
            await self._store(notes)
        except LedgerUnavailable as error:
            log.info("%d notes about jobs are not stored: %s", len(notes), error)
        except Exception as error:  # noqa: BLE001 - what one job said must not cost the others'
            if len(notes) > 1:
                for one in notes:
                    await self._try([one])
            else:
                log.warning("%s cannot be stored: %r", self._about(notes[0]), error)
