"""Looking at a side of a calendar: what it has now, read where that is new or changed, and what is unclear.

Only what is missing from a complete listing, or answered with 404, is gone. All else that cannot be read is
unclear: nobody knows what became of it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from hopyard_sync.calendars import lines
from hopyard_sync.calendars.merge import Version
from hopyard_sync.calendars.sides import UNKNOWN, Side
from hopyard_sync.engine.run import Run

#: Resources that are read at once.
_BATCH: Final = 25


@dataclass(slots=True)
class Look:
    """A side as it is now: its items by UID; those that are new or changed have their contents.

    `unclear` are the resources that could not be looked at, with the reason and the beginning of their text;
    `held` the UIDs that they had at the last sync. `count` is how many resources there are.
    """

    found: dict[str, Version] = field(default_factory=dict)
    unclear: list[tuple[str, str, str]] = field(default_factory=list)
    held: set[str] = field(default_factory=set)
    count: int = 0
    token: str | None = None


async def look(
    run: Run,
    label: str,
    side: Side,
    known: Mapping[str, str],
    etags: Mapping[str, str],
    token: str | None,
) -> Look:
    """Look at a side; `known` and `etags` are UIDs and ETags by name, as they were at the last sync."""
    listing = await side.listing(etags, token)
    made = Look(token=listing.token, count=len(listing.etags) + len(listing.unclear))
    made.unclear += [(name, reason, "") for name, reason in listing.unclear.items()]
    unread: list[str] = []
    for name, etag in listing.etags.items():
        if name in known and etag is not None and etags[name] == etag != UNKNOWN:
            made.found[known[name]] = Version(name, etag)
        else:
            unread.append(name)
    for start in range(0, len(unread), _BATCH):
        await _read(side, unread[start : start + _BATCH], made)
        run.progress(start, len(unread), f"reading side {label}")
        await run.keep()
    made.held = {known[name] for name, _, _ in made.unclear if name in known}
    return made


async def _read(side: Side, names: Sequence[str], made: Look) -> None:
    read = await side.read(names)
    contents = await asyncio.to_thread(_contents, read.versions)
    for name in names:
        if name not in contents:
            if name in read.gone:
                made.count -= 1
            else:
                reason = read.unclear.get(name, "the server does not tell what is in it")
                made.unclear.append((name, reason, ""))
            continue
        version, content = read.versions[name], contents[name]
        if isinstance(content, lines.Content) and content.uid not in made.found:
            made.found[content.uid] = replace(version, content=content)
        else:
            reason = content if isinstance(content, str) else f"the UID {content.uid[:100]} is taken already"
            made.unclear.append((name, reason, (version.text or "")[:2000]))


def _contents(versions: Mapping[str, Version]) -> dict[str, lines.Content | str]:
    """Return what resources say, or why they cannot be read. All that comes from a server passes here."""
    found: dict[str, lines.Content | str] = {}
    for name, version in versions.items():
        try:
            found[name] = lines.look(version.text or "")
        except Exception as error:  # noqa: BLE001 - whatever one resource is, the others go on
            found[name] = str(error) or type(error).__name__
    return found
