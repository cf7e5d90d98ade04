"""The connectors that this plugin has itself. Each one's code is imported when a connection of it runs."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from importlib import import_module
from typing import TYPE_CHECKING

from hopyard_sync.connectors import Connector

if TYPE_CHECKING:
    from hopyard_sync.engine.run import Run

_MODULES = {
    "caldav": "hopyard_sync.caldav.connector",
    "google": "hopyard_sync.calendars.google",
    "imap": "hopyard_sync.imap.connector",
    "microsoft": "hopyard_sync.calendars.microsoft",
    "notion": "hopyard_sync.notion.connector",
    "rest": "hopyard_sync.rest.connector",
}


def _later(module: str, name: str) -> Callable[[Run], Awaitable[None]]:
    async def call(run: Run) -> None:
        await getattr(import_module(module), name)(run)

    return call


CONNECTORS = tuple(
    Connector(kind, _later(module, "sync"), _later(module, "check")) for kind, module in _MODULES.items()
)
