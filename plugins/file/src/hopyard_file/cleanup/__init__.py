"""The part `cleanup`: old temporary files are deleted."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from hopyard import Queue, Rule, Schedule

if TYPE_CHECKING:
    from hopyard import HealthCheck

    from hopyard_file.settings import FileSettings

QUEUES: Final[tuple[Queue, ...]] = (Queue("file.cleanup", slots=1, priority=1, group="file"),)


def schedules(settings: FileSettings) -> list[Schedule]:
    """Return when it runs, if there is anything to clean up: files, or what is kept of documents."""
    if not settings.roots:
        return []
    name = "file.cleanup_temp_files"
    return [Schedule(name, name, Rule(cron=settings.cleanup.cron), overlap="skip")]


def health_checks(settings: FileSettings) -> list[HealthCheck]:
    """Return none: a run that cleans up nothing tells people itself."""
    return []
