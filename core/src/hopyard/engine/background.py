"""The engine's own work beside the jobs: what a worker cannot be without, and what is soon over."""

from __future__ import annotations

import asyncio
import logging
import os
import threading
from collections.abc import Coroutine
from typing import Any, Final

from celery.worker import state as worker_state

log = logging.getLogger("hopyard.engine")

#: A worker that is to end and has not is ended after so long.
_HANGING_SECONDS: Final = 20.0


class Background:
    """Tasks of one worker's loop."""

    def __init__(self) -> None:
        self._vital: list[asyncio.Task[None]] = []
        self._brief: set[asyncio.Task[None]] = set()

    def vital(self, work: Coroutine[Any, Any, None]) -> None:
        """Run what a worker cannot be without: reconciler and intake."""
        task = asyncio.create_task(work)
        task.add_done_callback(_ended)
        self._vital.append(task)

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        """Run a piece of work; the loop itself would not keep it alive."""
        task = asyncio.create_task(work)
        self._brief.add(task)
        task.add_done_callback(self._worked)

    def _worked(self, task: asyncio.Task[None]) -> None:
        self._brief.discard(task)
        if not task.cancelled() and task.exception() is not None:
            log.error("the engine's own work failed; its messages come back", exc_info=task.exception())

    async def ended(self, seconds: float) -> None:
        """Wait until the vital parts, which were told to end, have; cancel those that take longer."""
        if not self._vital:
            return
        for task in (await asyncio.wait(self._vital, timeout=seconds))[1]:
            task.cancel()
            await asyncio.wait([task])

    async def settled(self, seconds: float) -> None:
        """Wait for the brief work that is under way."""
        if self._brief:
            await asyncio.wait([*self._brief], timeout=seconds)


def _ended(task: asyncio.Task[None]) -> None:
    """A worker whose reconciler or intake died of a bug must not go on as if nothing were."""
    if task.cancelled() or task.exception() is None:
        return
    log.critical("a part of the engine died; the worker ends", exc_info=task.exception())
    worker_state.should_terminate = 1
    # Celery's thread may hang in the broker's connection: what cannot end is ended.
    timer = threading.Timer(_HANGING_SECONDS, os._exit, (1,))
    timer.daemon = True
    timer.start()
