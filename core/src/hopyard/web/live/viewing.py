"""Somebody who looks, and what they are still to be told."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from typing import Any, Final, NamedTuple

from hopyard.ledger.read.listing import JobFilter
from hopyard.ledger.read.summary import JobSummary
from hopyard.web.viewer import Viewer

#: Messages that wait for somebody who reads slowly; beyond that they are told to look again.
_WAITING: Final = 100
#: Jobs of a list that somebody is told the progress of.
_SHOWN: Final = 1_000


class Message(NamedTuple):
    """Something to be told. `place` is where to go on from after it; None: it changes none."""

    event: str
    data: dict[str, Any]
    place: int | None


class Viewing:
    """What one viewer looks at: a job, jobs by a filter, or the overview."""

    def __init__(
        self,
        viewer: Viewer,
        *,
        job: str | None = None,
        wanted: JobFilter | None = None,
        overview: bool = False,
    ) -> None:
        self.viewer = viewer
        self.job = job
        self.overview = overview
        self.line = 0
        """The last log line that was told."""
        self.fresh_progress = True
        """Nothing was told of progress yet."""
        self._wanted = wanted or JobFilter()
        self._shown: dict[str, None] = {}
        self._waiting: deque[Message] = deque()
        self._some = asyncio.Event()
        self._ended = False

    def wants(self, job: JobSummary) -> bool:
        """Say whether they are told of a job: it matches, or it did when they were told last."""
        if self.overview or not self.viewer.sees(job.task, job.person):
            return False
        if self.job is not None:
            return job.id == self.job
        if _matches(self._wanted, job):
            self._shown[job.id] = None
            if len(self._shown) > _SHOWN:
                del self._shown[next(iter(self._shown))]
            return True
        return self._shown.pop(job.id, "never") is None

    def follows(self, job: str) -> bool:
        """Say whether they are told of a job's progress."""
        return job == self.job or job in self._shown

    def tell(self, message: Message) -> None:
        """Keep a message for them. Who reads too slowly is told to look again instead."""
        if len(self._waiting) >= _WAITING:
            self._waiting.clear()
            self._waiting.append(Message("reset", {}, message.place))
        else:
            self._waiting.append(message)
        self._some.set()

    def end(self) -> None:
        """Tell no more."""
        self._ended = True
        self._some.set()

    async def messages(self, quiet: float) -> AsyncIterator[Message | None]:
        """Yield messages as they come; None after each `quiet` seconds without any."""
        while not self._ended or self._waiting:
            if not self._waiting:
                self._some.clear()
                try:
                    async with asyncio.timeout(quiet):
                        await self._some.wait()
                except TimeoutError:
                    yield None
                continue
            yield self._waiting.popleft()


def _matches(wanted: JobFilter, job: JobSummary) -> bool:
    """Say whether a job is one of a filter's; the text of an error is looked for in its one line."""
    return (
        (not wanted.states or job.state in {state.label for state in wanted.states})
        and all(
            getattr(wanted, name) in (None, getattr(job, name))
            for name in ("task", "queue", "person", "schedule", "parent")
        )
        and (wanted.plugins is None or job.task.partition(".")[0] in wanted.plugins)
        and (wanted.error is None or wanted.error in (job.error or ""))
    )
