"""Hopyard: background jobs on Celery, by plugins, none lost.

Names are loaded when they are first used, so that importing the package stays cheap.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from hopyard import current as _current

if TYPE_CHECKING:
    from hopyard.app import Hopyard
    from hopyard.hookspecs import hookimpl
    from hopyard.plugin import Plugin, PluginSettings
    from hopyard.specs import (
        Category,
        Effect,
        Health,
        HealthCheck,
        Notifier,
        Queue,
        Reconciled,
        RetryPolicy,
        Rule,
        Schedule,
        Tool,
        Verdict,
    )
    from hopyard.tasks import Job, JobHandle, Status, Task, task

_HOME = {
    "hopyard.app": ("Hopyard",),
    "hopyard.hookspecs": ("hookimpl",),
    "hopyard.plugin": ("Plugin", "PluginSettings"),
    "hopyard.specs": (
        "Category",
        "Effect",
        "Health",
        "HealthCheck",
        "Notifier",
        "Queue",
        "Reconciled",
        "RetryPolicy",
        "Rule",
        "Schedule",
        "Tool",
        "Verdict",
    ),
    "hopyard.tasks": ("Job", "JobHandle", "Status", "Task", "task"),
}
_MODULE_OF = {name: module for module, names in _HOME.items() for name in names}

__all__ = [
    "Category",
    "Effect",
    "Health",
    "HealthCheck",
    "Hopyard",
    "Job",
    "JobHandle",
    "Notifier",
    "Plugin",
    "PluginSettings",
    "Queue",
    "Reconciled",
    "RetryPolicy",
    "Rule",
    "Schedule",
    "Status",
    "Task",
    "Tool",
    "Verdict",
    "hookimpl",
    "task",
]


if not TYPE_CHECKING:  # a type checker reads the imports above

    def __getattr__(name: str) -> Any:
        if name in _MODULE_OF:
            return getattr(import_module(_MODULE_OF[name]), name)
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


_current.set_factory(lambda: import_module("hopyard.app").Hopyard.load())
