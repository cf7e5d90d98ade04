"""Hopyard plugin `file`: reads documents, cleans up, backs up, and keeps directories in step with clouds.

Each part is a package of its own (`documents`, `cleanup`, `backup`, `cloud`), which has its settings, tasks,
queues, schedules, health checks and commands; this module only puts them together.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from hopyard import Category, HealthCheck, Plugin, Queue, Schedule, Task, Verdict, hookimpl

from hopyard_file import backup, cleanup, cloud, documents
from hopyard_file.backup import tasks as backup_tasks
from hopyard_file.cleanup import tasks as cleanup_tasks
from hopyard_file.cloud import tasks as cloud_tasks
from hopyard_file.documents import tasks as document_tasks
from hopyard_file.parsing import faults
from hopyard_file.settings import FileSettings

if TYPE_CHECKING:
    import click

__all__ = ["File", "FileSettings"]

_PARTS = (documents, cleanup, backup, cloud)


class File(Plugin[FileSettings]):
    """Namespace `file`."""

    migrations = "hopyard_file.migrations"
    after = ("ai",)

    @hookimpl
    def register_queues(self) -> Iterable[Queue]:
        return [queue for part in _PARTS for queue in part.QUEUES]

    @hookimpl
    def register_tasks(self) -> Iterable[Task[..., Any]]:
        return [*document_tasks.TASKS, *cleanup_tasks.TASKS, *backup_tasks.TASKS, *cloud_tasks.TASKS]

    @hookimpl
    def register_schedules(self) -> Iterable[Schedule]:
        return [schedule for part in _PARTS for schedule in part.schedules(self.settings)]

    @hookimpl
    def register_health_checks(self) -> Iterable[HealthCheck]:
        return [check for part in _PARTS for check in part.health_checks(self.settings)]

    @hookimpl
    def classify_error(self, task: str, error: BaseException) -> Verdict | None:
        """Say of the errors that are made without Hopyard what they are: trying again changes nothing."""
        if isinstance(error, faults.Refused | faults.Missing):
            return Verdict(Category.INVALID_INPUT)
        return None

    @hookimpl
    def register_commands(self) -> Iterable[click.Command]:
        from hopyard_file.commands import COMMANDS

        return COMMANDS
