"""Where each value of a task or a setting is from: a plugin, a hook, a file and line, a variable."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

from hopyard.cli._group import SITE
from hopyard.errors import HopyardError
from hopyard.specs import RetryPolicy

if TYPE_CHECKING:
    from hopyard.loading import Plugins
    from hopyard.settings import Key, Settings
    from hopyard.tasks import Task

_DECIDING = ("admit_task", "route_task", "run_task", "classify_error", "reconcile_effect")


@dataclass(frozen=True, slots=True)
class Provenance:
    """A value, and who or what supplied it."""

    what: str
    value: Any
    source: str


def of_task(settings: Settings, plugins: Plugins, task: Task[..., Any]) -> Iterator[Provenance]:
    """Yield all that is in force for a task, with its source."""
    plugin = task.name.partition(".")[0]
    record = plugins.record(plugin)
    declared = _place(task.function)
    place = settings.site if plugin == SITE else None
    by = record.distribution or (str(place) if place else "built in")
    yield Provenance("plugin", plugin, f"{by} {record.version}".strip())
    yield Provenance("function", task.function.__qualname__, declared)
    why = f'pool="process" in {declared}' if task.pool == "process" else f"`def` or `async def` in {declared}"
    yield Provenance("runs in", task.runs_in, why)
    options = plugins.options[task.name]
    yield _option(settings, task, "queue", options.queue, declared, "the plugin's name")
    yield _option(settings, task, "priority", options.priority, declared, "default")
    yield _option(settings, task, "time_limit", options.time_limit, declared, "default")
    for one in fields(RetryPolicy):
        value = getattr(options.retry, one.name)
        key: Key = ("tasks", task.name, "retry", one.name)
        source = settings.source(*key)
        if source == "default" and task.retry is not None and value != getattr(RetryPolicy(), one.name):
            source = declared
        yield Provenance(f"retry.{one.name}", value, source)
    yield from _of_queue(settings, plugins, options.queue)
    if task.tool is not None:
        yield Provenance("tool", task.tool.effect, declared)
    for name, schedule in plugins.schedules.items():
        if schedule.task == task.name:
            yield Provenance(
                f"schedule {name}", schedule.rule, _of_schedule(settings, name, schedule.declared_by)
            )
    yield from _hooks(plugins)


def _option(
    settings: Settings, task: Task[..., Any], name: str, value: Any, declared: str, otherwise: str
) -> Provenance:
    source = settings.source("tasks", task.name, name)
    if source == "default":
        source = declared if getattr(task, name) is not None else otherwise
    return Provenance(name, value, source)


def _of_queue(settings: Settings, plugins: Plugins, queue: str) -> Iterator[Provenance]:
    owner = queue.partition(".")[0]
    for name in ("slots", "priority", "group"):
        source = settings.source("queues", queue, name)
        if source == "default":
            source = f"`register_queues` of plugin {owner}"
        yield Provenance(f"queue {queue}: {name}", getattr(plugins.queues[queue], name), source)


def _of_schedule(settings: Settings, name: str, declared_by: str) -> str:
    """Return where a schedule is from; of one that the operator changed, where each change is."""
    entry = settings.schedules.get(name)
    if entry is None or not entry.model_fields_set:
        return f"`register_schedules` of plugin {declared_by}"
    if entry.task is not None:
        return settings.nearest_source("schedules", name)
    changed = [field for field in type(entry).model_fields if field in entry.model_fields_set]
    return ", ".join(dict.fromkeys(settings.nearest_source("schedules", name, field) for field in changed))


def _hooks(plugins: Plugins) -> Iterator[Provenance]:
    """Yield who has a say in every call, in the order in which they are asked."""
    for hook in _DECIDING:
        for caller in plugins.callers.of(hook):
            yield Provenance(hook, caller.plugin, _place(caller.function))


def of_setting(rows: list[dict[str, Any]], key: str) -> list[Provenance]:
    """Return where the values at and below a key are from. Raises `HopyardError` with the nearest key."""
    found = [row for row in rows if row["key"] == key or row["key"].startswith((f"{key}.", f"{key}["))]
    if not found:
        from hopyard.checks import nearest

        close = nearest(key, [row["key"] for row in rows])
        hint = f"; did you mean `{close}`?" if close else "; `hopyard config show` has all of them"
        raise HopyardError(f"there is no setting `{key}`{hint}")
    return [Provenance(row["key"], row["value"], row["source"]) for row in found]


def _place(function: Any) -> str:
    try:
        lines = inspect.getsourcelines(inspect.unwrap(function))[1]
        return f"{inspect.getsourcefile(inspect.unwrap(function))}:{lines}"
    except (OSError, TypeError):
        return str(getattr(function, "__module__", "unknown"))
