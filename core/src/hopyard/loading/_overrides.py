"""The operator's changes to what plugins declare: `[tasks]`, `[queues]` and `[schedules]`."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

from hopyard.errors import Fault
from hopyard.loading._contributions import Contributions
from hopyard.loading._records import DeclaredSchedule, DeclaredTask, TaskOptions
from hopyard.settings import Key, ScheduleEntry, Settings, TaskEntry, dotted, nearest
from hopyard.specs import Queue, Rule, Schedule


@dataclass(frozen=True, slots=True)
class Effective:
    """Declarations of all enabled plugins with the operator's changes, and what is wrong in those."""

    tasks: dict[str, DeclaredTask]
    options: dict[str, TaskOptions]
    queues: dict[str, Queue]
    schedules: dict[str, DeclaredSchedule]
    faults: list[Fault]


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
        self.tasks = {name: task for own in declared.values() for name, task in own.tasks.items()}

    def run(self) -> Effective:
        queues = self._queues()
        options = self._options(queues)
        return Effective(self.tasks, options, queues, self._schedules(), self.faults)

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
                options[name] = _options(plugin, task, self.settings.tasks.get(name) or TaskEntry())
        for name, entry in self.settings.tasks.items():
            if name not in options:
                self._unknown(("tasks", name), name, "task", options)
            if entry.queue is not None and entry.queue not in queues:
                self._unknown(("tasks", name, "queue"), entry.queue, "queue", queues)
        return options

    def _schedules(self) -> dict[str, DeclaredSchedule]:
        schedules = {
            name: _declared(schedule, plugin)
            for plugin, own in self.declared.items()
            for name, schedule in own.schedules.items()
        }
        for name, entry in self.settings.schedules.items():
            if entry.task is None:
                if name in schedules:
                    schedules[name] = _changed(schedules[name], entry)
                else:
                    self._unknown(("schedules", name), name, "schedule", schedules)
            elif name in schedules:
                self._fault(
                    ("schedules", name, "task"), "a task for a plugin's schedule", "no `task` here", None
                )
            elif entry.task in self.tasks:
                blank = DeclaredSchedule(
                    name, entry.task, Rule(zone=self.settings.time_zone), declared_by="settings"
                )
                schedules[name] = _changed(blank, entry)
            else:
                self._unknown(("schedules", name, "task"), entry.task, "task", self.tasks)
        return schedules

    def _unknown(self, key: Key, name: str, kind: str, known: Collection[str]) -> None:
        if name.partition(".")[0] in self.absent:
            return
        expected = f"a {kind} that an enabled plugin declares" + ("" if known else " (there is none)")
        self._fault(key, f'the unknown {kind} "{name}"', expected, nearest(name, known))

    def _fault(self, key: Key, found: str, expected: str, close: str | None) -> None:
        self.faults.append(Fault(self.settings.nearest_source(*key), dotted(key), found, expected, close))


def _options(plugin: str, task: DeclaredTask, entry: TaskEntry) -> TaskOptions:
    standard = TaskOptions(queue=plugin)
    retry = replace(task.retry or standard.retry, **entry.retry.model_dump(exclude_none=True))
    return TaskOptions(
        queue=_first(entry.queue, task.queue, plugin),
        retry=retry,
        time_limit=float(_first(entry.time_limit, task.time_limit, standard.time_limit)),
        priority=_first(entry.priority, task.priority, standard.priority),
    )


def _first(*values: Any) -> Any:
    return next(value for value in values if value is not None)


def _declared(schedule: Schedule, plugin: str) -> DeclaredSchedule:
    values = {field.name: getattr(schedule, field.name) for field in fields(Schedule)}
    return DeclaredSchedule(**values, declared_by=plugin)


def _changed(schedule: DeclaredSchedule, entry: ScheduleEntry) -> DeclaredSchedule:
    rule = schedule.rule
    if any(value is not None for value in (entry.every, entry.cron, entry.rrule, entry.after)):
        rule = Rule(
            entry.every, entry.cron, entry.rrule, after=entry.after, zone=rule.zone, anchor=rule.anchor
        )
    if entry.zone is not None:
        rule = replace(rule, zone=entry.zone)
    plain = entry.model_dump(include={"enabled", "misfire", "overlap"}, exclude_none=True)
    return replace(schedule, rule=rule, kwargs={**schedule.kwargs, **(entry.kwargs or {})}, **plain)
