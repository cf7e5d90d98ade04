"""What plugins are told about jobs and about each other: frozen values, handed to `on_…` hooks in lists."""

from __future__ import annotations

from datetime import datetime
from typing import Final, Literal, NamedTuple

TaskEventKind = Literal[
    "sent", "started", "progress", "retried", "succeeded", "failed", "cancelled", "dead", "parked"
]
#: Each kind has a hook of its own: `on_task_sent`, `on_task_started` …
TASK_EVENTS: Final[tuple[TaskEventKind, ...]] = (
    "sent",
    "started",
    "progress",
    "retried",
    "succeeded",
    "failed",
    "cancelled",
    "dead",
    "parked",
)


class TaskEvent(NamedTuple):
    """Something that happened to a job. `at` is in UTC.

    An attempt that fails gives two events: `failed`, and then `retried` or `dead`. Fields that do not belong
    to a kind are None.
    """

    kind: TaskEventKind
    job: str
    task: str
    queue: str
    at: datetime
    attempt: int = 0
    """Counts from 1; 0 where the job has not run yet."""
    worker: int | None = None
    """The number of the worker that runs it; None for `sent`."""
    person: str | None = None
    category: str | None = None
    """Of `failed`, `retried` and `dead`: the error's category."""
    error: str | None = None
    """Of `failed` and `dead`: the error's class name."""
    message: str | None = None
    """Of `failed` and `dead`: the error's text. Of `progress`: the task's words. Of `parked`: the reason."""
    seconds: float | None = None
    """Of `succeeded` and `failed`: how long the attempt ran."""
    eta: datetime | None = None
    """Of `retried`: when it is tried again. Of `sent`: when it is due, if that is later."""
    current: float | None = None
    """Of `progress`: how far the job is, out of `total`."""
    total: float | None = None


class PluginEvent(NamedTuple):
    """A plugin that failed: its state (`quarantined`, `misconfigured` …), at which stage, why, what to do."""

    plugin: str
    state: str
    stage: str
    reason: str
    hint: str
    at: datetime


Event = TaskEvent | PluginEvent


def hook_of(event: Event) -> str:
    """Return the name of the hook that is told of an event, beside `on_event`."""
    return "on_plugin_quarantined" if isinstance(event, PluginEvent) else _HOOKS[event.kind]


_HOOKS: Final = {kind: f"on_task_{kind}" for kind in TASK_EVENTS}
#: All hooks that are told something.
NOTIFY_HOOKS: Final = (*_HOOKS.values(), "on_plugin_quarantined", "on_event")
