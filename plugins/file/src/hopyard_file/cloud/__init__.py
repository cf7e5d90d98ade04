"""The part `cloud`: directories that are kept in step with object stores, WebDAV and what rclone knows."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hopyard import HealthCheck, Queue, Rule, Schedule

if TYPE_CHECKING:
    from hopyard_file.settings import FileSettings

QUEUES: tuple[Queue, ...] = (Queue("file.cloud", slots=2, priority=3, group="file"),)


def schedules(settings: FileSettings) -> list[Schedule]:
    """Return one for each connection, `file.cloud.NAME`, so that each has its own pace."""
    return [
        Schedule(
            f"file.cloud.{name}",
            "file.sync_cloud_storage",
            Rule(every=own.every),
            kwargs={"connection": name},
            overlap="skip",
            enabled=own.enabled,
        )
        for name, own in settings.cloud.connections.items()
    ]


def health_checks(settings: FileSettings) -> list[HealthCheck]:
    """Return its health check, where there is a connection."""
    if not settings.cloud.connections:
        return []
    from hopyard_file.cloud.health import connections_well

    return [HealthCheck("cloud", connections_well)]
