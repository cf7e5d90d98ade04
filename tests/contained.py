"""An installation with one real worker, of which the containment tests expect that it survives."""

from __future__ import annotations

import os
import time
from typing import Any

from sites import Site

#: A healthy job of another plugin.
HEALTHY = "maintenance.monitor_resource_usage"


def examples(usual: int) -> int:
    """Return how many examples a test takes: HOPYARD_INTERNAL_EXAMPLES is a factor, for a long run."""
    return int(usual * float(os.environ.get("HOPYARD_INTERNAL_EXAMPLES", "1")))


def seed() -> int:
    """Return the seed of the generators; HOPYARD_INTERNAL_SEED repeats a run."""
    return int(os.environ.get("HOPYARD_INTERNAL_SEED") or time.time_ns())


class Place:
    """A site with one worker, and what is looked at after each round of faults."""

    def __init__(self, site: Site, broker: str) -> None:
        self.site = site
        self.broker = broker
        self.slowest = 0.0
        self._workers: list[dict[str, Any]] = []

    async def start(self) -> None:
        self.process = await self.site.worker("-Q", "site,maintenance,maintenance.watch,hopyard", stock=False)
        self._workers = await self.site.rows("SELECT id, pid FROM worker ORDER BY id")

    async def check(self) -> None:
        """A healthy job of another plugin runs, and no worker has ended or begun again."""
        began = time.monotonic()
        handle = await self.site.submit(HEALTHY)
        await self.site.result(handle)
        self.slowest = max(self.slowest, time.monotonic() - began)
        assert self.process.poll() is None, self.site.logs()
        assert await self.site.rows("SELECT id, pid FROM worker ORDER BY id") == self._workers, (
            self.site.logs()
        )
