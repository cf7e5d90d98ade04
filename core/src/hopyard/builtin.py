"""The core's own plugin: the queue and the tasks that Hopyard itself needs."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from hopyard.hookspecs import hookimpl
from hopyard.monitor.health import CHECKS
from hopyard.notifications.tasks import deliver
from hopyard.plugin import Plugin, PluginSettings
from hopyard.specs import HealthCheck, Queue
from hopyard.tasks import Task


class Core(Plugin[PluginSettings]):
    """Namespace `hopyard`."""

    @hookimpl
    def register_queues(self) -> Iterable[Queue]:
        return [Queue("hopyard", slots=8, priority=8)]

    @hookimpl
    def register_tasks(self) -> Iterable[Task[..., Any]]:
        return [deliver]

    @hookimpl
    def register_health_checks(self) -> Iterable[HealthCheck]:
        return CHECKS


BUILTIN = {"hopyard": Core}
