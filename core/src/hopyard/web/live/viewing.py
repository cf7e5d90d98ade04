"""Somebody who looks, and what they are still to be told."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Hashable, Iterable
from datetime import datetime
from typing import Final, NamedTuple

from hopyard.ledger.read.listing import JobFilter
from hopyard.ledger.read.summary import JobSummary, fingerprint
from hopyard.web.viewer import Viewer

#: Jobs that wait for somebody who reads slowly; beyond that they are told to look again.
_WAITING: Final = 2_000
#: Jobs of which it is remembered whether somebody was shown them, or told that they are gone.
_REMEMBERED: Final = 5_000


class Message(NamedTuple):
    """Something to be told; `data` is JSON. `place` is where to go on from after it, if anything is."""

    event: str
    data: str
    place: int | None


class Viewing:
    """What one viewer looks at: a job, jobs by a filter, or the overview.

    What waits for them is what is to be shown, not what happened: the latest of each job. Who reads slowly
    is told less often, and costs no more memory.
    """

    def __init__(
        self,
        viewer: Viewer,
        *,
        job: str | None = None,
        wanted: JobFilter | None = None,
        overview: bool = False,
        last: int | None = None,
    ) -> None:
        """`last` is the place up to which they were told before they came back."""
        self.viewer = viewer
        self.job = job
        self.overview = overview
        self.last = last
        self.place = 0
        """All up to here is told, or waits to be."""
        self.line = 0
        """The last log line that was told."""
        self._wanted = wanted or JobFilter()
        self._seen: dict[str, bool] = {}
        """Jobs of which they were told, and whether they are shown."""
        self._progress_of: dict[str, datetime] = {}
        self._jobs: dict[str, str] = {}
        self._gone: dict[str, None] = {}
        self._progress: dict[str, str] = {}
        self._lines: list[str] = []
        self._overview: str | None = None
        self._reset = False
        self._ready = False
        self._some = asyncio.Event()
        self._ended = False

    @property
    def lists(self) -> bool:
        """Whether they look at jobs by a filter."""
        return self.job is None and not self.overview

    @property
    def group(self) -> Hashable:
        """What those have in common who are told of the same jobs."""
        wanted = self._wanted
        plugins = None if wanted.plugins is None else (*wanted.plugins,)
        scope = (self.viewer.plugins, self.viewer.person)
        texts = (wanted.task, wanted.queue, wanted.person, wanted.schedule, wanted.parent, wanted.error)
        rest = (wanted.since, wanted.until, wanted.fingerprint)
        return (self.job, scope, plugins, (*wanted.states,), texts, rest)

    def concerned(self, job: JobSummary) -> bool | None:
        """Say whether they are shown a job; None if it can never be one of theirs."""
        if self.overview or not self.viewer.sees(job.task, job.person):
            return None
        if self.job is not None:
            return True if job.id == self.job else None
        return _matches(self._wanted, job) if _may_match(self._wanted, job) else None

    def tell_job(self, id_: str, text: str, shown: bool) -> None:
        """Keep a job for them: as it is now, or that it is no longer one of theirs.

        Of a job that was never shown they are told once that it is not: they may have loaded it before.
        """
        before = self._seen.pop(id_, None)
        self._seen[id_] = shown
        if len(self._seen) > _REMEMBERED:
            del self._seen[next(iter(self._seen))]
        if shown or before:
            self._jobs[id_] = text
        if shown:
            self._gone.pop(id_, None)
            if not before:
                self._progress_of.pop(id_, None)
        elif before is not False:
            self._gone[id_] = None
        if len(self._jobs) + len(self._gone) > _WAITING:
            self.tell_reset()

    def tell_removed(self, ids: Iterable[str]) -> None:
        """Keep that jobs are there no more: discarded, or removed for their age.

        Whose they were is not known any more: who may see some jobs only is told the ids of those that they
        were told of, and for the rest to look again.
        """
        all_jobs = self.viewer.plugins is None and self.viewer.person is None
        for id_ in ids:
            seen = self._seen.pop(id_, True if all_jobs else None)
            if self.job == id_ or (self.lists and seen):
                self._jobs.pop(id_, None)
                self._gone[id_] = None
            elif self.lists and seen is None:
                self.tell_reset()
        if len(self._gone) > _WAITING:
            self.tell_reset()

    def unheard_progress(self, id_: str, updated: datetime) -> bool:
        """Say whether they were not told yet how far a job is, and believe that they are now."""
        if self._progress_of.get(id_) == updated:
            return False
        self._progress_of[id_] = updated
        if len(self._progress_of) > _REMEMBERED:
            del self._progress_of[next(iter(self._progress_of))]
        return True

    def tell_progress(self, id_: str, text: str) -> None:
        """Keep how far a job is."""
        self._progress[id_] = text
        if len(self._progress) > _WAITING:
            self.tell_reset()

    @property
    def wants_lines(self) -> bool:
        """Whether they have read the log lines that they were told last."""
        return self.job is not None and not self._lines

    def tell_lines(self, texts: Iterable[str], last: int) -> None:
        """Keep log lines, of which `last` is the last one's number."""
        self._lines += texts
        self.line = last

    def tell_overview(self, text: str) -> None:
        """Keep the overview."""
        self._overview = text

    def tell_reset(self) -> None:
        """Have them look again instead of being told one by one."""
        self._jobs, self._gone, self._progress, self._reset = {}, {}, {}, True

    def tell_ready(self) -> None:
        """Tell them that all that they have missed is told."""
        self._ready = True

    def wake(self) -> None:
        """Have what waits be read now."""
        if self._messages_wait():
            self._some.set()

    def end(self) -> None:
        """Tell no more."""
        self._ended = True
        self._some.set()

    async def messages(self, quiet: float) -> AsyncIterator[Message | None]:
        """Yield messages as they come; None after each `quiet` seconds without any."""
        while True:
            try:
                async with asyncio.timeout(quiet):
                    await self._some.wait()
            except TimeoutError:
                yield None
                continue
            self._some.clear()
            for message in self.take():
                yield message
            if self._ended:
                return

    def _messages_wait(self) -> bool:
        waiting = (self._reset, self._ready, self._overview, self._jobs, self._gone, self._progress)
        return any(waiting) or bool(self._lines)

    def take(self) -> list[Message]:
        """Return what waits, which is told then.

        Only the last message has the place: who has read half of them has missed the others.
        """
        found: list[Message] = []
        if self._reset:
            found.append(Message("reset", "{}", None))
        if self._jobs or self._gone:
            gone = ", ".join(f'"{id_}"' for id_ in self._gone)
            found.append(
                Message("jobs", f'{{"jobs": [{", ".join(self._jobs.values())}], "gone": [{gone}]}}', None)
            )
        if self._progress:
            found.append(Message("progress", f'{{"progress": [{", ".join(self._progress.values())}]}}', None))
        if self._lines:
            found.append(Message("log", f'{{"lines": [{", ".join(self._lines)}]}}', None))
        if self._overview is not None:
            found.append(Message("overview", self._overview, None))
        if self._ready:
            found.append(Message("ready", "{}", None))
        self._jobs, self._gone, self._progress, self._lines = {}, {}, {}, []
        self._overview, self._reset, self._ready = None, False, False
        if found:
            found[-1] = found[-1]._replace(place=self.place)
        return found


def _may_match(wanted: JobFilter, job: JobSummary) -> bool:
    """Say whether a job can be one of a filter's, by what never changes of a job."""
    fixed = ("task", "person", "schedule", "parent")
    return (wanted.plugins is None or job.task.partition(".")[0] in wanted.plugins) and all(
        getattr(wanted, name) in (None, getattr(job, name)) for name in fixed
    )


def _matches(wanted: JobFilter, job: JobSummary) -> bool:
    """Say whether a job that may match does now; the text of an error is looked for in its one line."""
    return (
        (not wanted.states or job.state in {state.label for state in wanted.states})
        and wanted.queue in (None, job.queue)
        and (wanted.error is None or wanted.error in (job.error or ""))
        and (wanted.fingerprint is None or wanted.fingerprint == fingerprint(job.task, job.error or ""))
        and _within(wanted, job.finished or job.created)
    )


def _within(wanted: JobFilter, at: datetime) -> bool:
    """Say whether a time, at which a live job was made or another one ended, is in a filter's span."""
    return (wanted.since is None or at >= wanted.since) and (wanted.until is None or at < wanted.until)
