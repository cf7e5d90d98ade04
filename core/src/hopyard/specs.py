"""What plugins return from their hooks: frozen values that can be listed, checked and compared."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import IntEnum, StrEnum
from typing import Any, Literal


class Category(StrEnum):
    """What kind of failure an error is; decides whether it is worth another try."""

    TRANSIENT = "transient"
    RATE_LIMITED = "rate_limited"
    TIMEOUT = "timeout"
    INVALID_INPUT = "invalid_input"
    AUTHENTICATION = "authentication"
    RESOURCE = "resource"
    BUG = "bug"


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


RETRYABLE = frozenset({Category.TRANSIENT, Category.RATE_LIMITED, Category.TIMEOUT, Category.RESOURCE})


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How often and when a failed job is tried again.

    The n-th retry (n from 1) waits `backoff * factor ** (n - 1)` seconds, at most `max_backoff`,
    spread by `±jitter` of itself; a server's Retry-After is a lower bound.
    """

    max_retries: int = 3
    backoff: float = 60.0
    factor: float = 2.0
    max_backoff: float = 3600.0
    jitter: float = 0.1
    on: frozenset[Category] = RETRYABLE


@dataclass(frozen=True, slots=True)
class Verdict:
    """A plugin's answer to `classify_error`. `retry_after` is in seconds."""

    category: Category
    retry_after: float | None = None


@dataclass(frozen=True, slots=True)
class Queue:
    """A queue and what its workers may do at once.

    `slots` jobs of it run at once in one worker process; `priority` (0 to 10) is its weight where
    one worker serves several queues; `group` names the worker that `hopyard up` starts for it
    (absent: one per plugin).
    """

    name: str
    slots: int = 4
    priority: int = 5
    group: str | None = None


Misfire = Literal["all", "latest", "skip"]
Overlap = Literal["allow", "skip", "cancel"]


@dataclass(frozen=True, slots=True)
class Rule:
    """When something happens. Exactly one of the first five is given.

    every   seconds between two due times, counted from `anchor`
    cron    five fields or an alias such as `@daily`, in `zone`
    rrule   RFC 5545 RRULE text (without DTSTART), starting at `anchor`, in `zone`
    at      once
    after   each time that a job of the schedule of this name has succeeded
    """

    every: float | None = None
    cron: str | None = None
    rrule: str | None = None
    at: datetime | None = None
    after: str | None = None
    zone: str = "UTC"
    anchor: datetime | None = None


@dataclass(frozen=True, slots=True)
class Schedule:
    """A task that is submitted at its due times.

    `misfire` says what happens to due times that passed while nobody looked: each runs, only the
    latest, or none. Due times older than `catch_up` never run. `overlap` says what happens if the job before
    still goes on: both, not the new one, or only the new one.
    """

    name: str
    task: str
    rule: Rule
    kwargs: Mapping[str, Any] = field(default_factory=dict)
    misfire: Misfire = "latest"
    overlap: Overlap = "allow"
    catch_up: timedelta = timedelta(days=1)
    enabled: bool = True


@dataclass(frozen=True, slots=True)
class Health:
    """What a health check found. `data` is JSON-like."""

    ok: bool
    detail: str = ""
    data: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class HealthCheck:
    """A check that `hopyard doctor` and `maintenance.system_health_check` run, `time_limit` in seconds."""

    name: str
    run: Callable[[], Awaitable[Health]]
    time_limit: float = 5.0


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
    """Marks a task as a tool for LLMs. With `approval`, a person must agree before each call."""

    approval: bool = False
    description: str | None = None
