"""The part `backup`: sources are backed up to repositories, checked, thinned out and restored."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from hopyard import HealthCheck, Queue, Rule, Schedule

if TYPE_CHECKING:
    from hopyard_file.settings import FileSettings

#: Each job reads disks and uses processors for long: one at a time, behind what people wait for.
QUEUES: tuple[Queue, ...] = (Queue("file.backup", slots=1, priority=2, group="file"),)
_BACKUP: Final = "0 1 * * 0"
_PRUNE: Final = "0 5 * * 0"


def schedules(settings: FileSettings) -> list[Schedule]:
    """Return its schedules: backups on Sundays at 1:00, what is past its retention goes at 5:00."""
    return [
        Schedule(
            "file.backup_user_data",
            "file.backup_user_data",
            Rule(cron=_BACKUP),
            overlap="skip",
            enabled=bool(settings.backup.sources),
        ),
        Schedule(
            "file.prune_backups",
            "file.prune_backups",
            Rule(cron=_PRUNE),
            overlap="skip",
            enabled=bool(settings.backup.repositories),
        ),
    ]


def health_checks(settings: FileSettings) -> list[HealthCheck]:
    """Return its health check, where something is to be backed up."""
    if not settings.backup.sources:
        return []
    from hopyard_file.backup.health import backups_well

    return [HealthCheck("backups", backups_well)]
