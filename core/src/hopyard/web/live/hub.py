"""Follows the ledger once for all viewers of this process, four times a second.

Each look costs a statement for what has changed, one for the jobs that somebody looks at, and one each for
their progress and log lines, whatever the number of viewers. What is told is always what the ledger says at
that moment: a change that is told twice, or late, shows the same.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Final

from hopyard.errors import HopyardError
from hopyard.ledger.database import Database
from hopyard.ledger.read import counting, logs, tail
from hopyard.ledger.read.summary import JobSummary, is_over, progress, summaries
from hopyard.ledger.read.tail import Tail
from hopyard.web.live.viewing import Message, Viewing

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hopyard.app import Hopyard

log = logging.getLogger("hopyard.web")

_TICK: Final = 0.25
_OVERVIEW_EVERY: Final = 1.0
#: More jobs that changed at once are not told one by one: viewers of lists are told to look again.
_MANY: Final = 1_000
#: Running jobs whose progress is followed for lists.
_RUNNING: Final = 500
#: A count of live jobs is good for so many times as long as it took, and at least so many seconds.
_COUNT_FACTOR: Final = 20.0
_COUNT_SECONDS: Final = 1.0
_LONGEST_PAUSE: Final = 10.0


class Hub:
    """The viewers of one process, and what they are told."""

    def __init__(self, hopyard: Hopyard) -> None:
        self._hopyard = hopyard
        self._viewings: set[Viewing] = set()
        self._tail: Tail | None = None
        self._running: dict[str, None] = {}
        self._progress: dict[str, Any] = {}
        self._overview_at = 0.0
        self.counts = LiveCounts(lambda: self._database)
        self._somebody = asyncio.Event()

    @property
    def _database(self) -> Database:
        return self._hopyard.client().database

    @asynccontextmanager
    async def following(self) -> AsyncIterator[None]:
        """Follow the ledger until the end of the block."""
        task = asyncio.create_task(self._follow(), name="hopyard-web-follow")
        try:
            yield
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
            for viewing in self._viewings:
                viewing.end()

    @contextmanager
    def viewing(self, viewing: Viewing) -> Iterator[Viewing]:
        """Tell a viewer what changes until the end of the block."""
        self._viewings.add(viewing)
        self._somebody.set()
        try:
            yield viewing
        finally:
            self._viewings.discard(viewing)

    async def begun(self, viewing: Viewing, last: int | None) -> None:
        """Tell a viewer what they missed since `last`, or what is now."""
        if self._tail is None:
            self._tail = await Tail.from_now(self._database)
        place = self._tail.place
        missed = None if last is None else await tail.since(self._database, last)
        if last is not None and missed is None:
            viewing.tell(Message("reset", {}, place))
        elif missed is not None and viewing.job is None and missed.jobs:
            await self._tell_jobs([viewing], missed.jobs[-_MANY:], missed.place)
        if viewing.job is not None:
            await self._tell_jobs([viewing], [viewing.job], place)
            await self._tell_progress([viewing], [viewing.job])
            await self._tell_lines([viewing], 0)
        if viewing.overview:
            viewing.tell(Message("overview", await self._overview(), place))
        viewing.tell(Message("ready", {}, place if missed is None else max(place, missed.place)))

    async def _follow(self) -> None:
        pause = _TICK
        while True:
            if not self._viewings:
                self._tail, self._running, self._progress = None, {}, {}
                self._somebody.clear()
                await self._somebody.wait()
            begun = time.monotonic()
            try:
                await self._look()
                pause = _TICK
            except HopyardError as error:
                pause = min(_LONGEST_PAUSE, pause * 2)
                log.warning("viewers are told nothing for %g s: %s", pause, error)
            except Exception:
                pause = min(_LONGEST_PAUSE, pause * 2)
                log.exception("viewers are told nothing for %g s", pause)
            await asyncio.sleep(max(0.0, begun + pause - time.monotonic()))

    async def _look(self) -> None:
        """Tell everybody what has changed since the last look."""
        if self._tail is None:
            self._tail = await Tail.from_now(self._database)
        changes = await self._tail.read()
        viewings = [*self._viewings]
        listing = [one for one in viewings if one.job is None and not one.overview]
        watched = {one.job for one in viewings if one.job is not None}
        ids = changes.jobs if listing else [id_ for id_ in changes.jobs if id_ in watched]
        if len(ids) > _MANY:
            for one in listing:
                one.tell(Message("reset", {}, changes.place))
            ids = [id_ for id_ in ids if id_ in watched]
        if ids:
            await self._tell_jobs(viewings, ids, changes.place)
        following = [*{*watched, *(self._running if listing else ())}]
        if following:
            await self._tell_progress(viewings, following)
        if watched:
            await self._tell_lines([one for one in viewings if one.job is not None], changes.place)
        await self._tell_overview([one for one in viewings if one.overview], changes.place)

    async def _tell_jobs(self, viewings: list[Viewing], ids: list[str], place: int) -> None:
        found: list[JobSummary] = []
        for start in range(0, len(ids), _MANY):
            found += await summaries(self._database, ids[start : start + _MANY])
        for job in found:
            if job.state == "running" and len(self._running) < _RUNNING:
                self._running[job.id] = None
            elif is_over(job.state):
                self._running.pop(job.id, None)
        for one in viewings:
            theirs = [asdict(job) for job in found if one.wants(job)]
            if theirs:
                one.tell(Message("jobs", {"jobs": theirs}, place))

    async def _tell_progress(self, viewings: list[Viewing], ids: list[str]) -> None:
        found = await progress(self._database, ids)
        fresh = {one.job: one for one in found if self._progress.get(one.job) != one.updated}
        self._progress = {one.job: one.updated for one in found}
        for viewing in viewings:
            new = found if viewing.fresh_progress else fresh.values()
            theirs = [asdict(one) for one in new if viewing.follows(one.job)]
            viewing.fresh_progress = False
            if theirs:
                viewing.tell(Message("progress", {"progress": theirs}, None))

    async def _tell_lines(self, viewings: list[Viewing], place: int) -> None:
        jobs = {one.job for one in viewings if one.job is not None}
        last = await logs.last(self._database, [*jobs])
        known: dict[tuple[str, int], list[logs.Line]] = {}
        for one in viewings:
            if one.job is None or last.get(one.job, 0) <= one.line:
                continue
            where = (one.job, one.line)
            if where not in known:
                known[where] = await logs.lines(self._database, *where)
            lines = known[where]
            if lines:
                one.line = lines[-1].n
                one.tell(Message("log", {"lines": [asdict(line) for line in lines]}, None))

    async def _tell_overview(self, viewings: list[Viewing], place: int) -> None:
        now = time.monotonic()
        if not viewings or now - self._overview_at < _OVERVIEW_EVERY:
            return
        self._overview_at = now
        told = await self._overview()
        for one in viewings:
            one.tell(Message("overview", told, place))

    async def _overview(self) -> dict[str, Any]:
        live = await self.counts.get()
        ended = await counting.ended(self._database, minutes=60)
        return {"live": [asdict(one) for one in live], "ended": [asdict(one) for one in ended]}


class LiveCounts:
    """The counts of live jobs, kept for twenty times as long as counting took."""

    def __init__(self, database: Callable[[], Database]) -> None:
        self._database = database
        self._found: list[counting.LiveCount] = []
        self._until = 0.0
        self._counting: asyncio.Task[None] | None = None

    async def get(self) -> list[counting.LiveCount]:
        """Return the counts; those that are older are counted anew, meanwhile the old ones are given."""
        if time.monotonic() >= self._until and (self._counting is None or self._counting.done()):
            self._counting = asyncio.create_task(self._count())
        if not self._until and self._counting is not None:
            await asyncio.shield(self._counting)
        elif self._counting is not None and self._counting.done():
            self._counting.result()
        return self._found

    async def _count(self) -> None:
        begun = time.monotonic()
        self._found = await counting.live(self._database())
        took = time.monotonic() - begun
        self._until = time.monotonic() + max(_COUNT_SECONDS, took * _COUNT_FACTOR)
