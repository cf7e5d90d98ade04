"""What plugins return from their hooks: frozen values that can be listed, checked and compared.

Each checks itself when it is made and raises `SpecError` (a `Rule`: `ScheduleError`), which names the value,
what was found and what was expected: whoever holds one need not look at it again.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import IntEnum
from typing import Any, Final, Literal

from hopyard import checks
from hopyard.retry import RETRYABLE, Category, RetryPolicy, Verdict
from hopyard.rules import Rule

__all__ = [
    "RETRYABLE",
    "Category",
    "DeclaredSchedule",
    "Effect",
    "Health",
    "HealthCheck",
    "Message",
    "Misfire",
    "Notifier",
    "OnDuplicate",
    "Overlap",
    "Queue",
    "Reconciled",
    "RetryPolicy",
    "Rule",
    "Schedule",
    "State",
    "TaskOptions",
    "Tool",
    "Unique",
    "Verdict",
    "tool_name",
]

#: What a job may have for its priority, the highest first in line; what a queue may have for its weight.
JOB_PRIORITIES: Final = (0, 9)
QUEUE_PRIORITIES: Final = (0, 10)
MAX_SLOTS: Final = 10_000
#: The most of a resource: a terabyte in kilobytes, say.
MAX_RESOURCE: Final = 10**9
#: The oldest due times that a schedule may make up for.
MAX_CATCH_UP: Final = timedelta(days=366)
MAX_HEALTH_SECONDS: Final = 600.0

_PART = r"[A-Za-z_][A-Za-z0-9_-]*"
_QUEUE_NAME = re.compile(rf"{_PART}(\.{_PART})*")
_RESOURCE_NAME = re.compile("[a-z][a-z0-9_]{0,62}")
_KIND = re.compile(r"[a-z][a-z0-9+.\-]*")


class State(IntEnum):
    """A job's state. The first five are live, the last three are history and never change."""

    SCHEDULED = 0
    QUEUED = 1
    RUNNING = 2
    RETRYING = 3
    PARKED = 4
    SUCCEEDED = 5
    DEAD = 6
    CANCELLED = 7

    @property
    def label(self) -> str:
        return self.name.lower()

    @property
    def final(self) -> bool:
        return self >= State.SUCCEEDED


@dataclass(frozen=True, slots=True)
class Queue:
    """A queue and what its workers may do at once.

    `slots` jobs of it (1 to 10,000) run at once in one worker process; `priority` (0 to 10) is its weight
    where one worker serves several queues; `group` names the worker that `hopyard up` starts for it
    (absent: one per plugin). `resources` are what each job of its tasks holds while it runs, unless the task
    says otherwise.
    """

    name: str
    slots: int = 4
    priority: int = 5
    group: str | None = None
    resources: Mapping[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_queue_name("queue: name", self.name)
        what = f"queue `{self.name}`"
        checks.whole(f"{what}: slots", self.slots, 1, MAX_SLOTS)
        checks.whole(f"{what}: priority", self.priority, *QUEUE_PRIORITIES)
        if self.group is not None:
            checks.text(f"{what}: group", self.group)
        check_resources(f"{what}: resources", self.resources)


def check_resources(what: str, resources: Any) -> None:
    """Raise `SpecError` unless these are names of resources and how much of each a job holds."""
    if not isinstance(resources, Mapping):
        checks.refuse(what, resources, 'amounts by name, such as {"gpu": 1}')
    for name, amount in resources.items():
        if not isinstance(name, str) or not _RESOURCE_NAME.fullmatch(name):
            checks.refuse(what, name, "lower-case letters, digits and `_`, such as `gpu`")
        checks.whole(f"{what}: {name}", amount, 1, MAX_RESOURCE)


def check_queue_name(what: str, name: Any) -> None:
    """Raise `SpecError` unless every broker takes `name` for a queue."""
    checks.text(what, name)
    if not _QUEUE_NAME.fullmatch(name):
        checks.refuse(what, name, "letters, digits, `_` and `-`, in parts with dots between them")


Misfire = Literal["all", "latest", "skip"]
Overlap = Literal["allow", "skip", "cancel"]


@dataclass(frozen=True, slots=True)
class Schedule:
    """A task that is submitted at its due times.

    `misfire` says what happens to due times that passed while nobody looked: each runs, only the
    latest, or none. Due times older than `catch_up` (at most 366 days) never run. `overlap` says what happens
    if the job before still goes on: both, not the new one, or only the new one. `kwargs` are JSON-like.
    """

    name: str
    task: str
    rule: Rule
    kwargs: Mapping[str, Any] = field(default_factory=dict)
    misfire: Misfire = "latest"
    overlap: Overlap = "allow"
    catch_up: timedelta = timedelta(days=1)
    enabled: bool = True

    def __post_init__(self) -> None:
        checks.text("schedule: name", self.name)
        what = f"schedule `{self.name}`"
        checks.text(f"{what}: task", self.task)
        if not isinstance(self.rule, Rule):
            checks.refuse(f"{what}: rule", self.rule, "a Rule")
        if self.rule.after == self.name:
            checks.refuse(f"{what}: rule", self.rule.after, "another schedule for `after`, not itself")
        checks.json_table(f"{what}: kwargs", self.kwargs)
        checks.choice(f"{what}: misfire", self.misfire, ("all", "latest", "skip"))
        checks.choice(f"{what}: overlap", self.overlap, ("allow", "skip", "cancel"))
        if not isinstance(self.catch_up, timedelta) or not timedelta(0) <= self.catch_up <= MAX_CATCH_UP:
            checks.refuse(
                f"{what}: catch_up", self.catch_up, f"a timedelta from 0 to {MAX_CATCH_UP.days} days"
            )
        checks.flag(f"{what}: enabled", self.enabled)


@dataclass(frozen=True, slots=True)
class DeclaredSchedule(Schedule):
    """An effective schedule and who declared it: a plugin's name, or `settings`."""

    declared_by: str = ""


@dataclass(frozen=True, slots=True)
class TaskOptions:
    """A task's declaration merged with the operator's overrides.

    `time_limit` is in seconds, at most a year; `priority` from 0 to 9, 9 first. `resources` are what a job
    holds while it runs, by name, out of what the installation has: `{"gpu": 1}`.
    """

    queue: str
    retry: RetryPolicy = field(default_factory=RetryPolicy)
    time_limit: float = 600.0
    priority: int = 5
    resources: Mapping[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_queue_name("queue", self.queue)
        check_resources("resources", self.resources)
        if not isinstance(self.retry, RetryPolicy):
            checks.refuse("retry", self.retry, "a RetryPolicy")
        checks.positive("time_limit", self.time_limit, checks.YEAR)
        checks.whole("priority", self.priority, *JOB_PRIORITIES)


OnDuplicate = Literal["reject", "replace", "debounce"]


@dataclass(frozen=True, slots=True)
class Unique:
    """How a job is unique by `key` among the jobs of its task, or of all tasks with `shared`.

    `reject` leaves the earlier job alone. `replace` gives an earlier job that still waits the arguments, the
    person and the priority of the new call; `debounce` also makes it wait anew. One that runs already cannot
    be changed: the new job is stored beside it, so that the latest arguments are never lost. An earlier job
    of another task is never changed, either.
    The key is held until the job is over, or for `seconds` (at most a year).
    """

    key: str
    on_duplicate: OnDuplicate = "reject"
    seconds: float | None = None
    shared: bool = False

    def __post_init__(self) -> None:
        checks.text("unique: key", self.key)
        what = f"unique key `{self.key}`"
        checks.choice(f"{what}: on_duplicate", self.on_duplicate, ("reject", "replace", "debounce"))
        if self.seconds is not None:
            checks.positive(f"{what}: seconds", self.seconds, checks.YEAR)
        checks.flag(f"{what}: shared", self.shared)

    @property
    def until(self) -> datetime | None:
        """When the key is free again; None: when the job is over."""
        return None if self.seconds is None else datetime.now(UTC) + timedelta(seconds=self.seconds)

    def stored_key(self, task: str) -> str:
        """Return the key under which a job of `task` is known in the ledger."""
        return self.key if self.shared else f"{task}:{self.key}"


@dataclass(frozen=True, slots=True)
class Health:
    """What a health check found. `data` is JSON-like."""

    ok: bool
    detail: str = ""
    data: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        checks.flag("health: ok", self.ok)
        checks.text("health: detail", self.detail, 100_000, empty=True)
        checks.json_table("health: data", self.data)


@dataclass(frozen=True, slots=True)
class HealthCheck:
    """A check that `hopyard doctor` and `maintenance.system_health_check` run.

    `time_limit` is in seconds, at most ten minutes.
    """

    name: str
    run: Callable[[], Awaitable[Health]]
    time_limit: float = 5.0

    def __post_init__(self) -> None:
        checks.text("health check: name", self.name)
        checks.function(f"health check `{self.name}`: run", self.run)
        checks.positive(f"health check `{self.name}`: time_limit", self.time_limit, MAX_HEALTH_SECONDS)


@dataclass(frozen=True, slots=True)
class Message:
    """A notification as it is handed to a channel."""

    id: str
    person: str
    title: str
    body: str
    data: Mapping[str, Any] = field(default_factory=dict)
    repeat: bool = False
    """True where an earlier delivery of the same message may have arrived already."""


@dataclass(frozen=True, slots=True)
class Notifier:
    """A kind of channel: `deliver(address, message)` raises on failure (errors as in tasks)."""

    kind: str
    deliver: Callable[[str, Message], Awaitable[None]]

    def __post_init__(self) -> None:
        checks.text("notifier: kind", self.kind)
        if not _KIND.fullmatch(self.kind):
            checks.refuse("notifier: kind", self.kind, "the scheme of an address, e.g. `mailto`")
        checks.function(f"notifier `{self.kind}`: deliver", self.deliver)


@dataclass(frozen=True, slots=True)
class Effect:
    """An outside action of a job, as `reconcile_effect` is asked about it, with its arguments."""

    job: str
    task: str
    name: str
    data: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Reconciled:
    """The answer to `reconcile_effect`: whether the action happened, and with which outcome (JSON-like)."""

    happened: bool
    outcome: Any = None


@dataclass(frozen=True, slots=True)
class Tool:
    """Marks a task as a tool for LLMs, and says what a call does, as the Model Context Protocol does.

    read_only    it changes nothing; whoever may look may call it
    destructive  what it changes may be lost by it
    idempotent   a second call with the same arguments changes nothing more
    approval     a person must agree before each call
    """

    approval: bool = False
    description: str | None = None
    read_only: bool = False
    destructive: bool = False
    idempotent: bool = False

    def __post_init__(self) -> None:
        for name in ("approval", "read_only", "destructive", "idempotent"):
            checks.flag(f"tool: {name}", getattr(self, name))
        if self.read_only and self.destructive:
            checks.refuse("tool: destructive", True, "False, because the tool is read_only")
        if self.description is not None:
            checks.text("tool: description", self.description, 10_000)

    @property
    def effect(self) -> str:
        """What a call does, in a few words: `only reads`, `changes something` or `may destroy something`."""
        if self.read_only:
            return "only reads"
        words = "may destroy something" if self.destructive else "changes something"
        return f"{words}, no more when it is repeated" if self.idempotent else words


def tool_name(task: str) -> str:
    """Return a task's name as providers accept it for a tool: letters, digits, `_` and `-`, at most 64."""
    return re.sub(r"[^A-Za-z0-9_-]", "_", task.replace(".", "__"))[:64]
