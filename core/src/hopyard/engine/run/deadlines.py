"""Time limits of the jobs on one event loop, with one timer for all jobs of the same limit.

A timer of its own for each job would stay in the loop's heap until its time has come, long after the job is
over: of thousands of short jobs a second, that is most of what the loop would look at.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, Literal

from hopyard.errors import TimeLimitExceeded
from hopyard.portal import NOBODY

if TYPE_CHECKING:
    from types import TracebackType

_SPARE: Final = 256


def over(name: str, limit: float) -> TimeLimitExceeded:
    """Return the error of a job that ran too long; `name` is its task's."""
    return TimeLimitExceeded(f"{name} ran longer than its time limit of {limit:g} s")


class Deadline:
    """When a job must be over. `expired`: it was not, and was cancelled; it raises `TimeLimitExceeded` then.

    It raises so also where the job swallowed its cancellation and ended by itself later.
    """

    __slots__ = ("_before", "_waiting", "at", "expired", "name", "over", "seconds", "task")

    def __init__(
        self, waiting: _Waiting, at: float, seconds: float, task: asyncio.Task[object], name: str
    ) -> None:
        self.name = name
        self._waiting = waiting
        self.seconds = seconds
        self._before = task.cancelling()
        self.at = at
        self.task = task
        self.over = self.expired = False

    def __enter__(self) -> Deadline:
        waiting = self._waiting
        # Those that are over are dropped once they are most of all, whatever stands before them.
        if len(waiting.deadlines) > 2 * waiting.open + _SPARE:
            waiting.deadlines = deque(one for one in waiting.deadlines if not one.over)
        waiting.deadlines.append(self)
        waiting.open += 1
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> Literal[False]:
        self.over = True
        self._waiting.open -= 1
        if not self.expired:
            return False
        others = self.task.uncancel() > self._before
        # Somebody else's cancel that came as well has precedence, and so has an error of the job's own.
        if kind is None or issubclass(kind, TimeoutError) or (kind is asyncio.CancelledError and not others):
            raise over(self.name, self.seconds) from None
        return False


class _Waiting:
    """Deadlines of one length, in the order in which they were set; `open` is how many are not over."""

    __slots__ = ("deadlines", "open")

    def __init__(self) -> None:
        self.deadlines: deque[Deadline] = deque()
        self.open = 0


class Deadlines:
    """Deadlines of one event loop, by their length in seconds.

    `ignored` is told of a block that still runs `grace` seconds after it was cancelled.
    """

    def __init__(self, grace: float, ignored: Callable[[Deadline], None]) -> None:
        self._grace = grace
        self._ignored = ignored
        self._waiting: dict[float, _Waiting] = {}

    def within(self, seconds: float, task: asyncio.Task[Any], name: str) -> Deadline:
        """Return a job's deadline, to be entered: it is cancelled after so many seconds.

        `task` is asyncio's that runs, `name` that of the job's.
        """
        loop = task.get_loop()
        at = loop.time() + seconds
        waiting = self._waiting.get(seconds)
        if waiting is None:
            waiting = self._waiting[seconds] = _Waiting()
            # On nobody's behalf: it cancels the tasks of many jobs.
            loop.call_at(at, self._due, seconds, context=NOBODY.copy())
        return Deadline(waiting, at, seconds, task, name)

    def expire(self, task: asyncio.Task[object]) -> None:
        """Have a task's deadlines be over now."""
        for waiting in self._waiting.values():
            for deadline in waiting.deadlines:
                if deadline.task is task and not deadline.over and not deadline.expired:
                    self._cancel(deadline)

    def _due(self, seconds: float) -> None:
        loop, waiting = asyncio.get_running_loop(), self._waiting[seconds]
        deadlines, now = waiting.deadlines, loop.time()
        while deadlines and (deadlines[0].over or deadlines[0].at <= now):
            deadline = deadlines.popleft()
            if not deadline.over and not deadline.expired:
                self._cancel(deadline)
        if deadlines:
            loop.call_at(deadlines[0].at, self._due, seconds, context=NOBODY.copy())
        else:
            del self._waiting[seconds]

    def _cancel(self, deadline: Deadline) -> None:
        deadline.expired = True
        deadline.task.cancel()
        loop = asyncio.get_running_loop()
        loop.call_later(self._grace, self._look_again, deadline, context=NOBODY.copy())

    def _look_again(self, deadline: Deadline) -> None:
        if not deadline.over:
            self._ignored(deadline)
