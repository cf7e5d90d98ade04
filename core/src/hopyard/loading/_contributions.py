"""Checks what a plugin contributes: types, its namespace, names given twice, references to others."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from hopyard.loading._hooks import Hooks
from hopyard.loading._records import DeclaredTask, Failure
from hopyard.settings import check_rrule, check_zone, cron_fields, nearest
from hopyard.specs import HealthCheck, Notifier, Queue, RetryPolicy, Rule, Schedule

_TASK = re.compile(r"[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)+")


@dataclass(slots=True)
class Contributions:
    """What one plugin contributes, by name."""

    tasks: dict[str, DeclaredTask] = field(default_factory=dict)
    queues: dict[str, Queue] = field(default_factory=dict)
    schedules: dict[str, Schedule] = field(default_factory=dict)
    health_checks: dict[str, HealthCheck] = field(default_factory=dict)
    notifiers: dict[str, Notifier] = field(default_factory=dict)


def gather(plugin: str, hooks: Hooks) -> Contributions:
    """Call a plugin's collect hooks and check what they return; Failure for anything wrong."""

    contributions = Contributions(
        tasks=_collect(plugin, hooks, "register_tasks", DeclaredTask, _check_task),
        queues=_collect(plugin, hooks, "register_queues", Queue, _check_queue),
        schedules=_collect(plugin, hooks, "register_schedules", Schedule, _check_schedule),
        health_checks=_collect(plugin, hooks, "register_health_checks", HealthCheck, _check_health),
        notifiers=_collect(plugin, hooks, "register_notifiers", Notifier, _check_notifier),
    )
    if any(task.queue is None for task in contributions.tasks.values()):
        contributions.queues.setdefault(plugin, Queue(plugin))
    return contributions


def check_references(own: Contributions, queues: Collection[str], tasks: Collection[str]) -> None:
    """Raise Failure where a task's queue or a schedule's task is declared by nobody."""
    for task in own.tasks.values():
        if task.queue is not None and task.queue not in queues:
            hint = _did_you_mean(task.queue, queues) or f"return Queue({task.queue!r}) from register_queues"
            raise Failure(
                "register_tasks", f"task `{task.name}` is for the unknown queue `{task.queue}`", hint
            )
    for schedule in own.schedules.values():
        if schedule.task not in tasks:
            hint = (
                _did_you_mean(schedule.task, tasks) or "declare the task, or require the plugin that has it"
            )
            reason = f"schedule `{schedule.name}` is for the unknown task `{schedule.task}`"
            raise Failure("register_schedules", reason, hint)


def check_notifiers(own: Contributions, taken: Mapping[str, str]) -> None:
    """Raise Failure where another plugin (the value in `taken`) serves a kind of channel already."""
    for kind in own.notifiers:
        if kind in taken:
            reason = f"notifications of kind `{kind}` are served by the plugin `{taken[kind]}` already"
            raise Failure(
                "register_notifiers", reason, f"disable one of the two, or rename the kind `{kind}`"
            )


def _collect(
    plugin: str, hooks: Hooks, hook: str, kind: Any, check: Callable[[str, Any], None]
) -> dict[str, Any]:
    """A plugin's contributions of one kind, by name."""
    found: dict[str, Any] = {}
    for value in hooks.contributions(hook, plugin):
        if not isinstance(value, kind):
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
    _expect(
        stage,
        task.name,
        "queue",
        task.queue,
        task.queue is None or isinstance(task.queue, str),
        "a queue's name",
    )
    _expect(
        stage,
        task.name,
        "retry",
        task.retry,
        task.retry is None or isinstance(task.retry, RetryPolicy),
        "a RetryPolicy",
    )
    _expect(
        stage,
        task.name,
        "time_limit",
        task.time_limit,
        task.time_limit is None or _positive(task.time_limit),
        "seconds",
    )
    _expect(
        stage,
        task.name,
        "priority",
        task.priority,
        task.priority is None or _between(task.priority, 0, 9),
        "0 to 9",
    )


def _check_queue(plugin: str, queue: Queue) -> None:
    stage = "register_queues"
    _own(plugin, "queue", queue.name, stage, alone=True)
    _expect(
        stage, queue.name, "slots", queue.slots, _between(queue.slots, 1, 1_000_000), "a whole number from 1"
    )
    _expect(stage, queue.name, "priority", queue.priority, _between(queue.priority, 0, 10), "0 to 10")


def _check_schedule(plugin: str, schedule: Schedule) -> None:
    stage = "register_schedules"
    _own(plugin, "schedule", schedule.name, stage, alone=False)
    _expect(stage, schedule.name, "rule", schedule.rule, isinstance(schedule.rule, Rule), "a Rule")
    _expect(
        stage,
        schedule.name,
        "misfire",
        schedule.misfire,
        schedule.misfire in ("all", "latest", "skip"),
        "a policy",
    )
    try:
        json.dumps(dict(schedule.kwargs), allow_nan=False)
    except (TypeError, ValueError) as error:
        reason = f"the arguments of schedule `{schedule.name}` are no JSON: {error}"
        raise Failure(stage, reason, "give text, numbers, lists and tables") from error
    try:
        _check_rule(schedule.rule)
    except ValueError as error:
        raise Failure(stage, f"schedule `{schedule.name}`: {error}", "mend its Rule") from error


def _check_rule(rule: Rule) -> None:
    given = [name for name in ("every", "cron", "rrule", "at") if getattr(rule, name) is not None]
    if len(given) != 1:
        raise ValueError(
            f"its rule has {' and '.join(given) or 'nothing'}, expected one of every, cron, rrule, at"
        )
    check_zone(rule.zone)
    if rule.every is not None and not _positive(rule.every):
        raise ValueError(f"`every` is {rule.every!r}, expected a positive number of seconds")
    if rule.cron is not None:
        cron_fields(rule.cron)
    if rule.rrule is not None:
        check_rrule(rule.rrule)
    if rule.at is not None and rule.at.utcoffset() is None:
        raise ValueError("`at` has no time zone, expected an aware datetime")


def _check_health(plugin: str, check: HealthCheck) -> None:
    stage = "register_health_checks"
    _expect(stage, check.name, "name", check.name, bool(check.name), "a name")
    _expect(stage, check.name, "run", check.run, callable(check.run), "an async function")
    _expect(stage, check.name, "time_limit", check.time_limit, _positive(check.time_limit), "seconds")


def _check_notifier(plugin: str, notifier: Notifier) -> None:
    stage = "register_notifiers"
    right = bool(re.fullmatch(r"[a-z][a-z0-9+.\-]*", notifier.kind))
    _expect(stage, notifier.kind, "kind", notifier.kind, right, "the scheme of an address, e.g. `mailto`")
    _expect(
        stage, notifier.kind, "deliver", notifier.deliver, callable(notifier.deliver), "an async function"
    )


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


def _expect(stage: str, owner: str, attribute: str, value: Any, right: bool, wanted: str) -> None:
    if not right:
        raise Failure(stage, f"`{owner}`: {attribute} is {_shown(value)}", f"expected {wanted}")


def _between(value: Any, low: int, high: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and low <= value <= high


def _positive(value: Any) -> bool:
    return (
        isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value) and value > 0
    )


def _did_you_mean(name: str, names: Collection[str]) -> str:
    close = nearest(name, names)
    return f"did you mean `{close}`?" if close else ""


def _shown(value: Any) -> str:
    text = repr(value)
    return f"{type(value).__name__} {text if len(text) <= 60 else text[:57] + '…'}"
