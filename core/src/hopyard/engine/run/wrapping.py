"""What plugins put around a run (`run_task`); none of it changes the outcome of another plugin's task.

An error of a wrapper around its own plugin's task counts as the task's: the job fails with it. Around the
tasks of others it is logged and counted on the plugin's record, and the task runs as if the wrapper were not
there.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from hopyard.engine.run.threads import Ended
from hopyard.errors import JobCancelled, TimeLimitExceeded

if TYPE_CHECKING:
    from contextlib import AbstractAsyncContextManager

    from hopyard.loading import Caller, Callers
    from hopyard.tasks.job import Job

#: To enter or leave a wrapper may take so long; then it is left behind.
WRAP_SECONDS: Final = 5.0

_INTERRUPTS: Final = (JobCancelled, TimeLimitExceeded)


class Abandoned(Exception):
    """A wrapper has hung, and the job was begun again without it: this thread must not run the task."""


class _Entered(NamedTuple):
    """A wrapper that was entered: who put it there, and whether its context manager is a plain one."""

    caller: Caller
    manager: Any
    plain: bool


class Wrappers:
    """The wrappers around one run."""

    def __init__(self, callers: Callers, job: Job) -> None:
        self._callers = callers
        self._job = job
        self._entered: list[_Entered] = []
        self._lock = threading.Lock()
        self._abandoned = False
        #: The wrapper that is entered or left now (None: the task runs), and since when.
        self._phase: tuple[Caller | None, float] = (None, time.monotonic())
        #: How the task itself ended, once it has.
        self.ended: Ended | None = None

    @property
    def _owner(self) -> str:
        return self._job.task.partition(".")[0]

    # --- in a thread

    def run(
        self,
        function: Callable[[], Any],
        loop: asyncio.AbstractEventLoop,
        bound: Callable[[], AbstractContextManager[Any]] = nullcontext,
    ) -> Any:
        """Call a task's function within its wrappers, in this thread; async ones are entered on `loop`.

        `bound` is put around each call of a wrapper; it may raise `TookTooLong` there.
        """

        def wait(work: Awaitable[Any]) -> Any:
            return asyncio.run_coroutine_threadsafe(_whole(work, WRAP_SECONDS), loop).result()

        ended = Ended()
        try:
            for caller in self._callers.of("run_task"):
                self._enter(caller, wait, bound)
            self._begin()
            ended.value = function()
        except BaseException as error:  # noqa: BLE001 - raised below, once everything is left
            ended.error = error
        self.ended = Ended(ended.value, ended.error)
        for one in reversed(self._entered):
            ended.error = self._leave(one, ended.error, wait, bound)
        self._begin()  # what is asked of the outcome now is the task's own again
        return ended.get()

    def _begin(self) -> None:
        with self._lock:
            if self._abandoned:
                raise Abandoned
            self._phase = (None, time.monotonic())

    def _enter(
        self,
        caller: Caller,
        wait: Callable[[Awaitable[Any]], Any],
        bound: Callable[[], AbstractContextManager[Any]],
    ) -> None:
        self._phase = (caller, time.monotonic())
        try:
            with bound():
                manager = caller.call({"job": self._job})
                if manager is None:
                    return
                if plain := _is_plain(type(manager)):
                    manager.__enter__()
                else:
                    wait(manager.__aenter__())
        except _INTERRUPTS:
            raise
        except BaseException as error:
            self._failed(caller, error)
            if caller.plugin == self._owner:
                raise
        else:
            self._entered.append(_Entered(caller, manager, plain))
        if self._abandoned:
            raise Abandoned

    def _leave(
        self,
        one: _Entered,
        error: BaseException | None,
        wait: Callable[[Awaitable[Any]], Any],
        bound: Callable[[], AbstractContextManager[Any]],
    ) -> BaseException | None:
        """Leave a wrapper; return the error with which the job goes on."""
        self._phase = (one.caller, time.monotonic())
        try:
            with bound():
                if one.plain:
                    one.manager.__exit__(*_told(error))
                else:
                    wait(one.manager.__aexit__(*_told(error)))
        except BaseException as own:  # noqa: BLE001 - judged below
            return self._left(one.caller, error, own)
        self._callers.worked(one.caller)
        return error

    # --- on the event loop

    async def on_loop(self, function: Callable[[], Awaitable[Any]]) -> Any:
        """Await a task's function within its wrappers, on the event loop.

        Plain ones are entered and left right here: calls would cost each run as much as the wrapper does.
        """
        value, failure = None, None
        try:
            for caller in self._callers.of("run_task"):
                try:
                    manager = caller.function(self._job) if caller.names else caller.function()
                    if manager is None:
                        continue
                    if plain := _is_plain(type(manager)):
                        manager.__enter__()
                except BaseException as error:  # noqa: BLE001 - judged there
                    self._not_entered(caller, error)
                else:
                    if plain:
                        self._entered.append(_Entered(caller, manager, True))
                    else:
                        await self._enter_async(caller, manager)
            value = await function()
        except BaseException as error:  # noqa: BLE001 - raised below, once everything is left
            failure = error
        for one in reversed(self._entered):
            if not one.plain:
                failure = await self._leave_async(one, failure)
                continue
            try:
                one.manager.__exit__(*_told(failure))
            except BaseException as own:  # noqa: BLE001 - judged there
                failure = self._left_on_loop(one, failure, own)
            else:
                self._callers.worked(one.caller)
        if failure is not None:
            raise failure
        return value

    async def _enter_async(self, caller: Caller, manager: AbstractAsyncContextManager[Any]) -> None:
        try:
            await _whole(manager.__aenter__(), WRAP_SECONDS)
        except BaseException as error:  # noqa: BLE001 - judged there
            self._not_entered(caller, error)
        else:
            self._entered.append(_Entered(caller, manager, False))

    def _not_entered(self, caller: Caller, error: BaseException) -> None:
        """Raise what ends the job where a wrapper raised as it was entered."""
        if _cancelled(error):
            raise error
        self._failed(caller, error)
        if caller.plugin == self._owner:
            raise error

    async def _leave_async(self, one: _Entered, error: BaseException | None) -> BaseException | None:
        try:
            await _whole(one.manager.__aexit__(*_told(error)), WRAP_SECONDS)
        except BaseException as own:  # noqa: BLE001 - judged there
            return self._left_on_loop(one, error, own)
        self._callers.worked(one.caller)
        return error

    def _left_on_loop(
        self, one: _Entered, error: BaseException | None, own: BaseException
    ) -> BaseException | None:
        if _cancelled(own) and not isinstance(error, asyncio.CancelledError):
            return own  # the job was told to stop meanwhile
        return self._left(one.caller, error, own)

    # --- faults

    def _left(self, caller: Caller, error: BaseException | None, own: BaseException) -> BaseException | None:
        """Return the error with which the job goes on after a wrapper raised as it was left."""
        if own is error or isinstance(own, _INTERRUPTS):  # raised again; or an interrupt that came too late
            return error
        self._failed(caller, own)
        return own if caller.plugin == self._owner and error is None else error

    def _failed(self, caller: Caller, error: BaseException) -> None:
        if isinstance(error, TookTooLong):
            self._callers.hung(caller, WRAP_SECONDS)
            return
        ours = caller.plugin == self._owner
        what = "the job fails with it" if ours else f"job {self._job.id} of {self._job.task} goes on without"
        self._callers.failed(caller, error, instead=what)

    def patience(self, limit: float) -> float:
        """Return the seconds until the task, or the wrapper that is called now, is over its limit."""
        caller, since = self._phase
        return since + (limit if caller is None else WRAP_SECONDS) - time.monotonic()

    def pause(self, limit: float) -> float:
        """Return after how many seconds to look again whether something is over its limit."""
        return min(max(self.patience(limit), 0.0), WRAP_SECONDS)

    def give_up(self) -> bool:
        """Leave a wrapper behind that hangs in its thread; say whether it was a wrapper that hung."""
        with self._lock:
            caller, _ = self._phase
            if caller is None:
                return False
            self._abandoned = True
        self._callers.hung(caller, WRAP_SECONDS)
        return True

    def anew(self) -> Wrappers:
        """Return the wrappers for another try: those that are not switched off."""
        return Wrappers(self._callers, self._job)


class TookTooLong(Exception):
    """A wrapper was not entered or left in time."""


async def _whole(work: Awaitable[Any], seconds: float) -> Any:
    try:
        async with asyncio.timeout(seconds) as limit:
            return await work
    except TimeoutError as error:
        if limit.expired():
            raise TookTooLong(f"it took longer than {seconds:g} s") from error
        raise


def _is_plain(kind: type[Any]) -> bool:
    """Say whether context managers of a type are plain ones; else they are async. Raises `TypeError`."""
    # By their methods: asking the abstract classes would cost every run a microsecond or two.
    if getattr(kind, "__enter__", None) and getattr(kind, "__exit__", None):
        return True
    if getattr(kind, "__aenter__", None) and getattr(kind, "__aexit__", None):
        return False
    raise TypeError(f"it returned {kind.__name__}, not a context manager")


def _told(error: BaseException | None) -> tuple[Any, Any, Any]:
    return (None, None, None) if error is None else (type(error), error, error.__traceback__)


def _cancelled(error: BaseException) -> bool:
    """Say whether the job was told to stop, and not something that the wrapper awaited."""
    task = asyncio.current_task()
    return isinstance(error, asyncio.CancelledError) and task is not None and bool(task.cancelling())
