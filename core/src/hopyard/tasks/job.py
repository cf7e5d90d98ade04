"""What a running task knows of its job, and tells about it."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from contextvars import ContextVar
from datetime import datetime
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeVar

from hopyard import checks, portal
from hopyard.broker.envelope import headers_of
from hopyard.errors import (
    EffectUnknown,
    HopyardError,
    JobCancelled,
    PayloadError,
    SpecError,
    TimeLimitExceeded,
)
from hopyard.ledger import stored
from hopyard.ledger.values import Claim, Progress, utcnow
from hopyard.redaction import named_secrets, redact, without
from hopyard.specs import Effect, Reconciled

if TYPE_CHECKING:
    from contextlib import AbstractAsyncContextManager

    from hopyard.ledger.database import Database
    from hopyard.ledger.effects import Begun

T = TypeVar("T")

#: The longest message of progress, in characters.
MAX_MESSAGE: Final = 4_000
_LARGEST: Final = 1e300

_End = Callable[..., Coroutine[Any, Any, None]]
"""Records how an effect ended: its state and, if it is done, its outcome."""

current_job: ContextVar[Job | None] = portal.owner


class Host(Protocol):
    """The process that runs a job, as the job sees it."""

    def note(self, progress: Progress) -> None:
        """Take progress; never waits."""

    async def save(self, id_: str, claim: int, data: Mapping[str, Any]) -> None:
        """Store a checkpoint durably. Raises `StaleFence`."""

    def held(self, id_: str, claim: int) -> tuple[Database, tuple[int, int]]:
        """Return the ledger and the job's fence, for writes of its own. Raises `StaleFence`."""

    def release_slot(self, id_: str) -> AbstractAsyncContextManager[None]:
        """Give the job's slot to others meanwhile, and get one again at the end."""

    def check(self, id_: str, claim: int) -> None:
        """Raise if the job should stop: cancelled, over its time limit, or its lease lost."""


class Job:
    """The job that a task runs for: `async def refresh(job: Job, city: str)`.

    `checkpoint` has what earlier attempts saved; `attempt` counts from 1; `person` is whom it is done for.
    """

    def __init__(self, claim: Claim, host: Host, checkpoint: Mapping[str, Any]) -> None:
        self._claim = claim
        self._host = host
        self._headers: dict[str, Any] | None = None
        self._request: Any = None
        self.checkpoint: dict[str, Any] = dict(checkpoint)

    @property
    def log(self) -> logging.Logger:
        """The task's logger; each line carries the job's id."""
        return logging.getLogger(f"hopyard.task.{self._claim.task}")

    @cached_property
    def _secrets(self) -> tuple[str, ...]:
        return named_secrets(stored.arguments(self._claim.body))

    def hidden(self, text: str) -> str:
        """Return a text without what the job's arguments call a password, a token and the like.

        Progress, log lines and errors of the job are kept so.
        """
        return str(without(text, self._secrets))

    @property
    def id(self) -> str:
        return self._claim.id

    @property
    def task(self) -> str:
        return self._claim.task

    @property
    def attempt(self) -> int:
        return self._claim.attempt

    @property
    def person(self) -> str | None:
        return self._claim.person

    @property
    def due(self) -> datetime | None:
        """When it was due, if a schedule fired it."""
        return self._claim.due

    @property
    def schedule(self) -> str | None:
        """The name of the schedule that fired it."""
        return self._claim.schedule

    @property
    def queue(self) -> str:
        """The name of the queue that it came from."""
        return self._claim.queue

    @property
    def priority(self) -> int:
        """From 0 to 9, 9 first."""
        return self._claim.priority

    @property
    def parent(self) -> str | None:
        """The id of the job that submitted it, or that it follows; None if there is none."""
        return self._claim.parent

    @property
    def group(self) -> str | None:
        """The id of the group or chord that it is a part of; None if there is none."""
        group: str | None = self.headers.get("group")
        return group

    @property
    def headers(self) -> dict[str, Any]:
        """The headers of its message: those of Celery's protocol, and what its sender added."""
        if self._headers is None:
            self._headers = json.loads(headers_of(self._claim))
        return self._headers

    @property
    def body(self) -> str:
        """Arguments and links as Celery's message says them: `[args, kwargs, embed]` as JSON text."""
        return self._claim.body

    def celery_request(self) -> Any:
        """Return the job as Celery's `task.request`; the same object each time."""
        if self._request is None:
            from hopyard.tasks.signals import request_of

            self._request = request_of(self)
        return self._request

    @property
    def cancelled(self) -> bool:
        """Whether somebody has cancelled it, so that it should stop."""
        try:
            self._host.check(self.id, self._claim.claim)
        except JobCancelled:
            return True
        except HopyardError:
            return False
        return False

    @property
    def root(self) -> str:
        """The id of the job at the top of the tree that this one belongs to."""
        return self._claim.root or self._claim.id

    @property
    def sync(self) -> JobSync:
        """The same calls for tasks that are plain functions."""
        return JobSync(self)

    def progress(self, current: float, total: float | None = None, message: str = "") -> None:
        """Say how far the job is. Never waits; the latest word is stored within half a second.

        Secrets in the message are masked. Raises `JobCancelled` or `TimeLimitExceeded` where the job should
        stop, `PayloadError` for what is no number and for a message of over 4,000 characters.
        """
        self._host.check(self.id, self._claim.claim)
        try:
            checks.number("current", current, -_LARGEST, _LARGEST)
            if total is not None:
                checks.number("total", total, -_LARGEST, _LARGEST)
        except SpecError as error:
            raise PayloadError(f"{self.task}: progress: {error}") from None
        if not isinstance(message, str) or len(message) > MAX_MESSAGE:
            raise PayloadError(
                f"{self.task}: progress: the message is {checks.shown(message)}, expected text of at most "
                f"{MAX_MESSAGE:,} characters"
            )
        total = None if total is None else float(total)
        # Here, in the process that knows the secrets which the task has read.
        words = checks.storable(self.hidden(redact(message))) if message else ""
        self._host.note(Progress(self.id, float(current), total, words, utcnow()))

    async def save(self, **values: Any) -> None:
        """Add `values` to the checkpoint; durable when it returns.

        Raises `StaleFence` if the job was given to another worker, `PayloadError` if it grew too large.
        """
        self._host.check(self.id, self._claim.claim)
        data = self.checkpoint | values
        checks.json_text(data, f"{self.task}: the checkpoint")
        await self._host.save(self.id, self._claim.claim, data)
        self.checkpoint = data

    async def effect(
        self,
        name: str,
        action: Callable[..., Awaitable[T]],
        *,
        repeat_if_unknown: bool | Callable[..., Awaitable[T]] = False,
        **data: Any,
    ) -> T:
        """Do something outside at most once, across retries and crashes.

        `await job.effect("mail", send, to=user)` calls `send(to=user)`; what it returns (JSON-like) is kept
        and returned to every later attempt.
        If it raises, it did not happen, and a later attempt does it again. Where an attempt died in between,
        `reconcile_effect` is asked; without an answer it is repeated only with `repeat_if_unknown`. That may
        be another action that does it, for instance one that says that it may be a repeat.

        Raises `EffectUnknown` where nobody can say, `StaleFence` if the job was given to another worker,
        `PayloadError` for arguments or an outcome that are no JSON or too large. If it is the outcome, the
        action has happened and is not done again.
        """
        begun, end = await self._begin_effect(name, data, bool(repeat_if_unknown))
        if begun.standing == "done":
            return begun.outcome  # type: ignore[no-any-return]
        if begun.standing == "unknown" and callable(repeat_if_unknown):
            action = repeat_if_unknown
        try:
            outcome = await action(**data)
        except Exception:
            await end("failed")
            raise
        await self._end_effect(name, end, outcome)
        return outcome

    async def _end_effect(self, name: str, end: _End, outcome: Any) -> None:
        """Record that an action has happened, whatever its outcome is. Raises `PayloadError`."""
        try:
            checks.json_text(outcome, f"{self.task}: the outcome of the effect `{name}`")
        except PayloadError:
            await end("done", None)
            raise
        await end("done", outcome)

    async def _begin_effect(self, name: str, data: Mapping[str, Any], repeat: bool) -> tuple[Begun, _End]:
        """Return where an effect stands, `unknown` only if it is to be repeated, and what records its end."""
        from hopyard.ledger import effects

        try:
            checks.text("effect: name", name)
        except SpecError as error:
            raise PayloadError(f"{self.task}: {error}") from None
        checks.json_text(dict(data), f"{self.task}: the arguments of the effect `{name}`")
        self._host.check(self.id, self._claim.claim)
        # Held from here on: what is done is recorded also where the job was told to stop meanwhile.
        database, fence = self._host.held(self.id, self._claim.claim)
        end = partial(effects.end, database, self.id, fence, name)
        begun = await effects.begin(database, self.id, fence, name, data)
        if begun.standing == "unknown":
            found = await self._reconcile(name, data)
            if found is None and not repeat:
                raise EffectUnknown(
                    f"{self.task}: effect `{name}` was begun by an attempt that died: unknown"
                )
            if found is not None and found.happened:
                await end("done", found.outcome)
                begun = effects.Begun("done", found.outcome)
            elif found is not None:
                begun = effects.Begun("new", None)
        return begun, end

    async def _reconcile(self, name: str, data: Mapping[str, Any]) -> Reconciled | None:
        from hopyard import current

        asked = Effect(self.id, self.task, name, data)
        return await asyncio.to_thread(current.get().plugins.reconcile, asked)

    def will_retry(self, error: BaseException) -> bool:
        """Say whether the job will be tried again if the task raises `error` now."""
        from hopyard import current
        from hopyard.tasks.classify import classify, delay

        hopyard = current.get()
        verdict = hopyard.plugins.classify(self.task, error) or classify(error)
        failures = max(1, self.attempt - self._claim.crashes)
        options = hopyard.plugins.running_options(self.task) or hopyard.options(self.task)
        return delay(options.retry, verdict, failures) is not None

    def release_slot(self) -> AbstractAsyncContextManager[None]:
        """Hold no slot meanwhile: `async with job.release_slot(): await handle.result()`."""
        return self._host.release_slot(self.id)


class JobSync:
    """`Job`'s waiting calls for plain functions, which run in threads."""

    def __init__(self, job: Job) -> None:
        self._job = job

    def save(self, **values: Any) -> None:
        """As `Job.save`."""
        portal.run(self._job.save(**values))

    def effect(
        self,
        name: str,
        action: Callable[..., T],
        *,
        repeat_if_unknown: bool | Callable[..., T] = False,
        **data: Any,
    ) -> T:
        """As `Job.effect`; `action` is a plain function and runs in the task's own thread.

        One that is interrupted (a cancel, the time limit) may have happened: it stays unknown.
        """
        job = self._job
        begun, end = portal.run(job._begin_effect(name, data, bool(repeat_if_unknown)))
        if begun.standing == "done":
            return begun.outcome  # type: ignore[no-any-return]
        if begun.standing == "unknown" and callable(repeat_if_unknown):
            action = repeat_if_unknown
        try:
            outcome = action(**data)
        except (JobCancelled, TimeLimitExceeded):
            raise
        except Exception:
            portal.run(end("failed"))
            raise
        portal.run(job._end_effect(name, end, outcome))
        return outcome
