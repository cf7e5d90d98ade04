"""The hooks that a plugin may implement: the contract between core and plugins.

All hooks are plain functions, never `async def`. Whatever one does wrong costs only its plugin:

- *collect* hooks return data. Each is called once at start, in a thread of its own, within 5 s. An error, a
  hang or a wrong value quarantines the plugin.
- *process* hooks are called once in each process of a role.
- *decide* hooks are asked one plugin after the other until one answers, first the plugin that owns the task.
  An error or a wrong value counts as no answer and is logged. They run in a thread of their own for which the
  caller waits 1 s at most; a hook that takes longer is not asked again.
- *wrap* hooks put a context manager around a run.
- *notify* hooks are told what happened, in lists, from a thread of the plugin's own. They touch no job.

A notify or wrap hook that fails ten times in a row is switched off until the process ends; so is a decide,
notify or wrap hook that hangs. The plugin's record says why. A hook that nobody implements costs nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Final, Literal, NamedTuple

import pluggy

if TYPE_CHECKING:
    from contextlib import AbstractAsyncContextManager, AbstractContextManager

    import click
    from fastapi import APIRouter

    from hopyard.events import Event, PluginEvent, TaskEvent
    from hopyard.panels import Panel
    from hopyard.routing import Admission, Route
    from hopyard.specs import Effect, HealthCheck, Notifier, Queue, Reconciled, Schedule, Verdict
    from hopyard.tasks import Job, Task

PROJECT = "hopyard"
hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)

Role = Literal["producer", "worker", "child", "beat", "web", "cli"]


class Facts(NamedTuple):
    """How hooks are called. Each kind has its own as `facts`; a hook that differs is in `EXCEPTIONS`."""

    caller: str
    """Who calls it, and when."""
    process: str
    """In which processes."""
    thread: str
    time_limit: str
    error: str
    """What an exception, a hang or a wrong value costs."""


class Collect:
    """Contributions: values, checked and namespaced by the core."""

    facts: ClassVar = Facts(
        caller="the loader, once",
        process="each that loads plugins: whoever submits jobs, workers, children, the scheduler, commands",
        thread="one of its own",
        time_limit="5 s",
        error="the plugin is quarantined",
    )

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
    def register_panels(self) -> Iterable[Panel]:  # type: ignore[empty-body]
        """Return what the plugin's page in the dashboard shows beside its tasks and settings.

        What a panel reads is read later, each time that somebody looks: `Panel` says how.
        """

    @hookspec
    def register_commands(self) -> Iterable[click.Command]:  # type: ignore[empty-body]
        """Return commands for the group `hopyard <plugin>`; called only by the command line."""

    @hookspec
    def register_routes(self) -> Iterable[APIRouter]:  # type: ignore[empty-body]
        """Return FastAPI routers, served below `/api/plugins/<plugin>`; called only by who serves HTTP.

        An endpoint says by `hopyard.web.needs` which role it needs. FastAPI is imported in the hook.
        """


class Process:
    """Once per process of a role, e.g. to open clients.

    Raising in `start_process`, or not returning within `worker.start_limit` (30 s), ends the plugin there.
    It is called in a thread of its own.
    """

    facts: ClassVar = Facts(
        caller="the process, once its plugins are loaded and before it runs any job",
        process="workers, their children, the scheduler",
        thread="one of its own",
        time_limit="`worker.start_limit`, 30 s",
        error="the plugin is withdrawn in that process",
    )

    @hookspec
    def start_process(self, role: Role) -> None:
        """Called after assembly, before any job of the plugin runs in this process."""

    @hookspec
    def stop_process(self, role: Role) -> None:
        """Called when the process ends in an orderly way."""


class Decide:
    """First answer wins."""

    facts: ClassVar = Facts(
        caller="whoever submits a job, once a call and before it is stored",
        process="the one that submits",
        thread="one of its own, for which the caller waits",
        time_limit="1 s; a hook that takes longer is not asked again",
        error="it counts as no answer and is logged",
    )

    @hookspec
    def route_task(self, task: str, arguments: Mapping[str, Any], person: str | None) -> Route | None:
        """Say to which queue one call goes, and with which priority; None for no opinion.

        Called in the process that submits, before the job is stored, once for each call of a task, also by
        Celery's `apply_async` and in canvas; not for jobs that a schedule fires or a stock producer sends.
        `arguments` are JSON-like, by name. What the caller says (`options(queue=…)`) comes first; a queue
        that no plugin declares counts as no answer.
        """

    @hookspec
    def admit_task(self, task: str, arguments: Mapping[str, Any], person: str | None) -> Admission | None:
        """Say whether one call is taken; None for no opinion. Called as `route_task` is, and before it.

        `Admission(refused="over your quota")` raises `NotAdmitted` with that reason in the caller, and
        nothing is stored; `Admission(delay=60)` lets the job wait that long, in seconds.
        """

    @hookspec
    def classify_error(self, task: str, error: BaseException) -> Verdict | None:
        """Say which category `error` is, raised by `task`; None for no opinion. Called in the worker."""

    @hookspec
    def reconcile_effect(self, effect: Effect) -> Reconciled | None:
        """Find out whether an action that was begun by an attempt that died has happened.

        Called in a thread, so it may ask the other side: here the limit is the task's. None for no opinion:
        then it is not repeated.
        """


class Wrap:
    """Around the run of a job."""

    facts: ClassVar = Facts(
        caller="whoever runs the job, before and after each attempt",
        process='the worker; for tasks of `pool="process"` the child',
        thread="that of the task, or the event loop",
        time_limit="5 s to enter and 5 s to leave; one that takes longer is switched off",
        error="around the plugin's own tasks it is the task's; around others it is only logged",
    )

    @hookspec
    def run_task(self, job: Job) -> AbstractContextManager[Any] | AbstractAsyncContextManager[Any] | None:
        """Return a context manager that is entered around each run of each plugin's tasks; None for none.

        A plain one is entered where the task runs: in the task's own thread for `def`, on the event loop for
        `async def` (it must not wait there), in the child process for `pool="process"`. An async one is
        entered on the event loop. It sees the task's error, but cannot swallow it.

        Around the plugin's own tasks an error of its own counts as the task's. Around the tasks of others it
        changes nothing: it is logged and counted, and the task runs as if the wrapper were not there. To
        enter and to leave an async one, or a plain one around a `def`, may take 5 s each; then it is left
        behind and switched off.
        """


class Notify:
    """Told what happened, in lists, oldest first.

    Each plugin has a queue for 10,000 events and a thread of its own; what does not fit is dropped, counted
    and logged. `on_task_sent` is told in the process that submits, after the jobs are stored; all others in
    the worker, and outcomes only after the ledger has taken them. A job whose worker died is told of by the
    worker that found it. A job that is cancelled before it ever ran is not told of. The thread is given up
    where a call takes longer than 30 s.
    """

    facts: ClassVar = Facts(
        caller="the plugin's queue of events, up to 1,000 events a call",
        process="the worker that runs the job",
        thread="one of the plugin's own",
        time_limit="30 s; then all its notify hooks are switched off",
        error="it is logged and the call's events are lost; ten in a row switch all its notify hooks off",
    )

    @hookspec
    def on_task_sent(self, events: Sequence[TaskEvent]) -> None:
        """Jobs were submitted, and are stored."""

    @hookspec
    def on_task_started(self, events: Sequence[TaskEvent]) -> None:
        """Attempts began."""

    @hookspec
    def on_task_progress(self, events: Sequence[TaskEvent]) -> None:
        """Tasks said how far they are."""

    @hookspec
    def on_task_retried(self, events: Sequence[TaskEvent]) -> None:
        """Attempts failed, and the jobs will be tried again at `eta`."""

    @hookspec
    def on_task_succeeded(self, events: Sequence[TaskEvent]) -> None:
        """Jobs ended well."""

    @hookspec
    def on_task_failed(self, events: Sequence[TaskEvent]) -> None:
        """Attempts failed, whether or not the jobs are tried again."""

    @hookspec
    def on_task_cancelled(self, events: Sequence[TaskEvent]) -> None:
        """Jobs were cancelled while they ran."""

    @hookspec
    def on_task_dead(self, events: Sequence[TaskEvent]) -> None:
        """Jobs ended dead: their last attempt failed, or their workers died too often."""

    @hookspec
    def on_task_parked(self, events: Sequence[TaskEvent]) -> None:
        """Jobs wait for a plugin that this worker does not have."""

    @hookspec
    def on_plugin_quarantined(self, events: Sequence[PluginEvent]) -> None:
        """Plugins failed: as they were loaded (told when a worker or scheduler starts), or later."""

    @hookspec
    def on_event(self, events: Sequence[Event]) -> None:
        """All of the above, in the order in which it happened."""


#: All of the core's specifications.
SUBJECTS = (Collect, Process, Decide, Wrap, Notify)

#: What is otherwise than with the other hooks of the kind.
EXCEPTIONS: Final[Mapping[str, Facts]] = {
    "register_commands": Collect.facts._replace(
        caller="the command line, where `hopyard PLUGIN` is used",
        process="the command",
        error="the command ends with the reason; the plugin stays",
    ),
    "register_routes": Collect.facts._replace(
        caller="`hopyard web`, once",
        process="the one that serves HTTP",
        error="it is logged, and the plugin adds nothing to the API",
    ),
    "stop_process": Process.facts._replace(
        caller="the process, as it ends in an orderly way",
        thread="that which ends the process",
        time_limit="none: one that hangs holds up the end of the process",
        error="it is logged; the other plugins are stopped as well",
    ),
    "classify_error": Decide.facts._replace(
        caller="whoever records a failed attempt; `job.will_retry`",
        process="the one that runs the job",
    ),
    "reconcile_effect": Decide.facts._replace(
        caller="`job.effect`, where an attempt died after it had begun the action",
        process="the one that runs the job",
        time_limit="that of the task",
    ),
    "on_task_sent": Notify.facts._replace(process="the one that submits"),
    "on_plugin_quarantined": Notify.facts._replace(process="each worker and scheduler"),
    "on_event": Notify.facts._replace(process="each that is told of anything"),
}
