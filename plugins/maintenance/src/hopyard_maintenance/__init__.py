"""Hopyard plugin `maintenance`: is the installation well, and what does it use?"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from hopyard import Plugin, PluginSettings, Queue, Rule, Schedule, Task, hookimpl
from pydantic import Field

from hopyard_maintenance.tasks import monitor_resource_usage, system_health_check

_YEAR: Final = 366 * 86_400.0


class MaintenanceSettings(PluginSettings):
    """How often to look, and from where on it is too much."""

    health_every: float = Field(300.0, ge=10, le=_YEAR, description="Seconds between two health checks.")
    sample_every: float = Field(
        60.0, ge=5, le=_YEAR, description="Seconds between two samples of resource use."
    )
    keep_samples_days: float = Field(7.0, gt=0, le=3660, description="Days for which samples are kept.")
    cpu_percent: float = Field(95.0, gt=0, le=100, description="CPU use from which on people are told.")
    memory_percent: float = Field(90.0, gt=0, le=100, description="Memory use from which on people are told.")
    disk_percent: float = Field(90.0, gt=0, le=100, description="Disk use from which on people are told.")
    queue_depth: int = Field(
        10_000, gt=0, description="Waiting jobs in a queue from which on people are told."
    )
    disks: tuple[str, ...] = Field(("/",), description="Paths on the file systems that are looked at.")


class Maintenance(Plugin[MaintenanceSettings]):
    """Namespace `maintenance`; one job at a time, behind all others."""

    migrations = "hopyard_maintenance.migrations"

    @hookimpl
    def register_queues(self) -> Iterable[Queue]:
        return [Queue("maintenance", slots=1, priority=1)]

    @hookimpl
    def register_tasks(self) -> Iterable[Task[..., Any]]:
        return [system_health_check, monitor_resource_usage]

    @hookimpl
    def register_schedules(self) -> Iterable[Schedule]:
        return [
            Schedule(
                "maintenance.system_health_check",
                "maintenance.system_health_check",
                Rule(every=self.settings.health_every),
                overlap="skip",
            ),
            Schedule(
                "maintenance.monitor_resource_usage",
                "maintenance.monitor_resource_usage",
                Rule(every=self.settings.sample_every),
                overlap="skip",
            ),
        ]
