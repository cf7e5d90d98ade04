"""Running one claimed job to its outcome: on the loop, in a thread, or in a child process."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from hopyard.engine.processes.process import ProcessDied
from hopyard.engine.retry import Retry, describe
from hopyard.engine.run.deadlines import Deadline, Deadlines
from hopyard.engine.run.threads import Ended, Threads
from hopyard.engine.run.wrapping import Wrappers
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

#: A task that was told to stop has so many seconds; then its outcome is recorded without it.
GRACE_SECONDS: Final = 5.0


class Runner:
    """Runs the claimed jobs of one worker."""

    def __init__(
        self, hopyard: Hopyard, host: Host, processes: ProcessPool, ignored: Callable[[Job, float], None]
    ) -> None:
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
        started = time.monotonic()
        try:
            ended = await self._ended(claim, checkpoint, worker)
        except asyncio.CancelledError:
            raise
        except BaseException as error:  # noqa: BLE001 - a task may raise anything; none of it leaves the job
            ended = Ended(error=error)
        failure = ended.error
        if failure is None:
            return Done(claim.id, claim.claim, State.SUCCEEDED, ended.value, None, None)
        if isinstance(failure, StaleFence):
            raise failure
        if isinstance(failure, JobCancelled):
            told = json.dumps(describe(failure, "cancelled", None))
            return Done(claim.id, claim.claim, State.CANCELLED, None, told, None)
        if isinstance(failure, asyncio.CancelledError):
            failure = nobody_cancelled(claim.task, failure)
        return self.retry.after(claim, failure, time.monotonic() - started, worker)

    async def _ended(self, claim: Claim, checkpoint: Mapping[str, Any], worker: int) -> Ended:
        task = self._hopyard.task(claim.task)
        limit = self._hopyard.plugins.options[claim.task].time_limit
        job = Job(claim, self._host, checkpoint)
        try:
            if canvas.PARTS in claim.body:
                database, _ = self._host.held(claim.id, claim.claim)
                claim = claim._replace(body=await canvas.with_parts(database, claim.body))
            if task.pool == "process":
                return Ended(await self._processes.run(claim, checkpoint, worker, limit))
            values = task.payload.load_body(claim.body)
        except (ProcessDied, TimeLimitExceeded, PayloadError) as error:
            signals.died(job, error)
            raise
        if task.payload.job_parameter:
            values[task.payload.job_parameter] = job
        own(job)
        # Nothing is put around a run where no plugin wants that.
        wrappers = Wrappers(self._callers, job) if self._callers.of("run_task") else None
        if task.is_async:
            running = self._on_loop(task, values, limit, wrappers)
            ended = Ended(await signals.awaited(job, values, running))
        else:
            ended = await self._in_thread(task, job, values, limit, wrappers)
        if ended.error is None:
            ended.value = task.payload.dump_result(ended.value)
        return ended

    async def _on_loop(
        self, task: Task[..., Any], values: dict[str, Any], limit: float, wrappers: Wrappers | None
    ) -> Any:
        try:
            if wrappers is None:
                return await self._within(task, values, limit)
            return await wrappers.on_loop(partial(self._within, task, values, limit))
        except asyncio.CancelledError as error:
            current = asyncio.current_task()
            if current is not None and current.cancelling():
                raise
            # Nobody told the job to stop: something that it awaited was cancelled.
            raise nobody_cancelled(task.name, error) from error

    async def _within(self, task: Task[..., Any], values: dict[str, Any], limit: float) -> Any:
        deadline: Deadline | None = None
        try:
            with self._deadlines.within(limit) as deadline:
                return await task.function(**values)
        except TimeoutError:
            if deadline is not None and deadline.expired:
                raise over(task.name, limit) from None
            raise  # the task's own

    async def _in_thread(
        self, task: Task[..., Any], job: Job, values: dict[str, Any], limit: float, wrappers: Wrappers | None
    ) -> Ended:
        function = signals.wrapped(job, values, partial(task.function, **values))
        if wrappers is not None:
            function = partial(wrappers.run, function, asyncio.get_running_loop())
        call = self._threads.call(function)
        try:
            while True:
                pause = limit if wrappers is None else wrappers.pause(limit)
                done, _ = await asyncio.wait([call.ended], timeout=pause)
                if done:
                    return call.ended.result()
                if wrappers is None or wrappers.patience(limit) <= 0:
                    break
        except asyncio.CancelledError:
            call.interrupt(JobCancelled)
            await asyncio.wait([call.ended], timeout=GRACE_SECONDS)
            if not call.ended.done():
                raise asyncio.CancelledError(
                    f"its thread did not stop within {GRACE_SECONDS:g} s: it goes on, its outcome is ignored"
                ) from None
            raise
        if wrappers is not None and wrappers.give_up():
            if wrappers.ended is not None:
                return wrappers.ended
            # The task has not begun: once more, without the wrapper that hangs.
            return await self._in_thread(task, job, values, limit, wrappers.anew())
        call.interrupt(TimeLimitExceeded)
        await asyncio.wait([call.ended], timeout=GRACE_SECONDS)
        if not call.ended.done():
            log.error("a thread of %s goes on after its time limit; its outcome is ignored", task.name)
        return Ended(error=over(task.name, limit))

    def close(self) -> None:
        """Let the threads go."""
        self._threads.close()


def own(job: Job) -> None:
    """Make the running asyncio task, and what it starts, the job's."""
    current_job.set(job)
    task = asyncio.current_task()
    if task is not None:
        task.owner = job  # type: ignore[attr-defined]  # of `portal.OwnedTask`


def over(task: str, limit: float) -> TimeLimitExceeded:
    """Return the error of a job that ran too long."""
    return TimeLimitExceeded(f"{task} ran longer than its time limit of {limit:g} s")


def nobody_cancelled(task: str, error: BaseException) -> RuntimeError:
    """Return the error of a task that lets out a cancellation of which the worker knows nothing."""
    made = RuntimeError(f"{task} ended with CancelledError, but nobody cancelled it")
    made.__cause__ = error
    return made


def _ignored(tell: Callable[[Job, float], None], deadline: Deadline) -> None:
    job = getattr(deadline.task, "owner", None)
    if job is not None:
        tell(job, deadline.seconds)
