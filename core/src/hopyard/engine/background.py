"""The engine's own work beside the jobs: what a worker cannot be without, and what is soon over."""

from __future__ import annotations

import asyncio
import logging
import os
import threading
from collections.abc import Coroutine
from typing import Any, Final

from celery.worker import state as worker_state

from hopyard import portal

log = logging.getLogger("hopyard.engine")

#: A worker that is to end and has not is ended after so long.
_HANGING_SECONDS: Final = 20.0


class Background:
    """Tasks of one worker's loop."""

    def __init__(self) -> None:
        self._vital: list[asyncio.Task[None]] = []
        self._brief: set[asyncio.Task[Any]] = set()
        self._ending = False

    def vital(self, work: Coroutine[Any, Any, None]) -> None:
        """Run what a worker cannot be without, such as taking messages; the worker ends if it ends."""
        task = portal.spawn(work)
        task.add_done_callback(self._vital_ended)
        self._vital.append(task)

    def spawn(self, work: Coroutine[Any, Any, Any]) -> None:
        """Run a piece of work; the loop itself would not keep it alive."""
        task = portal.spawn(work)
        self._brief.add(task)
        task.add_done_callback(self._worked)

    def _worked(self, task: asyncio.Task[Any]) -> None:
        self._brief.discard(task)
        if not task.cancelled() and task.exception() is not None:
            log.error("the engine's own work failed; its messages come back", exc_info=task.exception())

    def _vital_ended(self, task: asyncio.Task[None]) -> None:
        if self._ending:
            return
        error = None if task.cancelled() else task.exception()
        end_process(f"a part of the worker ended: {task.get_coro()!r}", error)

    async def ended(self, seconds: float) -> None:
        """Wait until the vital parts, which were told to end, have; cancel those that take longer."""
        self._ending = True
        if not self._vital:
            return
        for task in (await asyncio.wait(self._vital, timeout=seconds))[1]:
            task.cancel()
            await asyncio.wait([task])

    async def settled(self, seconds: float) -> None:
        """Wait for the brief work that is under way."""
        if self._brief:
            await asyncio.wait([*self._brief], timeout=seconds)


def end_process(why: str, error: BaseException | None = None) -> None:
    """Have the worker end, which lost a part that it cannot be without; its supervisor starts another."""
    worker_state.should_terminate = 1
    # Celery's thread may hang in the broker's connection: what cannot end is ended. First of all: a task may
    # have left a log handler that raises.
    timer = threading.Timer(_HANGING_SECONDS, os._exit, (1,))
    timer.daemon = True
    timer.start()
    log.critical("%s; the worker ends", why, exc_info=error)
