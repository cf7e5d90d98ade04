"""Hopyard plugin `maintenance`: is the installation well, what does it use, and what may go?"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from hopyard import Health, HealthCheck, Plugin, Queue, Rule, Schedule, Task, hookimpl

from hopyard_maintenance.hooks import ApiKey, KeyProvider, KeyRequest, MaintenanceHooks
from hopyard_maintenance.settings import MaintenanceSettings
from hopyard_maintenance.tasks import TASKS

if TYPE_CHECKING:
    import click
    from pydantic import SecretStr

__all__ = ["ApiKey", "KeyProvider", "KeyRequest", "Maintenance", "MaintenanceHooks", "MaintenanceSettings"]

#: When the scheduled tasks run, beside those whose interval is a setting.
_CRONS = {
    "maintenance.optimize_database": "0 3 * * 0",
    "maintenance.cleanup_old_logs": "30 3 * * *",
    "maintenance.cleanup_old_sessions": "0 4 * * *",
    "maintenance.cleanup_task_records": "30 4 * * *",
    "maintenance.rotate_api_keys": "7 * * * *",
}


class Maintenance(Plugin[MaintenanceSettings]):
    """Namespace `maintenance`; one job at a time, behind all others, and beside it what watches."""

    migrations = "hopyard_maintenance.migrations"
    hookspecs = MaintenanceHooks

    @hookimpl
    def register_queues(self) -> Iterable[Queue]:
        # To watch is no work that may wait behind a long one, nor behind one that hangs.
        watch = Queue("maintenance.watch", slots=2, priority=1, group="maintenance")
        return [Queue("maintenance", slots=1, priority=1, group="maintenance"), watch]

    @hookimpl
    def register_tasks(self) -> Iterable[Task[..., Any]]:
        return TASKS

    @hookimpl
    def register_schedules(self) -> Iterable[Schedule]:
        rules = {name: Rule(cron=cron) for name, cron in _CRONS.items()}
        rules["maintenance.system_health_check"] = Rule(every=self.settings.health_every)
        rules["maintenance.monitor_resource_usage"] = Rule(every=self.settings.sample_every)
        return [Schedule(name, name, rule, overlap="skip") for name, rule in rules.items()]

    @hookimpl
    def register_health_checks(self) -> Iterable[HealthCheck]:
        # Also without keys in the settings: one may have left them in the midst of its rotation.
        return [HealthCheck("keys", self.check_keys, time_limit=20.0)]

    @hookimpl
    def register_commands(self) -> Iterable[click.Command]:
        from hopyard_maintenance.commands import COMMANDS

        return COMMANDS

    async def read_key(self, name: str) -> SecretStr:
        """Return the managed key that is in use now, for other plugins.

        `await Hopyard.current().plugins.get("maintenance").read_key("stripe")`: ask each time, since another
        one may be in use by then. Raises `InvalidInput` for a key that is not there, and as its store.
        """
        from hopyard_maintenance.keys.managing import read

        return await read(name)

    async def check_keys(self) -> Health:
        """Say whether all managed keys can be read, and none is overdue or stuck."""
        from hopyard_maintenance.keys.checking import check

        return await check()
