"""The overview that viewers are told: the counts of live jobs, and of what ended in the last hour."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict
from typing import Any, Final

from hopyard.display import to_json
from hopyard.ledger.database import Database
from hopyard.ledger.read import counting
from hopyard.web.live.viewing import Viewing
from hopyard.web.viewer import Viewer

_EVERY: Final = 1.0
#: A count of live jobs is good for so many times as long as it took, and at least so many seconds.
_COUNT_FACTOR: Final = 20.0
_COUNT_SECONDS: Final = 1.0


class LiveCounts:
    """The counts of live jobs, kept for twenty times as long as counting took.

    For as long again they are given while they are counted anew; later whoever asks waits for that.
    """

    def __init__(self, database: Callable[[], Database]) -> None:
        self._database = database
        self._found: list[counting.LiveCount] = []
        self._until = 0.0
        self._good_for = 0.0
        self._counting: asyncio.Task[None] | None = None

    async def get(self) -> list[counting.LiveCount]:
        """Return the counts. Raises what the last count ended with: `LedgerError`."""
        if self._counting is not None and self._counting.done():
            counted, self._counting = self._counting, None
            counted.result()
        if time.monotonic() >= self._until and self._counting is None:
            self._counting = asyncio.create_task(self._count())
        if time.monotonic() >= self._until + self._good_for and self._counting is not None:
            await asyncio.shield(self._counting)
        return self._found

    async def _count(self) -> None:
        begun = time.monotonic()
        self._found = await counting.live(self._database())
        took = time.monotonic() - begun
        self._good_for = max(_COUNT_SECONDS, took * _COUNT_FACTOR)
        self._until = time.monotonic() + self._good_for


class Overviews:
    """The overview, made once for all who look at it, once a second."""

    def __init__(self, database: Callable[[], Database], counts: LiveCounts) -> None:
        self._database = database
        self._counts = counts
        self._at = 0.0
        self._live: list[counting.LiveCount] = []
        self._ended: list[counting.EndedCount] = []

    async def tell(self, viewings: Iterable[Viewing], *, fresh: bool = True) -> None:
        """Tell those who look at it, if it is time; without `fresh` whatever it was last is told."""
        looking = [one for one in viewings if one.overview]
        due = time.monotonic() - self._at >= _EVERY
        if not looking or (fresh and not due):
            return
        if due:
            self._live = await self._counts.get()
            self._ended = await counting.ended(self._database(), minutes=60)
            self._at = time.monotonic()
        texts: dict[tuple[str, ...] | None, str] = {}
        for one in looking:
            scope = one.viewer.plugins
            if scope not in texts:
                texts[scope] = to_json(self._seen_by(one.viewer))
            one.tell_overview(texts[scope])

    def _seen_by(self, viewer: Viewer) -> dict[str, Any]:
        """Return what is about tasks that concern somebody."""
        return {
            name: [asdict(one) | {"state": one.state.label} for one in counts if viewer.concerns(one.task)]
            for name, counts in (("live", self._live), ("ended", self._ended))
        }
