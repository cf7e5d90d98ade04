"""The operator's changes to what plugins declare: `[tasks]`, `[queues]` and `[schedules]`."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

from hopyard.checks import nearest
from hopyard.errors import Fault, PayloadError, SpecError
from hopyard.loading._contributions import Contributions
from hopyard.loading._firing import idle
from hopyard.loading._records import DeclaredTask
from hopyard.settings import Key, ScheduleEntry, Settings, TaskEntry, describe, dotted
from hopyard.specs import DeclaredSchedule, Queue, Rule, Schedule, TaskOptions

_KINDS = ("every", "cron", "rrule", "after")


@dataclass(frozen=True, slots=True)
class Effective:
    """Declarations of all enabled plugins with the operator's changes, and what is wrong in those."""

    tasks: dict[str, DeclaredTask]
    options: dict[str, TaskOptions]
    queues: dict[str, Queue]
    schedules: dict[str, DeclaredSchedule]
    faults: list[Fault]
    warnings: list[Fault]


def apply(settings: Settings, declared: Mapping[str, Contributions], absent: Collection[str]) -> Effective:
    """Merge the settings into the declarations.

    Settings for a name that nobody declares are faults, except in the namespace of a plugin in `absent`:
    that one has its own message.
    """
    return _Merge(settings, declared, absent).run()


class _Merge:
    def __init__(
        self, settings: Settings, declared: Mapping[str, Contributions], absent: Collection[str]
    ) -> None:
        self.settings = settings
        self.declared = declared
        self.absent = absent
        self.faults: list[Fault] = []
        self.warnings: list[Fault] = []
        self.tasks = {name: task for own in declared.values() for name, task in own.tasks.items()}

    def run(self) -> Effective:
        queues = self._queues()
        options = self._options(queues)
        schedules = self._schedules()
        self._resources(options)
        for name, found, expected, close in idle(schedules):
            self.warnings.append(self._told(("schedules", name), found, expected, close))
        return Effective(self.tasks, options, queues, schedules, self.faults, self.warnings)

    def _queues(self) -> dict[str, Queue]:
        queues = {name: queue for own in self.declared.values() for name, queue in own.queues.items()}
        for name, entry in self.settings.queues.items():
            if name in queues:
                queues[name] = replace(queues[name], **entry.model_dump(exclude_none=True))
            else:
                self._unknown(("queues", name), name, "queue", queues)
        return queues

    def _options(self, queues: Mapping[str, Queue]) -> dict[str, TaskOptions]:
        options = {}
        for plugin, own in self.declared.items():
            for name, task in own.tasks.items():
                entry = self.settings.tasks.get(name) or TaskEntry()
                options[name] = _options(plugin, task, entry, queues)
        for name, entry in self.settings.tasks.items():
            if name not in options:
                self._unknown(("tasks", name), name, "task", options)
            if entry.queue is not None and entry.queue not in queues:
                self._unknown(("tasks", name, "queue"), entry.queue, "queue", queues)
        return options

    def _resources(self, options: Mapping[str, TaskOptions]) -> None:
        """Warn of tasks whose jobs would wait for ever."""
        have = self.settings.resources
        for name, option in options.items():
            for resource, amount in option.resources.items():
                if amount > have.get(resource, 0):
                    found = f"{amount} of {resource} for each job, more than there is"
                    expected = f"`{resource} = {amount}` or more in [resources]"
                    self.warnings.append(self._told(("tasks", name, "resources"), found, expected, None))

    def _schedules(self) -> dict[str, DeclaredSchedule]:
        schedules = {
            name: _declared(schedule, plugin, self.settings.time_zone)
            for plugin, own in self.declared.items()
            for name, schedule in own.schedules.items()
        }
        for name, entry in self.settings.schedules.items():
            if entry.task is None and name not in schedules:
                self._unknown(("schedules", name), name, "schedule", schedules)
            elif entry.task is not None and name in schedules:
                self._fault(
                    ("schedules", name, "task"), "a task for a plugin's schedule", "no `task` here", None
                )
            elif entry.task is not None and entry.task not in self.tasks:
                self._unknown(("schedules", name, "task"), entry.task, "task", self.tasks)
            else:
                self._schedule(name, entry, schedules)
        return schedules

    def _schedule(self, name: str, entry: ScheduleEntry, schedules: dict[str, DeclaredSchedule]) -> None:
        """Change a plugin's schedule, or add one of the operator's own; what is wrong in it is a fault."""
        before = schedules.get(name)
        key: Key = ("schedules", name)
        try:
            rule = _rule(entry, before.rule if before else None, self.settings.time_zone)
            plain = entry.model_dump(include={"enabled", "misfire", "overlap"}, exclude_none=True)
            kwargs = {**(before.kwargs if before else {}), **(entry.kwargs or {})}
            if before is not None:
                made = replace(before, rule=rule, kwargs=kwargs, **plain)
            else:
                made = DeclaredSchedule(
                    name, entry.task or "", rule, kwargs=kwargs, declared_by="settings", **plain
                )
            if entry.kwargs is not None or made.enabled:
                key = ("schedules", name, "kwargs")
                self.tasks[made.task].check_arguments(kwargs)
        except SpecError as error:
            self._fault(key, describe(_given(entry)), error.expected, error.nearest)
        except PayloadError as error:
            self._fault(key, "arguments that do not fit the task", str(error), None)
        else:
            schedules[name] = made

    def _unknown(self, key: Key, name: str, kind: str, known: Collection[str]) -> None:
        if name.partition(".")[0] in self.absent:
            return
        expected = f"a {kind} that an enabled plugin declares" + ("" if known else " (there is none)")
        self._fault(key, f'the unknown {kind} "{name}"', expected, nearest(name, known))

    def _fault(self, key: Key, found: str, expected: str, close: str | None) -> None:
        self.faults.append(self._told(key, found, expected, close))

    def _told(self, key: Key, found: str, expected: str, close: str | None) -> Fault:
        return Fault(self.settings.nearest_source(*key), dotted(key), found, expected, close)


def _options(plugin: str, task: DeclaredTask, entry: TaskEntry, queues: Mapping[str, Queue]) -> TaskOptions:
    standard = TaskOptions(queue=plugin)
    queue = _first(entry.queue, task.queue, plugin)
    of_queue = queues[queue].resources if queue in queues else {}
    retry = replace(task.retry or standard.retry, **entry.retry.model_dump(exclude_none=True))
    return TaskOptions(
        queue=queue,
        retry=retry,
        time_limit=float(_first(entry.time_limit, task.time_limit, standard.time_limit)),
        priority=_first(entry.priority, task.priority, standard.priority),
        resources=_first(entry.resources, task.resources, of_queue),
    )


def _first(*values: Any) -> Any:
    return next(value for value in values if value is not None)


def _declared(schedule: Schedule, plugin: str, zone: str) -> DeclaredSchedule:
    values = {field.name: getattr(schedule, field.name) for field in fields(Schedule)}
    return DeclaredSchedule(**values | {"rule": schedule.rule.resolved(zone)}, declared_by=plugin)


def _rule(entry: ScheduleEntry, before: Rule | None, zone: str) -> Rule:
    """Return an entry's rule, which keeps zone and anchor of the one before. Raises ScheduleError."""
    if before is None or any(getattr(entry, kind) is not None for kind in _KINDS):
        given = {kind: getattr(entry, kind) for kind in _KINDS}
        rule = Rule(**given, zone=before.zone if before else None, anchor=before.anchor if before else None)
    else:
        rule = before
    return (rule if entry.zone is None else replace(rule, zone=entry.zone)).resolved(zone)


def _given(entry: ScheduleEntry) -> Any:
    """Return the value that an entry's rule is made of, for a fault."""
    return next((value for kind in _KINDS if (value := getattr(entry, kind)) is not None), entry.zone)
