"""Limits on requests that all workers keep together: the next free moment of each limit is a row."""

from __future__ import annotations

import asyncio
from datetime import datetime
from typing import Final

from hopyard import storage
from hopyard.errors import RateLimited

#: The longest that a job holds its slot for a free moment, in seconds; then it is tried again later.
PATIENCE: Final = 20.0
#: The longest pause that is kept, in seconds. A free moment further away is from before a clock was set back.
_LONGEST_PAUSE: Final = 3600.0


class Limiter:
    """At most so many requests a second, of all workers, for one name.

    Moments are handed out at equal distances (the generic cell rate algorithm without a burst), by the
    database's clock.
    """

    def __init__(self, name: str, per_second: float) -> None:
        self._name = name
        self._distance = 1 / per_second

    async def wait(self) -> None:
        """Return when one more request may be made. Raises `RateLimited` where that is too far away."""
        ahead = await self._reserve()
        if ahead > 0:
            await asyncio.sleep(ahead)

    async def _reserve(self) -> float:
        async with storage.transaction() as tx:
            await tx.execute(
                f"INSERT INTO sync_limit (name, free_at) VALUES ($1, {tx.sql.now}) ON CONFLICT DO NOTHING",
                self._name,
            )
            rows = await tx.fetch(
                f"SELECT free_at, {tx.sql.now} AS now FROM sync_limit WHERE name = $1 {tx.sql.for_update}",
                self._name,
            )
            free, now = _moment(rows[0]["free_at"]), _moment(rows[0]["now"])
            ahead = max(0.0, (free - now).total_seconds())
            if ahead > _LONGEST_PAUSE + PATIENCE + self._distance:
                ahead = 0.0
            if ahead > PATIENCE:
                raise RateLimited(f"{self._name}: the limit is used up for {ahead:.0f} s", retry_after=ahead)
            seconds = str(ahead + self._distance)
            await tx.execute(
                f"UPDATE sync_limit SET free_at = {tx.sql.plus(tx.sql.now, seconds)} WHERE name = $1",
                self._name,
            )
        return ahead

    async def pause(self, seconds: float) -> None:
        """Have nobody make a request for so long, because the other side said so."""
        until = storage.sql().plus(storage.sql().now, str(min(float(seconds), _LONGEST_PAUSE)))
        await storage.execute(
            f"UPDATE sync_limit SET free_at = {until} WHERE name = $1 AND free_at < {until}", self._name
        )


def _moment(value: object) -> datetime:
    found = storage.moment(value)
    assert found is not None  # noqa: S101 - the column is not null
    return found
