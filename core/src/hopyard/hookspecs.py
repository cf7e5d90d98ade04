"""The hooks that a plugin may implement: the contract between core and plugins.

Modes: *collect* returns data and runs under a time limit at start; an error or a hang ends only that
plugin. *process* is called once in each process of a role. *decide* goes through the plugins until one
answers; an error counts as no answer and is logged. All hooks are plain functions.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Literal

import pluggy

if TYPE_CHECKING:
    import click

    from hopyard.specs import Effect, HealthCheck, Notifier, Queue, Reconciled, Schedule, Verdict
    from hopyard.tasks import Task

PROJECT = "hopyard"
hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)

Role = Literal["producer", "worker", "child", "beat", "cli"]


class Collect:
    """Contributions: values, checked and namespaced by the core."""

    @hookspec
    def register_tasks(self) -> Iterable[Task[..., Any]]:  # type: ignore[empty-body]
        """Return the plugin's task declarations; each name starts with the plugin's name and a dot."""

    @hookspec
    def register_queues(self) -> Iterable[Queue]:  # type: ignore[empty-body]
        """Return the plugin's queues; each is named as the plugin or starts with its name and a dot."""

    @hookspec
    def register_schedules(self) -> Iterable[Schedule]:  # type: ignore[empty-body]
        """Return the plugin's schedules; operators may change or disable each in the settings."""

    @hookspec
    def register_health_checks(self) -> Iterable[HealthCheck]:  # type: ignore[empty-body]
        """Return checks for `hopyard doctor` and the system health check."""

    @hookspec
    def register_notifiers(self) -> Iterable[Notifier]:  # type: ignore[empty-body]
        """Return kinds of notification channels, by address scheme."""

    @hookspec
    def register_commands(self) -> Iterable[click.Command]:  # type: ignore[empty-body]
        """Return commands for the group `hopyard <plugin>`; called only by the command line."""


class Process:
    """Once per process of a role, e.g. to open clients.

    Raising in `start_process`, or not returning within `worker.start_limit` (30 s), ends the plugin there.
    It is called in a thread of its own.
    """

    @hookspec
    def start_process(self, role: Role) -> None:
        """Called after assembly, before any job of the plugin runs in this process."""

    @hookspec
    def stop_process(self, role: Role) -> None:
        """Called when the process ends in an orderly way."""


class Decide:
    """First answer wins."""

    @hookspec
    def classify_error(self, task: str, error: BaseException) -> Verdict | None:
        """Say which category `error` is, raised by `task`; None for no opinion."""

    @hookspec
    def reconcile_effect(self, effect: Effect) -> Reconciled | None:
        """Find out whether an action that was begun by an attempt that died has happened.

        Called in a thread, so it may ask the other side. None for no opinion: then it is not repeated.
        """
