"""Hopyard: background jobs on Celery, by plugins, none lost.

Names are loaded when they are first used, so that importing the package stays cheap.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from hopyard import current as _current

if TYPE_CHECKING:
    from hopyard.app import Hopyard
    from hopyard.egress import Egress
    from hopyard.errors import HopyardError
    from hopyard.events import PluginEvent, TaskEvent
    from hopyard.hookspecs import Role, hookimpl, hookspec
    from hopyard.notifications import notify
    from hopyard.panels import Panel, PanelData
    from hopyard.plugin import Plugin, PluginSettings
    from hopyard.redaction import conceal, redact
    from hopyard.routing import Admission, Route
    from hopyard.specs import (
        Category,
        Effect,
        Health,
        HealthCheck,
        Message,
        Notifier,
        Queue,
        Reconciled,
        RetryPolicy,
        Rule,
        Schedule,
        State,
        Tool,
        Unique,
        Verdict,
        tool_name,
    )
    from hopyard.tasks import Job, JobHandle, Status, Task, task
    from hopyard.tasks.classify import classify

#: Where each public name of this package is defined.
_HOME = {
    "hopyard.app": ("Hopyard",),
    "hopyard.egress": ("Egress",),
    "hopyard.errors": ("HopyardError",),
    "hopyard.events": (
        "PluginEvent",
        "TaskEvent",
    ),
    "hopyard.hookspecs": (
        "Role",
        "hookimpl",
        "hookspec",
    ),
    "hopyard.notifications": ("notify",),
    "hopyard.panels": (
        "Panel",
        "PanelData",
    ),
    "hopyard.plugin": (
        "Plugin",
        "PluginSettings",
    ),
    "hopyard.redaction": (
        "conceal",
        "redact",
    ),
    "hopyard.routing": (
        "Admission",
        "Route",
    ),
    "hopyard.specs": (
        "Category",
        "Effect",
        "Health",
        "HealthCheck",
        "Message",
        "Notifier",
        "Queue",
        "Reconciled",
        "RetryPolicy",
        "Rule",
        "Schedule",
        "State",
        "Tool",
        "Unique",
        "Verdict",
        "tool_name",
    ),
    "hopyard.tasks": (
        "Job",
        "JobHandle",
        "Status",
        "Task",
        "task",
    ),
    "hopyard.tasks.classify": ("classify",),
}
_MODULE_OF = {name: module for module, names in _HOME.items() for name in names}

__all__ = [
    "Admission",
    "Category",
    "Effect",
    "Egress",
    "Health",
    "HealthCheck",
    "Hopyard",
    "HopyardError",
    "Job",
    "JobHandle",
    "Message",
    "Notifier",
    "Panel",
    "PanelData",
    "Plugin",
    "PluginEvent",
    "PluginSettings",
    "Queue",
    "Reconciled",
    "RetryPolicy",
    "Role",
    "Route",
    "Rule",
    "Schedule",
    "State",
    "Status",
    "Task",
    "TaskEvent",
    "Tool",
    "Unique",
    "Verdict",
    "classify",
    "conceal",
    "hookimpl",
    "hookspec",
    "notify",
    "redact",
    "task",
    "tool_name",
]

#: What plugins import: this package and these modules of it. All others may change from release to release.
PUBLIC_MODULES = (
    "hopyard.cleaning",
    "hopyard.cli",
    "hopyard.egress",
    "hopyard.errors",
    "hopyard.fields",
    "hopyard.health",
    "hopyard.jobs",
    "hopyard.leases",
    "hopyard.people",
    "hopyard.roots",
    "hopyard.sandbox",
    "hopyard.sandbox.confinement",
    "hopyard.schedules",
    "hopyard.storage",
    "hopyard.testing",
    "hopyard.trees",
    "hopyard.web",
)


if not TYPE_CHECKING:  # a type checker reads the imports above

    def __getattr__(name: str) -> Any:
        if name in _MODULE_OF:
            return getattr(import_module(_MODULE_OF[name]), name)
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


_current.set_factory(lambda: import_module("hopyard.app").Hopyard.load())
