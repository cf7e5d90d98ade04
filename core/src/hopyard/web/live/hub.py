"""Follows the ledger once for all viewers of this process, four times a second.

Each look costs a statement for what has changed, one for the jobs that changed, and one each for progress and
log lines, whatever the number of viewers. What is told is always what the ledger says at that moment: a
change that is told twice, or late, shows the same. One task tells all of it, so that nobody is told what was
read before what they were told already.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Collection, Hashable, Iterable
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Final

from hopyard.display import to_json
from hopyard.errors import HopyardError
from hopyard.ledger import access
from hopyard.ledger.database import Database
from hopyard.ledger.read import logs, tail
from hopyard.ledger.read.summary import JobSummary, progress, running, summaries
from hopyard.ledger.read.tail import Tail
from hopyard.redaction import masked
from hopyard.web.live.overview import LiveCounts, Overviews
from hopyard.web.live.viewing import Viewing

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hopyard.app import Hopyard

log = logging.getLogger("hopyard.web")

_TICK: Final = 0.25
#: More jobs that changed at once are not told one by one: viewers of lists are told to look again.
_MANY: Final = 1_000
#: Running jobs whose progress is followed for lists.
_RUNNING: Final = 500
#: So often it is looked whether the keys of those who look still open, in seconds.
_KEYS_EVERY: Final = 2.0
_LONGEST_PAUSE: Final = 10.0


class Hub:
    """The viewers of one process, and what they are told."""

    def __init__(self, hopyard: Hopyard) -> None:
        self._hopyard = hopyard
        self._viewings: dict[Viewing, None] = {}
        self._newcomers: dict[Viewing, None] = {}
        self._tail: Tail | None = None
        self._running: dict[str, JobSummary] | None = None
        self._keys_at = 0.0
        self._task: asyncio.Task[None] | None = None
        self.counts = LiveCounts(lambda: self._database)
        self._overviews = Overviews(lambda: self._database, self.counts)
        self._somebody_new = asyncio.Event()

    @property
    def _database(self) -> Database:
        return self._hopyard.client().database

    @asynccontextmanager
    async def following(self) -> AsyncIterator[None]:
        """Follow the ledger from when somebody looks until the end of the block."""
        try:
            yield
        finally:
            if self._task is not None:
                self._task.cancel()
                await asyncio.wait([self._task])
            self.end()

    def end(self) -> None:
        """Tell nobody any more: streams end, and those who looked come back to whoever serves next."""
        for viewing in (*self._viewings, *self._newcomers):
            viewing.end()

    @contextmanager
    def viewing(self, viewing: Viewing) -> Iterator[Viewing]:
        """Tell a viewer what is now, or what they missed, then what changes, until the end of the block."""
        self.join(viewing)
        if self._task is None or self._task.done():
            # Not before: where the application is mounted in another one, nobody runs its lifespan.
            self._task = asyncio.create_task(self._follow(), name="hopyard-web-follow")
        try:
            yield viewing
        finally:
            self.leave(viewing)

    def join(self, viewing: Viewing) -> None:
        """Have a viewer told from the next `welcome` on."""
        self._newcomers[viewing] = None
        self._somebody_new.set()

    def leave(self, viewing: Viewing) -> None:
        """Tell a viewer no more."""
        self._newcomers.pop(viewing, None)
        self._viewings.pop(viewing, None)

    def keys_changed(self) -> None:
        """Look at once whether the keys of those who look still open."""
        self._keys_at = 0.0

    async def _follow(self) -> None:
        pause, due = _TICK, 0.0
        while True:
            if not self._viewings and not self._newcomers:
                self._tail, self._running = None, None
                await self._somebody_new.wait()
            self._somebody_new.clear()
            try:
                await self.welcome()
                if time.monotonic() >= due:
                    due = time.monotonic() + _TICK
                    await self.look()
                pause = _TICK
            except HopyardError as error:
                pause = min(_LONGEST_PAUSE, pause * 2)
                log.warning("viewers are told nothing for %g s: %s", pause, error)
            except Exception:
                pause = min(_LONGEST_PAUSE, pause * 2)
                log.exception("viewers are told nothing for %g s", pause)
            if pause > _TICK:
                # Who comes meanwhile waits as well: asking at once would ask for ever.
                await asyncio.sleep(pause)
            else:
                await self._until(due)

    async def _until(self, due: float) -> None:
        """Wait for the time of the next look, or for somebody new."""
        with suppress(TimeoutError):
            async with asyncio.timeout(max(0.0, due - time.monotonic())):
                await self._somebody_new.wait()

    async def welcome(self) -> None:
        """Tell those who came what they missed, or what is now."""
        new = [*self._newcomers]
        if not new:
            return
        if self._tail is None:
            self._tail = await Tail.from_now(self._database)
        place = self._tail.place
        places = {one.last for one in new if one.lists and one.last is not None}
        missed = await tail.missed(self._database, places) if places else {}
        ids = {one.job for one in new if one.job is not None}
        for changes in missed.values():
            ids.update(changes.jobs if changes is not None and len(changes.jobs) <= _MANY else ())
        found = {job.id: job for job in await self._summaries([*ids])}
        for one in new:
            changes = missed.get(one.last) if one.last is not None else None
            if one.job is not None:
                _tell_jobs([one], [found[one.job]] if one.job in found else [])
            elif one.lists and one.last is not None:
                if changes is None or len(changes.jobs) > _MANY:
                    one.tell_reset()
                else:
                    _tell_jobs([one], [found[id_] for id_ in changes.jobs if id_ in found])
                    one.tell_removed(id_ for id_ in changes.jobs if id_ not in found)
            one.place = place
        await self._tell_progress(new, [*found.values()])
        await self._tell_lines(new)
        await self._overviews.tell(new, fresh=False)
        for one in new:
            one.tell_ready()
            if one in self._newcomers:  # they may have left meanwhile
                del self._newcomers[one]
                self._viewings[one] = None
            one.wake()

    async def look(self) -> None:
        """Tell everybody what has changed since the last look."""
        if not self._viewings:
            return
        if self._tail is None:
            self._tail = await Tail.from_now(self._database)
        if time.monotonic() - self._keys_at >= _KEYS_EVERY:
            await self._check_keys()
        changes = await self._tail.read()
        viewings = [*self._viewings]
        lists = [one for one in viewings if one.lists]
        watched = {one.job for one in viewings if one.job is not None}
        ids = changes.jobs if lists else [id_ for id_ in changes.jobs if id_ in watched]
        if len(ids) > _MANY:
            for one in lists:
                one.tell_reset()
            # Which of the many run now is found out by looking at all that run.
            self._running, ids = None, [id_ for id_ in ids if id_ in watched]
        found = await self._summaries(ids)
        _tell_jobs(viewings, found)
        removed = {*ids} - {job.id for job in found}
        for one in viewings:
            one.tell_removed(removed)
            one.place = changes.place
        await self._tell_progress(viewings, await self._followed(found, watched, lists))
        await self._tell_lines(viewings)
        await self._overviews.tell(viewings)
        for one in viewings:
            one.wake()

    async def _summaries(self, ids: list[str]) -> list[JobSummary]:
        found: list[JobSummary] = []
        for start in range(0, len(ids), _MANY):
            found += await summaries(self._database, ids[start : start + _MANY])
        return found

    async def _followed(
        self, changed: list[JobSummary], watched: Collection[str], lists: list[Viewing]
    ) -> list[JobSummary]:
        """Return the jobs whose progress may be new: what runs, what has changed, what somebody watches."""
        if not lists:
            self._running = None
        elif self._running is None:
            self._running = {job.id: job for job in await running(self._database, _RUNNING)}
        run = self._running if self._running is not None else {}
        followed = {job.id: job for job in (*run.values(), *changed)}
        for job in changed:
            if job.state != "running":
                run.pop(job.id, None)
            elif len(run) < _RUNNING:
                run[job.id] = job
        others = [id_ for id_ in watched if id_ not in followed]
        return [*followed.values(), *(await self._summaries(others) if others else ())]

    async def _tell_progress(self, viewings: list[Viewing], jobs: list[JobSummary]) -> None:
        if not jobs:
            return
        known, texts = {job.id: job for job in jobs}, {}
        concerned: dict[tuple[Hashable, str], bool | None] = {}
        groups = [(one, one.group) for one in viewings if not one.overview]
        for told in await progress(self._database, [*known]):
            for one, group in groups:
                if not one.unheard_progress(told.job, told.updated):
                    continue
                where = (group, told.job)
                if where not in concerned:
                    concerned[where] = one.concerned(known[told.job])
                if concerned[where]:
                    if told.job not in texts:
                        texts[told.job] = _json(told)
                    one.tell_progress(told.job, texts[told.job])

    async def _tell_lines(self, viewings: list[Viewing]) -> None:
        wanting = [one for one in viewings if one.wants_lines]
        jobs = {one.job for one in wanting if one.job is not None}
        if not jobs:
            return
        last = await logs.last(self._database, [*jobs])
        known: dict[tuple[str, int], list[logs.Line]] = {}
        for one in wanting:
            if one.job is None or last.get(one.job, 0) <= one.line:
                continue
            where = (one.job, one.line)
            if where not in known:
                known[where] = await logs.lines(self._database, *where)
            if known[where]:
                one.tell_lines([_json(line) for line in known[where]], known[where][-1].n)

    async def _check_keys(self) -> None:
        """End what those look at whose keys were revoked or have expired."""
        self._keys_at = time.monotonic()
        opening = await access.opening(self._database, {one.viewer.id for one in self._viewings})
        for one in [*self._viewings]:
            if one.viewer.id not in opening:
                del self._viewings[one]
                one.end()


def _tell_jobs(viewings: Iterable[Viewing], jobs: list[JobSummary]) -> None:
    """Tell viewers of jobs; what they have in common is worked out once."""
    texts: dict[str, str] = {}
    groups: dict[Hashable, list[tuple[str, bool]]] = {}
    for one in viewings:
        group = one.group
        if group not in groups:
            groups[group] = [(job.id, shown) for job in jobs if (shown := one.concerned(job)) is not None]
        theirs = groups[group]
        if theirs and not texts:
            texts = {job.id: _json(job) for job in jobs}
        for id_, shown in theirs:
            one.tell_job(id_, texts[id_], shown)


def _json(value: Any) -> str:
    """Return a dataclass as JSON, secrets masked."""
    return to_json(masked(asdict(value)))
