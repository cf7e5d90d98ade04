"""Bandwidth that several transfers share."""

from __future__ import annotations

import asyncio
import time


class Pace:
    """Lets at most `bytes_per_second` through; all of it without a limit.

    Each block takes its time on one common line, which transfers join where it ends.
    """

    def __init__(self, bytes_per_second: int | None) -> None:
        self._rate = bytes_per_second
        self._free_at = 0.0

    async def __call__(self, count: int) -> None:
        """Wait until `count` more bytes may go."""
        if self._rate is None:
            return
        now = time.monotonic()
        begins = max(now, self._free_at)
        self._free_at = begins + count / self._rate
        if begins > now:
            await asyncio.sleep(begins - now)
