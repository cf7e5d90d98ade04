"""Checks what a plugin contributes: types, its namespace, names given twice, references to others."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from hopyard.checks import nearest, shown
from hopyard.errors import PayloadError, SpecError
from hopyard.loading._hooks import Hooks, timed
from hopyard.loading._records import DeclaredTask, Failure
from hopyard.panels import Panel
from hopyard.specs import HealthCheck, Notifier, Queue, Schedule, TaskOptions, tool_name

_TASK = re.compile(r"[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)+")


@dataclass(slots=True)
class Contributions:
    """What one plugin contributes, by name; `owned` by hook, for the hooks that other plugins specify."""

    tasks: dict[str, DeclaredTask] = field(default_factory=dict)
    queues: dict[str, Queue] = field(default_factory=dict)
    schedules: dict[str, Schedule] = field(default_factory=dict)
    health_checks: dict[str, HealthCheck] = field(default_factory=dict)
    notifiers: dict[str, Notifier] = field(default_factory=dict)
    panels: dict[str, Panel] = field(default_factory=dict)
    owned: dict[str, list[Any]] = field(default_factory=dict)


def gather(plugin: str, hooks: Hooks) -> Contributions:
    """Call a plugin's collect hooks and check what they return; Failure for anything wrong.

    The types of its tasks are worked out as well, under the same time limit: what is wrong with them shows
    here and not when a job runs.
    """
    contributions = Contributions(
        tasks=_collect(plugin, hooks, "register_tasks", DeclaredTask, _check_task),
        queues=_collect(plugin, hooks, "register_queues", Queue, _check_queue),
        schedules=_collect(plugin, hooks, "register_schedules", Schedule, _check_schedule),
        health_checks=_collect(plugin, hooks, "register_health_checks", HealthCheck, _check_nothing),
        notifiers=_collect(plugin, hooks, "register_notifiers", Notifier, _check_nothing),
        panels=_collect(plugin, hooks, "register_panels", Panel, _check_nothing),
    )
    if any(task.queue is None for task in contributions.tasks.values()):
        contributions.queues.setdefault(plugin, Queue(plugin))
    timed(partial(_resolve, contributions.tasks), hooks.time_limit, "types")
    return contributions


def _resolve(tasks: Mapping[str, DeclaredTask]) -> None:
    for task in tasks.values():
        task.resolve()


def check_references(
    own: Contributions,
    queues: Collection[str],
    tasks: Mapping[str, DeclaredTask],
    changed: Collection[str] = (),
) -> None:
    """Raise Failure where nobody declares a task's queue or a schedule's task, or that takes other arguments.

    The arguments of schedules that the settings have changed (`changed`) are checked with theirs.
    """
    for task in own.tasks.values():
        if task.queue is not None and task.queue not in queues:
            hint = _did_you_mean(task.queue, queues) or f"return Queue({task.queue!r}) from register_queues"
            raise Failure(
                "register_tasks", f"task `{task.name}` is for the unknown queue `{task.queue}`", hint
            )
    for schedule in own.schedules.values():
        stage = "register_schedules"
        if schedule.task not in tasks:
            hint = (
                _did_you_mean(schedule.task, tasks) or "declare the task, or require the plugin that has it"
            )
            reason = f"schedule `{schedule.name}` is for the unknown task `{schedule.task}`"
            raise Failure(stage, reason, hint)
        if schedule.name in changed or not schedule.enabled:
            continue
        try:
            tasks[schedule.task].check_arguments(schedule.kwargs)
        except PayloadError as error:
            reason = f"schedule `{schedule.name}`: {error}"
            raise Failure(stage, reason, "give it the arguments that its task takes") from error


def check_tools(own: Contributions, others: Iterable[Contributions]) -> None:
    """Raise Failure where two tools would have one name for models, whose alphabet is smaller than ours."""
    taken = {tool_name(name): name for other in others for name, task in other.tasks.items() if task.tool}
    for name, task in own.tasks.items():
        if not task.tool:
            continue
        short = tool_name(name)
        if short in taken:
            reason = f"the tools `{taken[short]}` and `{name}` are both `{short}` to a model"
            raise Failure("register_tasks", reason, f"rename the task `{name}`, or offer only one as a tool")
        taken[short] = name


def _collect(
    plugin: str, hooks: Hooks, hook: str, kind: Any, check: Callable[[str, Any], None]
) -> dict[str, Any]:
    """A plugin's contributions of one kind, by name."""
    found: dict[str, Any] = {}
    for value in hooks.contributions(hook, plugin):
        if not isinstance(value, kind) or isinstance(value, type):
            wanted = "declarations made by @task" if kind is DeclaredTask else f"a list of {kind.__name__}"
            raise Failure(hook, f"`{hook}` returned {_shown(value)}", f"return {wanted}")
        name = value.kind if kind is Notifier else value.name
        if name in found:
            reason = f"`{name}` is declared twice in `{hook}`"
            raise Failure(hook, reason, "give one of them another name")
        check(plugin, value)
        found[name] = value
    return found


def _check_task(plugin: str, task: DeclaredTask) -> None:
    stage = "register_tasks"
    _own(plugin, "task", task.name, stage, alone=False)
    if not _TASK.fullmatch(task.name):
        raise Failure(stage, f"`{task.name}` is no task name", f"name it `{plugin}.verb_noun`")
    given = {"retry": task.retry, "time_limit": task.time_limit, "priority": task.priority}
    try:
        TaskOptions(
            plugin if task.queue is None else task.queue,
            **{name: value for name, value in given.items() if value is not None},  # type: ignore[arg-type]
        )
    except SpecError as error:
        raise Failure(stage, f"task `{task.name}`: {error}", f"expected {error.expected}") from error


def _check_queue(plugin: str, queue: Queue) -> None:
    _own(plugin, "queue", queue.name, "register_queues", alone=True)


def _check_schedule(plugin: str, schedule: Schedule) -> None:
    _own(plugin, "schedule", schedule.name, "register_schedules", alone=False)


def _check_nothing(plugin: str, value: HealthCheck | Notifier | Panel) -> None:
    """They check themselves, and their names are their plugin's own, or anybody's."""


def _own(plugin: str, kind: str, name: Any, stage: str, *, alone: bool) -> None:
    """The namespace is property: a plugin may not declare anything in another's."""
    if isinstance(name, str) and (name.startswith(f"{plugin}.") or (alone and name == plugin)):
        return
    either = f"`{plugin}` or " if alone else ""
    raise Failure(
        stage,
        f"{kind} `{name}` is outside of its namespace",
        f"name it {either}`{plugin}.…`; the part before the dot is the plugin that owns it",
    )


def _did_you_mean(name: str, names: Collection[str]) -> str:
    close = nearest(name, names)
    return f"did you mean `{close}`?" if close else ""


def _shown(value: Any) -> str:
    return f"{type(value).__name__} {shown(value)}"
