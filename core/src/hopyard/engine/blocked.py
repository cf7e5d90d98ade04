"""What to do about an `async def` task that never gives the event loop back."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from hopyard.engine.run.deadlines import over
from hopyard.engine.run.runner import GRACE_SECONDS
from hopyard.ledger import waiting, workers
from hopyard.ledger.values import Done

if TYPE_CHECKING:
    from hopyard.engine.run.jobs import Jobs
    from hopyard.engine.running import Running
    from hopyard.ledger.database import Database
    from hopyard.loading import Plugins

log = logging.getLogger("hopyard.engine")

_STATUS: Final = 70


class BlockedLoop:
    """Called from the heartbeat's thread, on a loop and a connection of its own, while the loop is blocked.

    Nothing can interrupt such a task. Once its time limit and a grace have passed its failure is recorded,
    the other jobs are handed back uncharged, and the process ends, for its supervisor to start another.
    """

    def __init__(
        self, plugins: Plugins, jobs: Jobs, loop: asyncio.AbstractEventLoop, worker: Callable[[], int]
    ) -> None:
        self._plugins = plugins
        self._jobs = jobs
        self._loop = loop
        self._worker = worker

    async def look(self, database: Database, blocked: float) -> None:
        """End the process if the blocking job has had its time."""
        job = getattr(asyncio.current_task(self._loop), "owner", None)
        running = self._jobs.running.get(job.id) if job is not None else None
        if running is None:
            return
        options = self._plugins.running_options(running.claim.task)
        if options is None:  # its plugin was withdrawn meanwhile
            return
        limit = options.time_limit
        if running.seconds < limit + GRACE_SECONDS or blocked < GRACE_SECONDS:
            return
        log.critical(
            "job %s (%s) blocks the event loop beyond its time limit of %g s: the process ends",
            running.claim.id,
            running.claim.task,
            limit,
        )
        try:
            await self._settle(database, running, limit)
        finally:
            os._exit(_STATUS)

    async def _settle(self, database: Database, running: Running, limit: float) -> None:
        claim = running.claim
        outcome = self._jobs.failed(running, over(claim.task, limit))
        if isinstance(outcome, Done):
            await database.finish([outcome], running.worker)
        else:
            await database.again([outcome], running.worker)
        for other in [*self._jobs.running.values()]:
            if other is not running:
                held = [(other.claim.id, other.claim.claim)]
                await waiting.release(database, held, other.worker, other.handed_back())
        await workers.leave(database, self._worker())
