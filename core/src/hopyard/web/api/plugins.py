"""Plugins: their state, what they bring, their settings with where each value is from."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter
from pydantic import BaseModel

from hopyard.web.api.deps import Here, Watcher
from hopyard.web.problems import ByValue, Refused
from hopyard.web.state import Served

router = APIRouter(tags=["plugins"])


class PluginState(BaseModel):
    """A plugin: whether it is enabled, why not, and what it brings."""

    name: str
    state: str
    version: str
    summary: str
    reason: str
    hint: str
    warnings: list[str]
    tasks: list[str]
    queues: list[str]
    schedules: list[str]


class Plugins(BaseModel):
    """All plugins that are installed."""

    plugins: list[PluginState]


class TaskForm(BaseModel):
    """A task: what it is for, the schema of its arguments, its queue and its limits."""

    name: str
    summary: str
    doc: str
    queue: str
    time_limit: float
    priority: int
    max_retries: int
    arguments: dict[str, Any]


class Tasks(BaseModel):
    """All tasks of the enabled plugins."""

    tasks: list[TaskForm]


@router.get("/plugins")
async def list_plugins(here: Here, viewer: Watcher) -> Plugins:
    """List the plugins, also those that failed, with the reason."""
    return Plugins(
        plugins=[
            _state(here, record) for record in here.hopyard.plugins.records if viewer.concerns(record.name)
        ]
    )


@router.get("/tasks", response_class=ByValue)
async def list_tasks(here: Here, viewer: Watcher) -> Tasks:
    """List the tasks, with what their arguments may be."""
    return Tasks(tasks=[form(here, name) for name in sorted(here.hopyard.tasks) if viewer.concerns(name)])


@router.get("/tasks/{name}", response_class=ByValue)
async def show_task(name: str, here: Here, viewer: Watcher) -> TaskForm:
    """Return one task."""
    if not viewer.concerns(name):
        raise Refused(404, f"there is no task `{name[:80]}`")
    return form(here, here.hopyard.task(name).name)


def form(here: Served, name: str) -> TaskForm:
    """Return what is to be known of a task before it is called."""
    task, options = here.hopyard.task(name), here.hopyard.options(name)
    return TaskForm(
        name=name,
        summary=task.summary,
        doc=task.doc,
        queue=options.queue,
        time_limit=options.time_limit,
        priority=options.priority,
        max_retries=options.retry.max_retries,
        arguments=dict(task.payload.schema()),
    )


def _state(here: Served, record: Any) -> PluginState:
    plugins = here.hopyard.plugins

    def own(names: Any) -> list[str]:
        return sorted(name for name in names if name.partition(".")[0] == record.name)

    return PluginState(
        name=record.name,
        state=str(record.state),
        version=record.version,
        summary=record.summary,
        reason=record.reason,
        hint=record.hint,
        warnings=record.warnings,
        tasks=own(plugins.tasks),
        queues=own(plugins.queues),
        schedules=own(plugins.schedules),
    )
