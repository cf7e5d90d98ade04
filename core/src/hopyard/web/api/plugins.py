"""Plugins: their state, what they bring, their settings with where each value is from."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request
from pydantic import BaseModel, Field

from hopyard import switching
from hopyard.web.api.deps import Admin, Here, Watcher
from hopyard.web.panels import PanelState
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
    disabled: bool = Field(description="Somebody has disabled it, or a plugin that it needs, at run time.")
    tasks: list[str]
    queues: list[str]
    schedules: list[str]


class Plugins(BaseModel):
    """All plugins that are installed."""

    plugins: list[PluginState]


class Switched(BaseModel):
    """A plugin was disabled or enabled in all processes."""

    plugin: str
    changed: bool = Field(description="False where it was so before.")
    state: str
    reason: str
    with_it: list[str] = Field(description="Other plugins that are out as long, since they need it.")


class Panels(BaseModel):
    """The panels of a plugin, in its order; none while it is not enabled."""

    panels: list[PanelState]


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


@router.get("/plugins/{name}/panels")
async def list_panels(name: str, here: Here, viewer: Watcher) -> Panels:
    """Return what a plugin's panels show now; one that fails says why in its `error`."""
    if not viewer.concerns(name):
        raise Refused(404, f"there is no plugin `{name[:80]}`")
    record = here.hopyard.plugins.record(name)
    return Panels(panels=await here.panels.read(here.hopyard.plugins, record.name))


@router.post("/plugins/{name}/disable")
async def disable(name: str, request: Request, here: Here, viewer: Admin) -> Switched:
    """Do without a plugin in all processes: what runs goes on, other jobs of it wait, its schedules rest."""
    switching.check(here.hopyard, name)
    await here.audit(request, viewer, "disable plugin", name)
    changed = await switching.disable(here.hopyard, here.database, name, viewer.name)
    return _switched(here, name, changed)


@router.post("/plugins/{name}/enable")
async def enable(name: str, request: Request, here: Here, viewer: Admin) -> Switched:
    """Take a plugin back in all processes; its jobs that waited are queued again."""
    switching.check(here.hopyard, name)
    await here.audit(request, viewer, "enable plugin", name)
    changed = await switching.enable(here.hopyard, here.database, name)
    return _switched(here, name, changed)


def _switched(here: Served, name: str, changed: bool) -> Switched:
    plugins = here.hopyard.plugins
    record = plugins.record(name)
    return Switched(
        plugin=name,
        changed=changed,
        state=str(record.state),
        reason=record.reason,
        with_it=plugins.left_with(name),
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
        disabled=record.resting,
        tasks=own(plugins.tasks),
        queues=own(plugins.queues),
        schedules=own(plugins.schedules),
    )
