"""Celery's task signals, fired only where a receiver is connected, so that they cost nothing otherwise.

A receiver that raises is logged and changes nothing. Whoever has connected one has imported
`celery.signals`: as long as nobody has, it is not imported here either.
"""

from __future__ import annotations

import asyncio
import json
import logging
import sys
from collections.abc import Callable, Collection, Coroutine, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, Literal

from hopyard import checks, current
from hopyard.broker.envelope import headers_of, kombu_priority
from hopyard.errors import JobCancelled, PayloadError, StaleFence

if TYPE_CHECKING:
    from types import TracebackType

    from hopyard.ledger.values import NewJob
    from hopyard.tasks.job import Job

log = logging.getLogger("hopyard.signals")

_RUN: Final = ("task_prerun", "task_postrun", "task_success", "task_failure", "task_retry", "task_revoked")


def fire(name: str, sender: Any, **named: Any) -> None:
    """Tell the receivers of one of Celery's signals. Never raises."""
    try:
        getattr(sys.modules["celery.signals"], name).send(sender, **named)
    except BaseException:
        log.exception("a receiver of Celery's signal %s raised", name)


def has_receivers(*names: str) -> bool:
    """Say whether a receiver of one of these signals is connected."""
    signals = sys.modules.get("celery.signals")
    return signals is not None and any(getattr(signals, name).receivers for name in names)


class _OfARun:
    """The signals of a job's run, which are looked at for every job."""

    def __init__(self) -> None:
        self._signals: tuple[Any, ...] = ()

    def have_receivers(self) -> bool:
        """Say whether a receiver of one of them is connected."""
        for signal in self._signals or self._found():  # noqa: SIM110 - `any` would cost twice as much
            if signal.receivers:
                return True
        return False

    def _found(self) -> tuple[Any, ...]:
        if signals := sys.modules.get("celery.signals"):
            self._signals = tuple(getattr(signals, name) for name in _RUN)
        return self._signals


_of_a_run: Final = _OfARun()


# --- publishing


def before_publish(jobs: Sequence[NewJob]) -> Sequence[NewJob]:
    """Fire `before_task_publish` for jobs that are about to be stored.

    Receivers may add headers, as tracing does; the returned jobs carry them.
    """
    if not has_receivers("before_task_publish"):
        return jobs
    return [_announced(job) for job in jobs]


def after_publish(jobs: Sequence[NewJob], new: Collection[str]) -> None:
    """Fire `after_task_publish` for those jobs that were stored: `new` are their ids."""
    if not has_receivers("after_task_publish"):
        return
    for job in jobs:
        if job.id in new:
            body, headers = tuple(json.loads(job.body)), json.loads(headers_of(job))
            fire(
                "after_task_publish", job.task, body=body, headers=headers, exchange="", routing_key=job.queue
            )


def _announced(job: NewJob) -> NewJob:
    before: dict[str, Any] = json.loads(headers_of(job))
    headers = dict(before)
    fire(
        "before_task_publish",
        job.task,
        body=tuple(json.loads(job.body)),
        exchange="",
        routing_key=job.queue,
        declare=[],
        headers=headers,
        properties={
            "correlation_id": job.id,
            "reply_to": "",
            "delivery_mode": 2,
            "priority": kombu_priority(job.priority),
        },
        retry_policy=None,
    )
    added = {name: value for name, value in headers.items() if name not in before}
    return with_headers(job, added) if added else job


def with_headers(job: NewJob, added: Mapping[str, Any]) -> NewJob:
    """Return a job whose message carries more headers; what Hopyard says in them itself stays.

    Headers that JSON cannot hold are left out, with a word in the log.
    """
    headers: dict[str, Any] = json.loads(headers_of(job))
    for name, value in added.items():
        try:
            checks.json_text({name: value}, f"{job.task}: the header {name!r}")
        except PayloadError as error:
            log.error("a header is left out: %s", error)
        else:
            headers.setdefault(name, value)
    return job._replace(headers=json.dumps(headers))


# --- running


class Run:
    """Fires the signals of one run, in the context of whatever enters it.

    `with Run(job, arguments) as run: run.value = task.function(**arguments)`
    """

    def __init__(self, job: Job, arguments: Mapping[str, Any]) -> None:
        self._job = job
        self._task = current.get().celery.tasks[job.task]
        kwargs = {name: value for name, value in arguments.items() if value is not job}
        self._about: dict[str, Any] = {"task_id": job.id, "args": [], "kwargs": kwargs}
        self.value: Any = None

    def __enter__(self) -> Run:
        fire("task_prerun", self._task, task=self._task, **self._about)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> Literal[False]:
        if error is None:
            state = "SUCCESS"
            fire("task_success", self._task, result=self.value)
        else:
            self.value = error
            state = self._failed(error)
        fire("task_postrun", self._task, task=self._task, retval=self.value, state=state, **self._about)
        return False

    def _failed(self, error: BaseException) -> str:
        """Fire what tells of an error; return Celery's name of the job's state."""
        told = self._told_to_stop(error)
        if told == "REVOKED":
            request = self._job.celery_request()
            fire("task_revoked", self._task, request=request, terminated=True, signum=None, expired=False)
        elif told is None:
            return _failure(self._task, self._job, self._about, error)
        return told

    def _told_to_stop(self, error: BaseException) -> str | None:
        """Return the state of a job that ends because it was cancelled, or that others will run; or None."""
        if isinstance(error, StaleFence):
            return "RETRY"
        if not isinstance(error, asyncio.CancelledError | JobCancelled):
            return None
        if isinstance(error, JobCancelled) or self._job.cancelled:
            return "REVOKED"
        return "RETRY"  # handed back


def wrapped(job: Job, arguments: Mapping[str, Any], function: Callable[[], Any]) -> Callable[[], Any]:
    """Return a call that fires the signals of its run; the call itself where nobody listens."""
    if not _of_a_run.have_receivers():
        return function

    def call() -> Any:
        with Run(job, arguments) as run:
            run.value = function()
        return run.value

    return call


def around(
    job: Job, arguments: Mapping[str, Any], running: Coroutine[Any, Any, Any]
) -> Coroutine[Any, Any, Any]:
    """Return a job that runs on the loop with the signals of its run around it, if anybody listens."""
    return _signalled(job, arguments, running) if _of_a_run.have_receivers() else running


async def _signalled(job: Job, arguments: Mapping[str, Any], running: Coroutine[Any, Any, Any]) -> Any:
    with Run(job, arguments) as run:
        run.value = await running
    return run.value


def died(job: Job, error: BaseException) -> None:
    """Tell of a job that ended outside of its task: its process died, or its arguments cannot be read."""
    if has_receivers("task_failure", "task_retry"):
        args, kwargs, _ = json.loads(job.body)
        task = current.get().celery.tasks[job.task]
        _failure(task, job, {"task_id": job.id, "args": args, "kwargs": kwargs}, error)


def _failure(task: Any, job: Job, about: dict[str, Any], error: BaseException) -> str:
    from billiard.einfo import ExceptionInfo

    try:
        einfo = ExceptionInfo((type(error), error, error.__traceback__))
        again = job.will_retry(error)
    except BaseException:
        log.exception("job %s: how it failed cannot be told to the receivers of Celery's signals", job.id)
        return "FAILURE"
    if again:
        fire("task_retry", task, request=job.celery_request(), reason=error, einfo=einfo)
        return "RETRY"
    fire("task_failure", task, exception=error, traceback=error.__traceback__, einfo=einfo, **about)
    return "FAILURE"


# --- what Celery's `current_task` and `task.request` answer


class TaskStack:
    """Celery's stack of running tasks, on which the job that runs here stands as well.

    Celery's own is per thread; many jobs share the thread of a worker's event loop.
    """

    def __init__(self, own: Any) -> None:
        self._own = own

    @property
    def top(self) -> Any:
        """The task that runs here; None if there is none."""
        inner = self._own.top
        return _running_task() if inner is None else inner

    @property
    def stack(self) -> list[Any]:
        """All tasks that run here, the innermost last."""
        task = _running_task()
        inner: list[Any] = self._own.stack
        return inner if task is None else [task, *inner]

    def __getattr__(self, name: str) -> Any:
        return getattr(self._own, name)

    def __len__(self) -> int:
        return len(self.stack)


def show_running_task() -> None:
    """Have `celery.current_task` answer within jobs."""
    from celery import _state

    if not isinstance(_state._task_stack, TaskStack):
        _state._task_stack = TaskStack(_state._task_stack)


def _running_task() -> Any:
    from hopyard.tasks.job import current_job

    job = current_job.get()
    return None if job is None else current.get().celery.tasks.get(job.task)


def request_of(job: Job) -> Any:
    """Return Celery's view of a running job: what `task.request` is within it."""
    from celery.app.task import Context

    args, kwargs, embed = json.loads(job.body)
    more = {
        "id": job.id,
        "args": args,
        "kwargs": kwargs,
        "parent_id": job.parent,
        "root_id": job.root,
        "group": job.group,
        "retries": job.attempt - 1,
        "correlation_id": job.id,
        "called_directly": False,
        "is_eager": False,
        "delivery_info": {
            "exchange": "",
            "routing_key": job.queue,
            "priority": job.priority,
            "redelivered": job.attempt > 1,
        },
    }
    return Context({**job.headers, **(embed or {}), **more})
