"""Viewers of live streams as a browser is one: they load lists, put on top what is told, lose their line."""

from __future__ import annotations

import json
from typing import Any

from hopyard.ledger.database import Database
from hopyard.ledger.read import listing
from hopyard.ledger.read.listing import JobFilter
from hopyard.web import Role, Viewer
from hopyard.web.live.hub import Hub
from hopyard.web.live.viewing import Message, Viewing

EVERYBODY = Viewer("key", "tests", Role.ADMIN)


class Screen:
    """What a viewer of a list is shown."""

    def __init__(self, database: Database, wanted: JobFilter, viewer: Viewer = EVERYBODY) -> None:
        self._database = database
        self.wanted = wanted
        self.viewer = viewer
        self.shown: dict[str, str] = {}
        self.loads = 0
        self.told = 0
        self._place: int | None = None
        self._loaded = False
        self._viewing: Viewing | None = None
        self._hub: Hub | None = None

    @property
    def connected(self) -> bool:
        return self._viewing is not None

    def connect(self, hub: Hub) -> None:
        """Come, or come back, with the place of the last message."""
        self._hub = hub
        self._viewing = Viewing(self.viewer, wanted=self.wanted, last=self._place)
        hub.join(self._viewing)

    def disconnect(self) -> None:
        """Lose the line; what was not read is lost as well."""
        if self._hub is not None and self._viewing is not None:
            self._hub.leave(self._viewing)
        self._viewing = None

    async def read(self, most: int | None = None) -> None:
        """Read what waits, or only so many messages of it, before the line is lost."""
        assert self._viewing is not None
        for message in self._viewing.take()[:most]:
            await self._told(message)
        if most is not None:
            self.disconnect()

    async def _told(self, message: Message) -> None:
        self.told += 1
        data = json.loads(message.data)
        if message.event == "reset" or (message.event == "ready" and not self._loaded):
            await self._load()
        elif message.event == "jobs":
            self._put(data)
        if message.place is not None:
            self._place = message.place

    async def _load(self) -> None:
        self._loaded = True
        self.loads += 1
        self.shown = await self.listed()

    def _put(self, data: dict[str, Any]) -> None:
        for job in data["jobs"]:
            self.shown[job["id"]] = job["state"]
        for id_ in data["gone"]:
            self.shown.pop(id_, None)

    async def listed(self) -> dict[str, str]:
        """Return what the ledger says."""
        found = await listing.page(self._database, self.wanted, limit=listing.MOST)
        assert found.cursor is None
        return {job.id: job.state for job in found.jobs}
