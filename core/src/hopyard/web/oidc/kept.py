"""What is fetched from the provider once for all who need it, and kept for a while."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class Kept(Generic[T]):
    """A document of the provider, kept for `seconds`; who asks while it is fetched waits for the same answer.

    A fetch that fails is forgotten: who asks next tries again.
    """

    def __init__(self, fetch: Callable[[], Awaitable[T]], seconds: float) -> None:
        self._fetch = fetch
        self._seconds = seconds
        self._found: tuple[float, T] | None = None
        self._asking: asyncio.Future[T] | None = None

    async def get(self, *, younger_than: float | None = None) -> T:
        """Return it, fetched anew if it is as old as `younger_than` seconds. Raises what `fetch` raises."""
        oldest = self._seconds if younger_than is None else younger_than
        if self._found is not None and time.monotonic() - self._found[0] < oldest:
            return self._found[1]
        if self._asking is not None:
            return await asyncio.shield(self._asking)
        asking = self._asking = asyncio.ensure_future(self._fetched())
        try:
            return await asyncio.shield(asking)
        finally:
            self._asking = None

    async def _fetched(self) -> T:
        value = await self._fetch()
        self._found = time.monotonic(), value
        return value
