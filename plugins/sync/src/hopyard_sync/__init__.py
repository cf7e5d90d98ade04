"""Hopyard plugin `sync`: keeps calendars, Notion, mailboxes and REST APIs in step with tables.

Other plugins bring connectors for more (`SyncHooks`).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from hopyard import HealthCheck, Panel, Plugin, Queue, Rule, Schedule, Task, hookimpl

from hopyard_sync.connectors import Connector, SyncHooks
from hopyard_sync.settings import SyncSettings
from hopyard_sync.tasks import (
    change_event,
    create_event,
    delete_event,
    list_events,
    sync_calendar_events,
    sync_connection,
    sync_email_service,
    sync_notion_pages,
    sync_third_party_api,
)

if TYPE_CHECKING:
    import click

    from hopyard_sync.engine.run import Run
    from hopyard_sync.engine.stream import StreamState
    from hopyard_sync.http.session import Session
    from hopyard_sync.records import Record

__all__ = ["Connector", "Record", "Run", "Session", "StreamState", "Sync", "SyncHooks", "SyncSettings"]

#: Where the names for authors of connectors are, which are loaded when they are first used.
_LATER = {
    "Record": "hopyard_sync.records",
    "Run": "hopyard_sync.engine.run",
    "Session": "hopyard_sync.http.session",
    "StreamState": "hopyard_sync.engine.stream",
}


class Sync(Plugin[SyncSettings]):
    """Namespace `sync`."""

    migrations = "hopyard_sync.migrations"
    hookspecs = SyncHooks

    @hookimpl
    def register_queues(self) -> Iterable[Queue]:
        return [Queue("sync", slots=16, priority=7)]

    @hookimpl
    def register_tasks(self) -> Iterable[Task[..., Any]]:
        return [
            change_event,
            create_event,
            delete_event,
            list_events,
            sync_calendar_events,
            sync_connection,
            sync_email_service,
            sync_notion_pages,
            sync_third_party_api,
        ]

    @hookimpl
    def register_schedules(self) -> Iterable[Schedule]:
        """Return one for each connection, `sync.NAME`, so that each has its own pace."""
        own = self.settings
        sections = (
            (own.calendars, sync_calendar_events),
            (own.notion, sync_notion_pages),
            (own.mailboxes, sync_email_service),
            (own.apis, sync_third_party_api),
            (own.others, sync_connection),
        )
        return [
            Schedule(
                f"sync.{name}",
                task.name,
                Rule(every=connection.every),
                kwargs={"connection": name},
                overlap="skip",
                enabled=connection.enabled,
            )
            for section, task in sections
            for name, connection in section.items()
        ]

    @hookimpl
    def register_health_checks(self) -> Iterable[HealthCheck]:
        from hopyard_sync.health import connections_well

        return [HealthCheck("connections", connections_well)]

    @hookimpl
    def register_panels(self) -> Iterable[Panel]:
        from hopyard_sync.panels import connections

        return [Panel("connections", "Connections", connections)]

    @hookimpl
    def register_commands(self) -> Iterable[click.Command]:
        from hopyard_sync.commands import COMMANDS

        return COMMANDS

    @hookimpl
    def register_connectors(self) -> Iterable[Connector]:
        from hopyard_sync.builtin import CONNECTORS

        return CONNECTORS


if not TYPE_CHECKING:  # a type checker reads the imports above

    def __getattr__(name: str) -> Any:
        from importlib import import_module

        if name in _LATER:
            return getattr(import_module(_LATER[name]), name)
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
