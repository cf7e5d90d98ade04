"""A duty of the leading reconciler: it runs, fails, pauses and is counted by itself."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from typing import Final

from hopyard.errors import BrokerError, LedgerUnavailable
from hopyard.ledger import set_aside
from hopyard.ledger.database import Database
from hopyard.ledger.set_aside import SetAside

log = logging.getLogger("hopyard.reconciler")

_LONGEST_PAUSE: Final = 60.0
#: One that takes longer is cut off, and goes on where it was at its next turn.
_TIME_LIMIT: Final = 20.0


class Duty:
    """Work that is due every so many seconds. `run` returns whether it wants its next turn at once."""

    def __init__(self, name: str, every: float, run: Callable[[], Awaitable[bool | None]]) -> None:
        self.name = name
        self.every = every
        self._run = run
        self._next = 0.0
        #: How often it has failed since it last succeeded.
        self.failures = 0

    def due(self) -> bool:
        """Say whether it is its turn."""
        return time.monotonic() >= self._next

    async def attempt(self, database: Database) -> None:
        """Run it; whatever goes wrong, the other duties go on."""
        self._next = time.monotonic() + self.every
        try:
            async with asyncio.timeout(_TIME_LIMIT):
                again = await self._run()
        except (LedgerUnavailable, BrokerError, TimeoutError) as error:
            self._pause()
            log.warning("%s waits: %s", self.name, str(error) or type(error).__name__)
        except Exception as error:
            self._pause()
            log.exception("%s failed %d times in a row", self.name, self.failures)
            await self._tell(database, f"{type(error).__name__}: {error}")
        else:
            if again:
                self._next = 0.0
            if self.failures:
                self.failures = 0
                await self._tell(database, None)

    def _pause(self) -> None:
        self.failures += 1
        self._next = time.monotonic() + min(
            _LONGEST_PAUSE, max(self.every, 0.5) * 2 ** min(self.failures, 10)
        )

    async def _tell(self, database: Database, reason: str | None) -> None:
        """Leave word in the ledger for `hopyard doctor`; take it back once the duty succeeds."""
        try:
            if reason is None:
                await set_aside.settled(database, "duty", self.name)
            else:
                await set_aside.keep(database, [SetAside("duty", self.name, reason)])
        except Exception as error:  # noqa: BLE001 - it is in the log already
            log.warning("that %s failed cannot be told to the ledger: %s", self.name, error)
