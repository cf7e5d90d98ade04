"""Hopyard plugin `media`: what is said and seen in recordings."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from hopyard import Health, HealthCheck, Plugin, Queue, Rule, Schedule, Task, hookimpl

from hopyard_media import tasks
from hopyard_media.settings import MediaSettings

if TYPE_CHECKING:
    import click

__all__ = ["Media", "MediaSettings"]


class Media(Plugin[MediaSettings]):
    """Namespace `media`."""

    migrations = "hopyard_media.migrations"
    after = ("ai",)

    @hookimpl
    def register_queues(self) -> Iterable[Queue]:
        # Each slot is a child that decodes: more of them than processors would only wait for each other.
        # Batches must not hold up single recordings.
        return [Queue("media", slots=2, priority=8), Queue("media.batch", slots=1, priority=3, group="media")]

    @hookimpl
    def register_tasks(self) -> Iterable[Task[..., Any]]:
        return tasks.TASKS

    @hookimpl
    def register_schedules(self) -> Iterable[Schedule]:
        name = tasks.forget_old_results.name
        return [Schedule(name, name, Rule(cron="30 3 * * *"), overlap="skip")]

    @hookimpl
    def register_health_checks(self) -> Iterable[HealthCheck]:
        if not self.settings.roots:
            return []
        return [HealthCheck("roots", _roots), HealthCheck("engines", _engines, time_limit=30.0)]

    @hookimpl
    def register_commands(self) -> Iterable[click.Command]:
        from hopyard_media.commands import COMMANDS

        return COMMANDS


async def _roots() -> Health:
    from hopyard_media import health

    return await health.roots()


async def _engines() -> Health:
    from hopyard_media import health

    return await health.engines()
