"""A side of a calendar: a CalDAV collection, or the table `sync_event`."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

from hopyard_sync.calendars.merge import Version

#: The ETag of what was written and may have been changed since: the next look reads it.
UNKNOWN: Final = "unknown"


@dataclass(frozen=True, slots=True)
class Listing:
    """What a side has: ETags by name, None for a resource whose ETag is not told.

    What is in neither `etags` nor `unclear` is not there. `unclear` are resources of which the side tells
    nothing but a fault, with what it says. `token` lets the next listing tell only what changed since.
    """

    etags: Mapping[str, str | None]
    token: str | None
    unclear: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Read:
    """Resources with their texts; names that are gone; why others cannot be read, by name.

    What was asked for and is nowhere here was not told: nobody knows whether it is gone.
    """

    versions: dict[str, Version] = field(default_factory=dict)
    gone: set[str] = field(default_factory=set)
    unclear: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Write:
    """One change of a resource: its new text, None to delete it; `etag` is what must be there now, if any.

    `name` is None for a new resource, which gets its name from `uid`: another one at each attempt.
    """

    uid: str
    name: str | None
    etag: str | None
    text: str | None
    attempt: int = 0


@dataclass(frozen=True, slots=True)
class Written:
    """What became of a write.

    `version` is what is there now (None: deleted). `stale` says what else was there, so that nothing was
    changed: another look may help. `refused` is the reason why this resource cannot be written at all.
    """

    version: Version | None = None
    stale: str | None = None
    refused: str | None = None


class Side(Protocol):
    """Reads and writes resources in batches."""

    async def listing(self, known: Mapping[str, str], token: str | None) -> Listing:
        """Return all names with their ETags; with a token, the known ones with what changed since.

        Raises `InvalidInput` where the side tells only a part of what it has.
        """

    async def read(self, names: Collection[str]) -> Read:
        """Return resources with their texts."""

    async def write(self, changes: Sequence[Write]) -> Sequence[Written]:
        """Make changes, each only where its resource is as it was; tell what became of each, in order."""
