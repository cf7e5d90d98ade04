"""The plugin's settings: connections by kind and name."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from hopyard import PluginSettings
from pydantic import Field, model_validator

from hopyard_sync.settings.apis import ApiConnection
from hopyard_sync.settings.calendars import CalendarConnection
from hopyard_sync.settings.common import Connection
from hopyard_sync.settings.stores import MailboxConnection, NotionConnection, OtherConnection

__all__ = [
    "ApiConnection",
    "CalendarConnection",
    "Connection",
    "MailboxConnection",
    "NotionConnection",
    "OtherConnection",
    "SyncSettings",
]

_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")


class SyncSettings(PluginSettings):
    """What is kept in step."""

    calendars: dict[str, CalendarConnection] = Field(
        default_factory=dict, description="Calendars by name: CalDAV, Google, Microsoft."
    )
    notion: dict[str, NotionConnection] = Field(
        default_factory=dict, description="Notion integrations by name."
    )
    mailboxes: dict[str, MailboxConnection] = Field(
        default_factory=dict, description="Mailboxes by name, read by IMAP."
    )
    apis: dict[str, ApiConnection] = Field(default_factory=dict, description="REST APIs by name.")
    others: dict[str, OtherConnection] = Field(
        default_factory=dict, description="Connections by name whose connectors other plugins bring."
    )

    @model_validator(mode="after")
    def _distinct_names(self) -> SyncSettings:
        seen: set[str] = set()
        for name, _ in self._all():
            if not _NAME.fullmatch(name):
                raise ValueError(
                    f"a connection is called {name!r}: expected lower-case letters, digits, _ and -"
                )
            if name in seen:
                raise ValueError(
                    f"two connections are called {name!r}: expected names that are all different"
                )
            seen.add(name)
        return self

    def _all(self) -> Iterator[tuple[str, Connection]]:
        groups: tuple[Mapping[str, Connection], ...] = (
            self.calendars,
            self.notion,
            self.mailboxes,
            self.apis,
            self.others,
        )
        for group in groups:
            yield from group.items()

    def connections(self) -> dict[str, Connection]:
        """Return all connections by name."""
        return dict(self._all())
