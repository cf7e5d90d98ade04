"""Limits on requests to a model that all workers keep together: its next free moment is a row.

Moments are handed out at equal distances, by the database's clock: the generic cell rate algorithm without a
burst (ITU-T I.371). What a server asks to wait (Retry-After) is kept by all as well.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager, nullcontext
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from hopyard import storage
from hopyard.errors import RateLimited

#: The longest that a job holds its slot for its moment, in seconds.
_PATIENCE: Final = 10.0
#: The longest that a job waits for its moment at all, without a slot; then it goes, and comes back for it.
_LONGEST: Final = 120.0
#: No moment further away is handed out, in seconds.
_HORIZON: Final = 86_400.0
#: The longest that one request keeps the next ones waiting by the tokens that it took, in seconds.
_LONGEST_PUSH: Final = 3_600.0


@dataclass(slots=True)
class Visitor:
    """A job that can wait without a slot, and come back for the moment that it was given.

    `keep` stores the moment where the job's next attempt finds it; `moment` is that of an earlier attempt.
    """

    release_slot: Callable[[], AbstractAsyncContextManager[None]]
    keep: Callable[[datetime], Awaitable[None]]
    moment: datetime | None = None


visitor: ContextVar[Visitor | None] = ContextVar("hopyard_ai_visitor", default=None)


@dataclass(frozen=True, slots=True)
class Gate:
    """Where requests to one model, by its name, wait for their turn. None: no limit but the server's own."""

    name: str
    requests_per_minute: float | None = None
    tokens_per_minute: float | None = None

    async def enter(self) -> None:
        """Return when a request may be made. Raises `RateLimited` where that is too far away to wait for."""
        guest = visitor.get()
        if guest is not None and guest.moment is not None:
            given, guest.moment = guest.moment, None
            if given <= storage.utcnow():  # the moment for which an earlier attempt stood in line
                return
        ahead = await self._take(_PATIENCE if guest is None else _HORIZON)
        if guest is not None and ahead > _LONGEST:
            await guest.keep(_later(ahead))
            raise RateLimited(f"{self.name}: its turn is in {ahead:.0f} s", retry_after=ahead)
        if ahead > 0:
            async with guest.release_slot() if guest is not None and ahead > 1 else nullcontext():
                await asyncio.sleep(ahead)

    async def _take(self, most: float) -> float:
        """Take the next free moment; return how many seconds it is away."""
        rows = await storage.fetch("SELECT free_at FROM ai_limit WHERE name = $1", self.name)
        if not rows and self.requests_per_minute is None:
            return 0.0  # nobody has a limit: nothing is written on the way of a request
        distance = 60.0 / self.requests_per_minute if self.requests_per_minute else 0.0
        async with storage.transaction() as tx:
            await tx.execute(
                f"INSERT INTO ai_limit (name, free_at) VALUES ($1, {tx.sql.now}) ON CONFLICT DO NOTHING",
                self.name,
            )
            [row] = await tx.fetch(
                f"SELECT free_at, {tx.sql.now} AS now FROM ai_limit WHERE name = $1 {tx.sql.for_update}",
                self.name,
            )
            free, now = storage.moment(row["free_at"]), storage.moment(row["now"])
            assert free is not None and now is not None  # noqa: S101, PT018 - neither is null
            ahead = max(0.0, (free - now).total_seconds())
            if ahead > 2 * _HORIZON:  # of a clock that was wrong: no moment so far away is handed out
                ahead = 0.0
                await tx.execute(f"UPDATE ai_limit SET free_at = {tx.sql.now} WHERE name = $1", self.name)
            if ahead > most:
                raise RateLimited(f"{self.name}: its limit is used up for {ahead:.0f} s", retry_after=ahead)
            if distance:
                until = tx.sql.plus(tx.sql.now, str(ahead + distance))
                await tx.execute(f"UPDATE ai_limit SET free_at = {until} WHERE name = $1", self.name)
        return ahead

    async def used(self, tokens: int) -> None:
        """Say how many tokens a request took: the next ones wait until the limit has room for them."""
        if self.tokens_per_minute:
            own = 60.0 / self.requests_per_minute if self.requests_per_minute else 0.0
            seconds = tokens * 60.0 / self.tokens_per_minute - own
            await self._push(min(max(0.0, seconds), _LONGEST_PUSH))

    async def close(self, seconds: float) -> None:
        """Have nobody make a request for so long, because the server said so."""
        words = storage.sql()
        until = words.plus(words.now, str(float(seconds)))
        await storage.execute(
            f"INSERT INTO ai_limit (name, free_at) VALUES ($1, {until}) ON CONFLICT (name) DO UPDATE SET "
            "free_at = excluded.free_at WHERE ai_limit.free_at < excluded.free_at",
            self.name,
        )

    async def _push(self, seconds: float) -> None:
        words = storage.sql()
        begin = f"CASE WHEN ai_limit.free_at < {words.now} THEN {words.now} ELSE ai_limit.free_at END"
        later, first = words.plus(begin, str(seconds)), words.plus(words.now, str(seconds))
        await storage.execute(
            f"INSERT INTO ai_limit (name, free_at) VALUES ($1, {first}) "
            f"ON CONFLICT (name) DO UPDATE SET free_at = {later}",
            self.name,
        )


def _later(seconds: float) -> datetime:
    from datetime import timedelta

    return storage.utcnow() + timedelta(seconds=seconds)
