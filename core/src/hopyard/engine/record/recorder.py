"""Recording how jobs ended, in batches.

The first outcome after a pause is written at once. While more and more come, each flush waits a moment for
company: a commit for each would cost many times what the job does.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final, TypeVar

from hopyard import portal
from hopyard.errors import LedgerUnavailable
from hopyard.ledger.database import Database
from hopyard.ledger.values import Again, Done
from hopyard.specs import State

log = logging.getLogger("hopyard.engine")

T = TypeVar("T", Done, Again)

_BATCH: Final = 128
#: More finished jobs than this wait for the database: intake stops until it has caught up.
FULL: Final = 512
#: So many outcomes are worth a flush of their own; fewer wait for others, so many seconds.
_ENOUGH: Final = 32
_GATHER: Final = 0.01
_PAUSES: Final = (0.1, 0.3, 1.0, 2.0, 5.0)


class Recorder:
    """Takes outcomes from the jobs of one loop and writes them.

    `writes` is called before a batch is written, `written` after it, `caught_up` once there is room again.
    """

    def __init__(
        self,
        database: Database,
        worker: Callable[[], int],
        caught_up: Callable[[], None],
        writes: Callable[[], None],
        written: Callable[[Sequence[Done | Again], Sequence[str]], None],
    ) -> None:
        self._database = database
        self._worker = worker
        self._caught_up = caught_up
        self._writes = writes
        self._written = written
        self._done: list[Done] = []
        self._again: list[Again] = []
        self._flusher: asyncio.Task[None] | None = None

    @property
    def full(self) -> bool:
        return len(self._done) + len(self._again) >= FULL

    def add(self, outcome: Done | Again) -> None:
        """Take an outcome; written soon."""
        if isinstance(outcome, Done):
            self._done.append(outcome)
        else:
            self._again.append(outcome)
        self._flush_soon()

    def _flush_soon(self) -> None:
        if self._flusher is None or self._flusher.done():
            self._flusher = portal.spawn(self._flush())

    async def drained(self) -> None:
        """Return when everything is written."""
        while self._flusher is not None and not self._flusher.done():
            await asyncio.wait([self._flusher])

    async def _flush(self) -> None:
        busy = False
        while self._done or self._again:
            if busy and len(self._done) + len(self._again) < _ENOUGH:
                await asyncio.sleep(_GATHER)
            busy = True
            self._writes()
            was_full = self.full
            done, again = self._done[:_BATCH], self._again[:_BATCH]
            if done:
                await self._write(done, self._database.finish)
            if again:
                await self._write(again, self._database.again)
            # Only now: whatever ends this flush early, the next one writes what is left, and a second write
            # of an outcome is refused.
            del self._done[: len(done)], self._again[: len(again)]
            if was_full and not self.full:
                self._caught_up()

    async def _write(
        self, batch: Sequence[T], statement: Callable[[Sequence[T], int], Awaitable[set[str]]]
    ) -> None:
        """Write a batch, however long the database is away; a batch with a bad row is halved."""
        attempt = 0
        while True:
            try:
                ours = await statement(batch, self._worker())
                break
            except LedgerUnavailable as error:
                log.warning("%d finished jobs wait for the ledger: %s", len(batch), error)
                await asyncio.sleep(_PAUSES[min(attempt, len(_PAUSES) - 1)])
                attempt += 1
            except Exception as error:  # noqa: BLE001 - a row that the database refuses, whatever its reason
                await self._halve(batch, statement, error)
                return
        refused = [outcome.id for outcome in batch if outcome.id not in ours]
        for id_ in refused:
            log.warning("job %s was no longer ours: its outcome was refused", id_)
        self._written(batch, refused)

    async def _halve(
        self,
        batch: Sequence[T],
        statement: Callable[[Sequence[T], int], Awaitable[set[str]]],
        error: Exception,
    ) -> None:
        if len(batch) > 1:
            middle = len(batch) // 2
            await self._write(batch[:middle], statement)
            await self._write(batch[middle:], statement)
            return
        log.error("the outcome of job %s cannot be stored: %r", batch[0].id, error)
        described: dict[str, Any] = {
            "kind": type(error).__name__,
            "category": "bug",
            "message": f"the outcome could not be stored: {error}",
        }
        await self._refuse(Done(batch[0].id, batch[0].claim, State.DEAD, None, json.dumps(described), None))

    async def _refuse(self, refused: Done) -> None:
        for pause in _PAUSES:
            try:
                await self._database.finish([refused], self._worker())
            except Exception as error:  # noqa: BLE001 - logged; whatever it is, it may pass
                log.warning("the end of job %s cannot be stored: %r", refused.id, error)
                await asyncio.sleep(pause)
            else:
                self._written([refused], [])
                return
        log.error("the end of job %s is given up: it runs again once this worker has left", refused.id)
