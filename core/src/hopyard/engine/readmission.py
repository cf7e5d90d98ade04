"""Plugins that leave a running worker and come back: disabled by somebody, or for their tables."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from hopyard.ledger import waiting, workers

if TYPE_CHECKING:
    from hopyard.app import Hopyard
    from hopyard.ledger.database import Database

log = logging.getLogger("hopyard.engine")

#: So often parked jobs are queued once plugins are back, at one look each: other workers that have not
#: looked yet park them once more, and may end before they look.
_UNPARKING: Final = 6


class Readmission:
    """One per worker. What could not be ended at one look, with the ledger away, is ended at the next."""

    def __init__(self, hopyard: Hopyard, database: Database, worker: Callable[[], int]) -> None:
        self._hopyard = hopyard
        self._database = database
        self._worker = worker
        #: What the ledger says that this worker has.
        self._names = hopyard.plugins.names
        self._unparking = 0

    async def look(self) -> None:
        """Follow what was disabled and enabled, and tables that were brought up to date meanwhile."""
        plugins = self._hopyard.plugins
        await self._hopyard.look_again(self._database)
        back = [name for name in plugins.names if name not in self._names]
        if back:
            await asyncio.to_thread(plugins.start_process, "worker", back)
            self._unparking = _UNPARKING
        if plugins.names != self._names:
            names = plugins.names
            await workers.set_plugins(self._database, self._worker(), enabled(self._hopyard))
            self._names = names
        if self._unparking:
            await self._unpark(back)
            self._unparking -= 1

    async def _unpark(self, back: list[str]) -> None:
        unparked = await waiting.unpark(self._database, self._hopyard.tasks)
        if back or unparked:
            log.info(
                "plugins are back: %s; %d parked jobs can run now", ", ".join(back) or "before", unparked
            )


def enabled(hopyard: Hopyard) -> dict[str, str]:
    """Return the enabled plugins' versions, by name."""
    return {one.name: one.version or "" for one in hopyard.plugins.records if one.state == "enabled"}
