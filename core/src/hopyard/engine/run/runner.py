"""Running one claimed job to its outcome: on the loop, in a thread, or in a child process."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from hopyard.engine.processes.process import ProcessDied
from hopyard.engine.retry import Retry, describe, failed_here
from hopyard.engine.run.deadlines import Deadline, Deadlines, over
from hopyard.engine.run.threads import Ended, Threads
from hopyard.engine.run.wrapping import Abandoned, Wrappers
from hopyard.errors import JobCancelled, PayloadError, StaleFence, TimeLimitExceeded
from hopyard.ledger.values import Again, Claim, Done
from hopyard.specs import State
from hopyard.tasks import canvas, signals
from hopyard.tasks.job import Job, current_job

if TYPE_CHECKING:
    from hopyard.app import Hopyard
    from hopyard.engine.processes.pool import ProcessPool
    from hopyard.tasks import Task
    from hopyard.tasks.job import Host

log = logging.getLogger("hopyard.engine")

#: Says what is recorded of an attempt that failed.
_Told = Callable[[BaseException], Done | Again]

#: A task that was told to stop has so many seconds; then its outcome is recorded without it.
GRACE_SECONDS: Final = 5.0


@dataclass(slots=True)
class _Attempt:
    """A run of a `def` task, in its thread."""

    claim: Claim
    function: Callable[[], str]
    told: _Told
    wrappers: Wrappers | None
    loop: asyncio.AbstractEventLoop
    left: bool = False
    """Nobody waits for its outcome any more."""

    def run(self) -> Done | Again:
        """Return what is recorded."""
        try:
            text = self.function() if self.wrappers is None else self.wrappers.run(self.function, self.loop)
        except Abandoned:
            raise
        except BaseException as error:
            if self.left:
                raise
            return self.told(error)
        return _succeeded(self.claim, text)


class Runner:
    """Runs the claimed jobs of one worker."""

    def __init__(
        self,
        hopyard: Hopyard,
        host: Host,
        processes: ProcessPool | None,
        ignored: Callable[[Job, float], None],
        job: type[Job] = Job,
    ) -> None:
        """`job` is what tasks are given. Without `processes` every task runs here, whatever its pool."""
        self._job = job
        self._hopyard = hopyard
        self._host = host
        self._processes = processes
        self.retry = Retry(hopyard.plugins)
        self._callers = hopyard.plugins.callers
        self._threads = Threads()
        self._deadlines = Deadlines(GRACE_SECONDS, partial(_ignored, ignored))

    async def run(self, claim: Claim, checkpoint: Mapping[str, Any], worker: int) -> Done | Again:
        """Run a job; return what the ledger shall record.

        Raises `StaleFence` if the job is no longer ours, and `CancelledError` if it was told to stop.
        """
        told = partial(self._told, claim, worker, time.monotonic())
        try:
            plugins = self._hopyard.plugins
            task = plugins.running_task(claim.task) or self._hopyard.task(claim.task)
            limit = (plugins.running_options(claim.task) or self._hopyard.options(claim.task)).time_limit
            job = self._job(claim, self._host, checkpoint)
            if canvas.PARTS in claim.body:
                claim = await self._whole(job, claim)
            if task.pool == "process" and self._processes is not None:
                return await self._in_process(job, claim, checkpoint, worker, limit)
            running = own(job)
            # Nothing is put around a run where no plugin wants that.
            wrappers = Wrappers(self._callers, job) if self._callers.of("run_task") else None
            if not task.is_async:
                function = partial(self._plainly, task, job, claim.body)
                return await self._in_thread(claim, function, limit, wrappers, told)
            values = self._values(task, job, claim.body)
            result = await signals.around(job, values, self._on_loop(task, values, limit, wrappers, running))
            return _succeeded(claim, task.payload.dump_result(result))
        except (asyncio.CancelledError, StaleFence):
            raise
        except BaseException as error:  # noqa: BLE001 - a task may raise anything; none of it leaves the job
            return told(error)

    def _told(self, claim: Claim, worker: int, started: float, failure: BaseException) -> Done | Again:
        """Return what is recorded of an attempt that failed. Raises `StaleFence` if that is none.

        It runs the error's own code, and the plugins': where a `def` task failed, in its thread.
        """
        if isinstance(failure, StaleFence):
            raise failure
        if isinstance(failure, JobCancelled):
            told = json.dumps(describe(failure, "cancelled", None, claim))
            return Done(claim.id, claim.claim, State.CANCELLED, None, told, None)
        if isinstance(failure, asyncio.CancelledError):
            failure = nobody_cancelled(claim.task, failure)
        return self.retry.after(claim, failure, time.monotonic() - started, worker)

    async def _whole(self, job: Job, claim: Claim) -> Claim:
        """Return a claim with the parts in its body that other rows hold."""
        database, _ = self._host.held(claim.id, claim.claim)
        try:
            return claim._replace(body=await canvas.with_parts(database, claim.body))
        except PayloadError as error:
            signals.died(job, error)
            raise

    async def _in_process(
        self, job: Job, claim: Claim, checkpoint: Mapping[str, Any], worker: int, limit: float
    ) -> Done:
        assert self._processes is not None  # noqa: S101 - asked before
        try:
            return _succeeded(claim, await self._processes.run(claim, checkpoint, worker, limit))
        except (ProcessDied, TimeLimitExceeded, PayloadError) as error:
            signals.died(job, error)
            raise

    @staticmethod
    def _values(task: Task[..., Any], job: Job, body: str) -> dict[str, Any]:
        try:
            values = task.payload.load_body(body)
        except PayloadError as error:
            signals.died(job, error)
            raise
        if task.payload.job_parameter:
            values[task.payload.job_parameter] = job
        return values

    def _plainly(self, task: Task[..., Any], job: Job, body: str) -> str:
        """Run a `def` task, in its thread; return its result as JSON text.

        Types may run the code of whoever wrote them as well, for arguments and for the result.
        """
        values = self._values(task, job, body)
        result = signals.wrapped(job, values, partial(task.function, **values))()
        return task.payload.dump_result(result)

    async def _on_loop(
        self,
        task: Task[..., Any],
        values: dict[str, Any],
        limit: float,
        wrappers: Wrappers | None,
        running: asyncio.Task[Any],
    ) -> Any:
        try:
            if wrappers is None:
                with self._deadlines.within(limit, running, task.name):
                    return await task.function(**values)
            return await wrappers.on_loop(partial(self._within, task, values, limit, running))
        except asyncio.CancelledError as error:
            if running.cancelling():
                raise
            # Nobody told the job to stop: something that it awaited was cancelled.
            raise nobody_cancelled(task.name, error) from error

    async def _within(
        self, task: Task[..., Any], values: dict[str, Any], limit: float, running: asyncio.Task[Any]
    ) -> Any:
        with self._deadlines.within(limit, running, task.name):
            return await task.function(**values)

    async def _in_thread(
        self, claim: Claim, function: Callable[[], str], limit: float, wrappers: Wrappers | None, told: _Told
    ) -> Done | Again:
        """Run a function in a thread, with all that has to be asked of its outcome: results and errors
        may have code of their own, which must neither hold up the loop nor go on for ever.
        """
        attempt = _Attempt(claim, function, told, wrappers, asyncio.get_running_loop())
        call = self._threads.call(attempt.run)
        try:
            while True:
                pause = limit if wrappers is None else wrappers.pause(limit)
                done, _ = await asyncio.wait([call.ended], timeout=pause)
                if done:
                    return _recorded(claim, call.ended.result())
                if wrappers is None or wrappers.patience(limit) <= 0:
                    break
        except asyncio.CancelledError:
            attempt.left = True
            call.interrupt(JobCancelled)
            await asyncio.wait([call.ended], timeout=GRACE_SECONDS)
            if not call.ended.done():
                raise asyncio.CancelledError(
                    f"its thread did not stop within {GRACE_SECONDS:g} s: it goes on, its outcome is ignored"
                ) from None
            raise
        if wrappers is not None and wrappers.give_up():
            # If the task has not begun: once more, without the wrapper that hangs.
            again = wrappers.anew() if wrappers.ended is None else None
            function = function if wrappers.ended is None else wrappers.ended.get
            return await self._in_thread(claim, function, limit, again, told)
        attempt.left = True
        call.interrupt(TimeLimitExceeded)
        await asyncio.wait([call.ended], timeout=GRACE_SECONDS)
        if not call.ended.done():
            log.error("a thread of %s goes on after its time limit; its outcome is ignored", claim.task)
        return told(over(claim.task, limit))

    def time_is_up(self, run: asyncio.Task[Any]) -> None:
        """Have the time limit of an `async def` job be over now."""
        self._deadlines.expire(run)

    def close(self) -> None:
        """Let the threads go."""
        self._threads.close()


def _succeeded(claim: Claim, text: str) -> Done:
    return Done(claim.id, claim.claim, State.SUCCEEDED, text, None, None)


def _recorded(claim: Claim, ended: Ended) -> Done | Again:
    """Return the outcome that a thread tells of. Raises `StaleFence` where there is none."""
    error = ended.error
    if isinstance(error, StaleFence):
        raise error
    if error is not None:  # not even its failure could be told
        return failed_here(claim, RuntimeError(f"how the job ended cannot be told: {type(error).__name__}"))
    outcome: Done | Again = ended.value
    return outcome


def own(job: Job) -> asyncio.Task[Any]:
    """Make the running asyncio task, and what it starts, the job's; return it."""
    current_job.set(job)
    task = asyncio.current_task()
    assert task is not None  # noqa: S101 - used by coroutines only
    task.owner = job  # type: ignore[attr-defined]  # of `portal.OwnedTask`
    return task


def nobody_cancelled(task: str, error: BaseException) -> RuntimeError:
    """Return the error of a task that lets out a cancellation of which the worker knows nothing."""
    made = RuntimeError(f"{task} ended with CancelledError, but nobody cancelled it")
    made.__cause__ = error
    return made


def _ignored(tell: Callable[[Job, float], None], deadline: Deadline) -> None:
    job = getattr(deadline.task, "owner", None)
    if job is not None:
        tell(job, deadline.seconds)
