"""Running one claimed job to its outcome: on the loop, in a thread, or in a child process."""

from __future__ import annotations

import asyncio
import contextvars
import ctypes
import json
import logging
import threading
import time
import traceback
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from hopyard.engine.processes.pool import RemoteError
from hopyard.engine.processes.process import ProcessDied
from hopyard.engine.run.deadlines import Deadline, Deadlines
from hopyard.errors import JobCancelled, JobFailed, StaleFence, TimeLimitExceeded
from hopyard.ledger.crashes import MAX_CRASHES
from hopyard.ledger.values import Again, Claim, Done, utcnow
from hopyard.redaction import redact
from hopyard.specs import Category, State
from hopyard.tasks.classify import classify, delay, said
from hopyard.tasks.job import Job, current_job

if TYPE_CHECKING:
    from hopyard.app import Hopyard
    from hopyard.engine.processes.pool import ProcessPool
    from hopyard.specs import Verdict
    from hopyard.tasks import Task
    from hopyard.tasks.job import Host

log = logging.getLogger("hopyard.engine")

#: A thread that was told to stop and has not is left alone after so many seconds.
_ABANDON_SECONDS: Final = 5.0
_TRACEBACK_CHARACTERS: Final = 20_000


class Runner:
    """Runs the claimed jobs of one worker."""

    def __init__(self, hopyard: Hopyard, host: Host, slots: int, children: ProcessPool) -> None:
        self._hopyard = hopyard
        self._host = host
        self._processes = children
        self._limits = Deadlines()
        # More threads than slots: one that ignores its time limit keeps its thread, not its slot.
        self._threads = ThreadPoolExecutor(slots + 32, thread_name_prefix="hopyard-job")

    async def run(self, claim: Claim, checkpoint: Mapping[str, Any], worker: int) -> Done | Again:
        """Run a job; return what the ledger shall record. Raises `StaleFence` if it is no longer ours."""
        started = time.monotonic()
        try:
            result = await self._result(claim, checkpoint, worker)
        except StaleFence:
            raise
        except JobCancelled as error:
            described = self._describe(error, "cancelled", None)
            return Done(claim.id, claim.claim, State.CANCELLED, None, described, None)
        # A task may raise anything, it is classified and recorded. One that asks the process to end fails:
        # let through, that would end the event loop and every other job with it.
        except (Exception, SystemExit, KeyboardInterrupt) as error:  # noqa: BLE001
            return self._failed(claim, error, time.monotonic() - started, worker)
        return Done(claim.id, claim.claim, State.SUCCEEDED, result, None, None)

    async def _result(self, claim: Claim, checkpoint: Mapping[str, Any], worker: int) -> str:
        task = self._hopyard.task(claim.task)
        limit = self._hopyard.plugins.options[claim.task].time_limit
        if task.pool == "process":
            return await self._processes.run(claim, checkpoint, worker, limit)
        job = Job(claim, self._host, checkpoint)
        values = task.payload.load_body(claim.body)
        if task.payload.job_parameter:
            values[task.payload.job_parameter] = job
        current_job.set(job)  # in this asyncio task's own context
        if task.is_async:
            value = await self._on_loop(task, values, limit)
        else:
            value = await self._in_thread(task, values, limit)
        return task.payload.dump_result(value)

    async def _on_loop(self, task: Task[..., Any], values: dict[str, Any], limit: float) -> Any:
        deadline: Deadline | None = None
        try:
            with self._limits.within(limit) as deadline:
                return await task.function(**values)
        except TimeoutError:
            if deadline is not None and deadline.expired:
                raise _over(task, limit) from None
            raise  # the task's own
        except asyncio.CancelledError as error:
            current = asyncio.current_task()
            if current is not None and current.cancelling():
                raise
            # Nobody told the job to stop: something that it awaited was cancelled.
            raise RuntimeError(f"{task.name} ended with CancelledError, but nobody cancelled it") from error

    async def _in_thread(self, task: Task[..., Any], values: dict[str, Any], limit: float) -> Any:
        call = _ThreadCall(task.function, values)
        context = contextvars.copy_context()
        future = asyncio.get_running_loop().run_in_executor(self._threads, context.run, call)
        try:
            done, _ = await asyncio.wait([future], timeout=limit)
        except asyncio.CancelledError:
            call.interrupt(JobCancelled)
            await asyncio.wait([future], timeout=_ABANDON_SECONDS)
            _retrieve(future)
            if not future.done():
                raise asyncio.CancelledError(
                    f"its thread did not stop within {_ABANDON_SECONDS:g} s: it goes on, unheard"
                ) from None
            raise
        if done:
            return future.result()
        call.interrupt(TimeLimitExceeded)
        await asyncio.wait([future], timeout=_ABANDON_SECONDS)
        if not future.done():
            log.error("a thread of %s goes on after its time limit; its outcome will be ignored", task.name)
        _retrieve(future)
        raise _over(task, limit)

    def _failed(self, claim: Claim, error: BaseException, seconds: float, worker: int) -> Done | Again:
        verdict = self._classify(claim.task, error)
        policy = self._policy(claim.task)
        died = isinstance(error, ProcessDied)
        wait = delay(policy, verdict, claim.attempt if died else max(1, claim.attempt - claim.crashes))
        if isinstance(error, ProcessDied) and claim.crashes + 1 >= MAX_CRASHES:
            wait = None
            error = ProcessDied(f"{error}; {MAX_CRASHES} times what ran it died", error.evidence)
        described = self._describe(error, verdict.category, seconds)
        entry = json.dumps(
            {
                "attempt": claim.attempt,
                "outcome": "failed",
                "worker": worker,
                "began": (utcnow() - timedelta(seconds=seconds)).isoformat(),
                "at": utcnow().isoformat(),
            }
            | {key: value for key, value in json.loads(described).items() if key != "traceback"}
            | ({"evidence": error.evidence} if isinstance(error, ProcessDied) else {})
        )
        name, text = type(error).__name__, said(error)
        if wait is None:
            log.error(
                "%s %s ended dead (%s): %s: %s",
                claim.task,
                claim.id,
                verdict.category,
                name,
                text,
            )
            return Done(claim.id, claim.claim, State.DEAD, None, described, entry)
        log.warning(
            "%s %s failed (%s), again in %.1f s: %s: %s",
            claim.task,
            claim.id,
            verdict.category,
            wait,
            name,
            text,
        )
        reason = f"attempt {claim.attempt} failed: {name}: {text}"[:500]
        return Again(claim.id, claim.claim, utcnow() + timedelta(seconds=wait), reason, entry, int(died))

    def _classify(self, task: str, error: BaseException) -> Verdict:
        return self._hopyard.plugins.classify(task, error) or classify(error)

    def _policy(self, task: str) -> Any:
        from hopyard.specs import RetryPolicy

        options = self._hopyard.plugins.options.get(task)
        return options.retry if options else RetryPolicy(max_retries=0)

    def _describe(self, error: BaseException, category: str, seconds: float | None) -> str:
        remote = isinstance(error, RemoteError | JobFailed) and error.kind
        trace = getattr(error, "remote_traceback", None) or "".join(traceback.format_exception(error))
        return json.dumps(
            {
                "kind": remote or type(error).__name__,
                "category": str(category),
                "message": said(error)[:2000],
                "traceback": redact(trace)[-_TRACEBACK_CHARACTERS:],
                "seconds": seconds,
            }
        )

    def close(self) -> None:
        """Let the threads go."""
        self._threads.shutdown(wait=False, cancel_futures=True)


class _ThreadCall:
    """A call in a thread that can be interrupted at its next Python instruction."""

    def __init__(self, function: Callable[..., Any], values: dict[str, Any]) -> None:
        self._function = function
        self._values = values
        self._thread: int | None = None
        self._lock = threading.Lock()

    def __call__(self) -> Any:
        with self._lock:
            self._thread = threading.get_ident()
        try:
            return self._function(**self._values)
        finally:
            with self._lock:
                self._thread = None

    def interrupt(self, kind: type[BaseException]) -> None:
        """Raise `kind` in the thread, if it still runs."""
        with self._lock:
            if self._thread is not None:
                ctypes.pythonapi.PyThreadState_SetAsyncExc(
                    ctypes.c_ulong(self._thread), ctypes.py_object(kind)
                )


def _over(task: Task[..., Any], limit: float) -> TimeLimitExceeded:
    return TimeLimitExceeded(f"{task.name} ran longer than its time limit of {limit:g} s")


def failed_here(claim: Claim, error: Exception) -> Done:
    """Return the end of a job that failed outside its task, which nobody can be asked about."""
    described = {"kind": type(error).__name__, "category": Category.BUG, "message": said(error)}
    return Done(claim.id, claim.claim, State.DEAD, None, json.dumps(described), None)


def _retrieve(future: asyncio.Future[Any]) -> None:
    """Look at a future's error, so that nobody complains that nobody did."""
    future.add_done_callback(lambda f: f.cancelled() or f.exception())
