"""The scheduler under stock `celery -A hopyard beat`, and by itself under `hopyard beat`."""

from __future__ import annotations

import logging
from typing import Any

from celery.beat import Scheduler as CeleryScheduler

from hopyard import current, portal
from hopyard.schedule.scheduler import Scheduler

log = logging.getLogger("hopyard.schedule")


class BeatScheduler(CeleryScheduler):  # type: ignore[misc]  # Celery has no types
    """Celery's beat keeps time; what is due stands in the ledger."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._scheduler: Scheduler | None = None
        super().__init__(*args, **kwargs)

    def setup_schedule(self) -> None:
        """Check the ledger, so that a missing migration ends beat with its reason."""
        portal.run(current.get().check_migrations())
        for warning in self.app.without_effect():
            log.warning("%s", warning)

    def tick(self, *args: Any, **kwargs: Any) -> float:
        """Fire what is due; return the seconds to sleep."""
        return portal.run(self._tick())

    async def _tick(self) -> float:
        if self._scheduler is None:
            self._scheduler = Scheduler(current.get())
        return await self._scheduler.tick()

    def close(self) -> None:
        """Give up the lead."""
        if self._scheduler is not None:
            portal.run(self._scheduler.resign())

    @property
    def info(self) -> str:
        return "    . schedules -> the ledger"
