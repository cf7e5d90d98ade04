"""Declaring a task and calling it."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import (
    TYPE_CHECKING,
    Any,
    Concatenate,
    Generic,
    Literal,
    ParamSpec,
    Protocol,
    TypeVar,
    cast,
    overload,
)

from hopyard import checks, current, portal
from hopyard.broker import envelope
from hopyard.errors import PayloadError, PluginError, SpecError
from hopyard.ledger.values import NewJob, job_id, new_id, utcnow
from hopyard.specs import RetryPolicy, State, TaskOptions, Tool, Unique
from hopyard.tasks.deciding import decided, plugins_decide
from hopyard.tasks.handle import JobHandle
from hopyard.tasks.job import Job, current_job
from hopyard.tasks.options import MAX_ID, check_options, check_path, check_queue, later, moment_with_zone
from hopyard.tasks.payload import Payload, checked

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncSession
    from sqlalchemy.orm import Session

    from hopyard.tasks.client import Client

P = ParamSpec("P")
R = TypeVar("R")

Pool = Literal["auto", "process"]


class Task(Generic[P, R]):
    """A declared task. Calling it runs its function here and now; `submit` makes a job of it.

    The declaration is light and immutable; queue, retry, limits and priority may be overridden in the
    settings.
    """

    def __init__(
        self,
        name: str,
        function: Callable[..., Any],
        *,
        queue: str | None = None,
        retry: RetryPolicy | None = None,
        time_limit: float | None = None,
        priority: int | None = None,
        tool: Tool | None = None,
        pool: Pool = "auto",
        resources: Mapping[str, int] | None = None,
        path: str | None = None,
    ) -> None:
        checks.text("task: name", name)
        what = f"task `{name}`"
        if "." not in name:
            raise PluginError(
                f"task name `{name}` has no plugin in it",
                stage="import",
                hint="name it `<plugin>.<task>`, for example `weather.refresh`",
            )
        checks.function(f"{what}: function", function)
        _check_no_generator(what, function)
        checks.choice(f"{what}: pool", pool, ("auto", "process"))
        if tool is not None and not isinstance(tool, Tool):
            checks.refuse(f"{what}: tool", tool, "True or a Tool")
        check_options(what, queue, retry, time_limit, priority, resources)
        check_path(what, path)
        self.name = name
        self.function = function
        self.queue = queue
        self.retry = retry
        self.time_limit = time_limit
        self.priority = priority
        self.tool = tool
        self.pool = pool
        self.resources = resources
        self.path = path
        self.doc = inspect.getdoc(function) or ""
        self.is_async = inspect.iscoroutinefunction(function)
        self.payload = Payload(name, function, Job)

    def __repr__(self) -> str:
        return f"<task {self.name}>"

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.function(*args, **kwargs)

    @property
    def runs_in(self) -> Literal["loop", "thread", "process"]:
        """What runs it in a worker."""
        if self.pool == "process":
            return "process"
        return "loop" if self.is_async else "thread"

    @property
    def summary(self) -> str:
        """The first line of its docstring."""
        return self.doc.split("\n", 1)[0]

    def resolve(self) -> None:
        """Work out the types and schemas of arguments and result now. Raises `PluginError`."""
        self.payload.resolve()

    def check_arguments(self, kwargs: Mapping[str, Any]) -> None:
        """Raise `PayloadError` unless JSON-like arguments fit the task's types."""
        self.payload.load((), kwargs)

    @property
    def sync(self) -> TaskSync[P, R]:
        """The same calls for plain code; refused inside a running event loop."""
        return TaskSync(Call(self))

    def options(
        self,
        *,
        delay: float | timedelta | None = None,
        eta: datetime | None = None,
        queue: str | None = None,
        priority: int | None = None,
        id: str | None = None,  # noqa: A002 - the name that Celery's callers know
        person: str | None = None,
        unique: Unique | str | None = None,
        session: AsyncSession | Session | None = None,
    ) -> Call[P, R]:
        """Return the task with options for one call: `task.options(delay=60).submit(…)`.

        `delay` in seconds, or an `eta`, which is in the configured time zone unless it has its own, at most a
        hundred years ahead; `priority` 0 to 9, 9 first; `id` makes the call idempotent: a
        second submit of the same id is the same job; `person` is whom it is done for; `unique`, a key or a
        `Unique`, says that there shall be one such job at a time. With `session`, an SQLAlchemy session on
        the ledger's database (an `AsyncSession`; a `Session` with `.sync`), the job exists if and only if the
        session's transaction commits.

        Raises `SpecError` for an option that is none.
        """
        if delay is not None and eta is not None:
            checks.refuse(f"{self.name}: eta", eta, "either `delay` or `eta`")
        if delay is not None:
            eta = later(f"{self.name}: delay", delay)
        one = Unique(unique) if isinstance(unique, str) else unique
        return Call(self, eta, queue, priority, id, person, one, session)

    async def submit(self, /, *args: P.args, **kwargs: P.kwargs) -> JobHandle[R]:
        """Validate the arguments, store the job and send its message. Durable when it returns.

        Raises `PayloadError` before anything is stored, `LedgerUnavailable` if nothing was.
        """
        return await Call(self).submit(*args, **kwargs)

    async def submit_many(self, calls: Iterable[Mapping[str, Any]]) -> list[JobHandle[R]]:
        """Submit one job per mapping of arguments, in one round trip per thousand.

        All arguments are validated before anything is stored.
        """
        return await Call(self).submit_many(calls)

    # Celery's own ways to call it
    def delay(self, *args: Any, **kwargs: Any) -> Any:
        """Celery's `delay`: returns an `AsyncResult`."""
        return self.celery.delay(*args, **kwargs)

    def apply_async(self, args: Any = None, kwargs: Any = None, **options: Any) -> Any:
        """Celery's `apply_async`: returns an `AsyncResult`."""
        return self.celery.apply_async(args, kwargs, **options)

    @property
    def celery(self) -> Any:
        """The Celery task of the same name."""
        return current.get().celery.tasks[self.name]


@dataclass(frozen=True)
class Call(Generic[P, R]):
    """A task together with options for its next call."""

    task: Task[P, R]
    eta: datetime | None = None
    queue: str | None = None
    priority: int | None = None
    id: str | None = None
    person: str | None = None
    unique: Unique | None = None
    session: AsyncSession | Session | None = None

    def __post_init__(self) -> None:
        what = self.task.name
        if self.eta is not None:
            object.__setattr__(self, "eta", moment_with_zone(f"{what}: eta", self.eta))
        if self.queue is not None or self.priority is not None:  # most calls have no options
            check_options(what, self.queue, None, None, self.priority)
        if self.id is not None:
            checks.text(f"{what}: id", self.id, MAX_ID)
        if self.person is not None:
            checks.text(f"{what}: person", self.person)
        if self.unique is not None and not isinstance(self.unique, Unique):
            checks.refuse(f"{what}: unique", self.unique, "a key or a Unique")
        if self.unique is not None and self.session is not None:
            raise PayloadError(f"{self.task.name}: `unique` and `session` do not go together")

    @property
    def sync(self) -> TaskSync[P, R]:
        """The same calls for plain code."""
        return TaskSync(self)

    async def submit(self, /, *args: P.args, **kwargs: P.kwargs) -> JobHandle[R]:
        """As `Task.submit`."""
        job = self.job(args, kwargs)
        if self.session is not None:
            await self._submit_in([job])
            return JobHandle(job.id, self.task.payload)
        client: Client = current.get().client()
        if self.unique is not None:
            id_ = await client.submit_unique(job, self.unique)
            return JobHandle(id_, self.task.payload)
        await client.submit([job], fresh=self.id is None)
        return JobHandle(job.id, self.task.payload)

    async def submit_many(self, calls: Iterable[Mapping[str, Any]]) -> list[JobHandle[R]]:
        """As `Task.submit_many`."""
        _check_calls(self.task.name, calls)
        if self.unique is not None:
            raise PayloadError(f"{self.task.name}: many jobs cannot share the unique key {self.unique.key!r}")
        jobs = [*replace(self, id=None)._jobs(((), kwargs) for kwargs in calls)]
        if self.session is not None:
            await self._submit_in(jobs)
            return [JobHandle(job.id, self.task.payload) for job in jobs]
        client = current.get().client()
        for start in range(0, len(jobs), 1000):
            await client.submit(jobs[start : start + 1000], fresh=True)
        return [JobHandle(job.id, self.task.payload) for job in jobs]

    async def _submit_in(self, jobs: Sequence[NewJob]) -> None:
        from hopyard.tasks.transactional import submit_in

        if not hasattr(self.session, "run_sync"):
            raise PayloadError(f"{self.task.name}: a plain Session goes with `.sync`, await an AsyncSession")
        await submit_in(cast("AsyncSession", self.session), jobs)

    def submit_in_session(self, calls: Iterable[Mapping[str, Any]]) -> list[JobHandle[R]]:
        """Store one job per mapping of arguments in a plain `Session`'s transaction, in this thread."""
        from hopyard.tasks.transactional import submit_in_sync

        if hasattr(self.session, "run_sync"):
            raise PayloadError(f"{self.task.name}: an AsyncSession is awaited, without `.sync`")
        _check_calls(self.task.name, calls)
        jobs = [*self._jobs(((), kwargs) for kwargs in calls)]
        submit_in_sync(cast("Session", self.session), jobs)
        return [JobHandle(job.id, self.task.payload) for job in jobs]

    def job(self, args: tuple[Any, ...], kwargs: Mapping[str, Any], *, check: bool = True) -> NewJob:
        """Return the row that this call stores. Raises `PayloadError`.

        Without `check` the arguments, which are JSON-like then, are left to the worker to validate.
        """
        return next(self._jobs([(args, kwargs)], check=check))

    def _jobs(
        self, calls: Iterable[tuple[tuple[Any, ...], Mapping[str, Any]]], *, check: bool = True
    ) -> Iterator[NewJob]:
        """Yield a row for each of many calls, which share all but their arguments."""
        task = self.task
        hopyard = current.get()
        options: TaskOptions = hopyard.options(task.name)
        if self.queue is not None:
            check_queue(f"{task.name}: queue", self.queue)
        queue = self.queue or options.queue
        priority = options.priority if self.priority is None else self.priority
        origin = current_job.get()
        parent, root = (origin.id, origin.root) if origin else (None, None)
        person = self.person or (origin.person if origin else None)
        later = self.eta is not None and self.eta > utcnow()
        state, eta = (State.SCHEDULED, self.eta) if later else (State.QUEUED, None)
        what = f"{task.name}: the arguments"
        decides = plugins_decide(hopyard.plugins)
        for args, kwargs in calls:
            if type(kwargs) is not dict and not isinstance(kwargs, Mapping):
                raise PayloadError(f"{what} are {checks.shown(kwargs)}, expected them by name in a mapping")
            id_ = job_id(self.id) if self.id else new_id()
            headers = ""
            if check:
                named = task.payload.dump(args, kwargs)
                body, shown = envelope.body_of(named), named[:200]
            else:
                body, shown = envelope.body(args, kwargs), repr(kwargs)[:200]
            if origin or not check:
                headers = envelope.headers(id_, task.name, root=root, parent=parent, kwargsrepr=shown)
            body = checked(body, what)
            job = NewJob(
                id_, task.name, queue, priority, body, headers, state, eta, None, None, parent, root, person
            )
            yield decided(job, self.queue, self.priority) if decides else job


def _check_no_generator(what: str, function: Callable[..., Any]) -> None:
    """Raise `SpecError` for a function with `yield`: a call of it runs nothing, and returns no result."""
    if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        name = getattr(function, "__name__", repr(function))
        expected = "a function without `yield`: a job has one result, which it returns, and `job.progress`"
        raise SpecError(
            f"{what}: found the generator `{name}`, expected {expected} for what comes before it",
            expected=expected,
        )


def _check_calls(task: str, calls: Any) -> None:
    if not isinstance(calls, Iterable):
        checks.refuse(f"{task}: calls", calls, "mappings of arguments by name, one for each job")


class TaskSync(Generic[P, R]):
    """`Task`'s calls for plain code, served by the process's portal."""

    def __init__(self, call: Call[P, R]) -> None:
        self._call = call

    def submit(self, *args: P.args, **kwargs: P.kwargs) -> JobHandle[R]:
        """As `Task.submit`."""
        if self._call.session is not None:
            return self._call.submit_in_session([self._call.task.payload.named(args, kwargs)])[0]
        return portal.run(self._call.submit(*args, **kwargs))

    def submit_many(self, calls: Iterable[Mapping[str, Any]]) -> list[JobHandle[R]]:
        """As `Task.submit_many`."""
        if self._call.session is not None:
            return self._call.submit_in_session(calls)
        return portal.run(self._call.submit_many(calls))


class _Decorator(Protocol):
    @overload
    def __call__(self, function: Callable[Concatenate[Job, P], Awaitable[R]]) -> Task[P, R]: ...
    @overload
    def __call__(self, function: Callable[Concatenate[Job, P], R]) -> Task[P, R]: ...
    @overload
    def __call__(self, function: Callable[P, Awaitable[R]]) -> Task[P, R]: ...
    @overload
    def __call__(self, function: Callable[P, R]) -> Task[P, R]: ...


def task(
    name: str,
    *,
    queue: str | None = None,
    retry: RetryPolicy | None = None,
    time_limit: float | None = None,
    priority: int | None = None,
    tool: bool | Tool = False,
    pool: Pool = "auto",
    resources: Mapping[str, int] | None = None,
    path: str | None = None,
) -> _Decorator:
    """Declare a function as a task: `@task("weather.refresh", retry=RetryPolicy(max_retries=5))`.

    `async def` tasks run on the worker's event loop, `def` tasks in threads, with `pool="process"` in a child
    process. `time_limit` in seconds (default 600); `queue` defaults to the plugin's name; `priority` 0 to 9,
    9 first (default 5); `tool=True` offers it to LLMs; `resources={"gpu": 1}` is what a job holds of what the
    installation has, the queue's unless given; `path` is its endpoint's below `/api/background`.

    Raises `PluginError` for a name without a plugin, `SpecError` for an option that is none.
    """
    checks.text("task: name", name)

    def declare(function: Callable[..., Any]) -> Task[Any, Any]:
        marked = Tool() if tool is True else None if tool is False else tool
        return Task(
            name,
            function,
            queue=queue,
            retry=retry,
            time_limit=time_limit,
            priority=priority,
            tool=marked,
            pool=pool,
            resources=resources,
            path=path,
        )

    return declare
