"""A side of a calendar: a CalDAV collection, or the table `sync_event`."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from hopyard_sync.calendars.merge import Version


@dataclass(frozen=True, slots=True)
class Listing:
    """What a side has: ETags by name. `token` lets the next listing tell only what changed since."""

    etags: Mapping[str, str]
    token: str | None


@dataclass(frozen=True, slots=True)
class Write:
    """One change of a resource: its new text, None to delete it; `etag` is what must be there now, if any.

    `name` is None for a new resource, which gets its name from `uid`.
    """

    uid: str
    name: str | None
    etag: str | None
    text: str | None


@dataclass(frozen=True, slots=True)
class Written:
    """What became of a write.

    `version` is what is there now (None: deleted, or not known yet). `stale`: something else was there, so
    nothing was changed. `refused` is the reason why this resource cannot be written at all.
    """

    version: Version | None = None
    stale: bool = False
    refused: str | None = None


class Side(Protocol):
    """Reads and writes resources in batches."""

    async def listing(self, known: Mapping[str, str], token: str | None) -> Listing:
        """Return all names with their ETags; with a token, the known ones with what changed since."""

    async def read(self, names: Collection[str]) -> Mapping[str, Version]:
        """Return resources by name, with their texts; those that are gone meanwhile are missing."""

    async def write(self, changes: Sequence[Write]) -> Sequence[Written]:
        """Make changes, each only where its resource is as it was; tell what became of each, in order."""
