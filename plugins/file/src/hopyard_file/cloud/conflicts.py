"""Files that both sides have, and that may differ: who wins, or both are kept."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final

from hopyard_file.cloud.deciding import Known
from hopyard_file.cloud.names import other_name
from hopyard_file.cloud.near import Changed, OpenFile, Receiver
from hopyard_file.cloud.settings import Conflicts, Direction
from hopyard_file.cloud.sides import Here, There
from hopyard_file.cloud.transfers import Carrier, agreement

#: So many names are tried for the other version of a file.
_MOST_NAMES: Final = 100


@dataclass(frozen=True, slots=True)
class Conflict:
    """A file that both sides have, where nobody knows yet whether it is the same."""

    path: str
    here: Here
    there: There
    direction: Direction
    policy: Conflicts


@dataclass(slots=True)
class Settled:
    """What was done. `equal` is what both sides have now."""

    equal: dict[str, Known] = field(default_factory=dict)
    uploaded: int = 0
    downloaded: int = 0
    differed: int = 0


async def settle(conflict: Conflict, carrier: Carrier) -> Settled:
    """Compare, and where they differ do what the policy says.

    A side that does not receive (`down`: the other side, `up`: this one) keeps what it has, and the
    difference is taken as known. Raises as `Carrier` does.
    """
    sums = await carrier.sums_here(conflict.path, conflict.here)
    agrees = agreement(conflict.there, sums) if conflict.there.size == conflict.here.size else False
    if agrees:
        return _same(conflict, sums["sha256"])
    if conflict.policy == "both":
        return await _keep_both(conflict, carrier, sums["sha256"])
    if agrees is None and await _is_same(conflict, carrier, sums["sha256"]):
        return _same(conflict, sums["sha256"])
    return await _one_wins(conflict, carrier, sums["sha256"])


def _same(conflict: Conflict, sha256: str) -> Settled:
    known = Known(conflict.here.size, sha256, conflict.here.stamp, conflict.there.stamp)
    return Settled({conflict.path: known})


async def _is_same(conflict: Conflict, carrier: Carrier, sha256: str) -> bool:
    with _scratch() as receiver:
        sums = await carrier.fetch(conflict.path, conflict.there, receiver)
    return sums["sha256"] == sha256


async def _one_wins(conflict: Conflict, carrier: Carrier, sha256: str) -> Settled:
    newest_is_here = conflict.here.modified >= conflict.there.modified
    local = conflict.policy == "local" or (conflict.policy == "newest" and newest_is_here)
    settled = Settled(differed=1)
    if local and conflict.direction != "down":
        settled.equal[conflict.path] = await carrier.up(conflict.path, conflict.here, conflict.there)
        settled.uploaded = 1
    elif not local and conflict.direction != "up":
        settled.equal[conflict.path] = await carrier.down(conflict.path, conflict.here, conflict.there)
        settled.downloaded = 1
    else:
        settled.equal |= _same(conflict, sha256).equal
    return settled


async def _keep_both(conflict: Conflict, carrier: Carrier, sha256: str) -> Settled:
    """Put the other side's version beside ours under another name, on each side that receives."""
    with _scratch() as receiver:
        sums = await carrier.fetch(conflict.path, conflict.there, receiver)
        if sums["sha256"] == sha256:
            return _same(conflict, sha256)
        settled = Settled(differed=1)
        other = await _free_name(conflict, carrier, sums)
        blocks = OpenFile(receiver.descriptor, carrier.pace)
        here = (
            await _put_here(other, blocks, sums["sha256"], conflict, carrier)
            if conflict.direction != "up"
            else None
        )
        there = await _put_there(other, blocks, sums, carrier) if conflict.direction != "down" else None
        if here is not None and there is not None:
            settled.equal[other] = Known(here.size, sums["sha256"], here.stamp, there.stamp)
        settled.downloaded += here is not None
        settled.uploaded += there is not None
    if conflict.direction == "down":
        settled.equal |= _same(conflict, sha256).equal
    else:
        settled.equal[conflict.path] = await carrier.up(conflict.path, conflict.here, conflict.there)
        settled.uploaded += 1
    return settled


async def _put_here(other: str, blocks: OpenFile, sha256: str, conflict: Conflict, carrier: Carrier) -> Here:
    """Make the file here, unless a run that was killed has made it. Raises `Changed` if another is there."""
    with carrier.near.receiving(other) as receiver:
        async for block in blocks():
            await asyncio.to_thread(receiver.write, block)
        try:
            return receiver.put(None, conflict.there.modified)
        except Changed:
            found = carrier.near.look(other)
            if found is None:
                raise
            sums = await carrier.sums_here(other, found)
            if sums["sha256"] != sha256:
                raise
            return found


async def _put_there(other: str, blocks: OpenFile, sums: Mapping[str, str], carrier: Carrier) -> There:
    """Store the file there, unless a run that was killed has stored it. Raises `Changed` for another file."""
    found = await carrier.far.look(other)
    if found is None:
        return await carrier.far.write(other, blocks)
    if not await _has_there(other, found, blocks.size, sums, carrier):
        raise Changed(f"{other} appeared there meanwhile")
    return found


async def _free_name(conflict: Conflict, carrier: Carrier, sums: Mapping[str, str]) -> str:
    """Return a name for the other version that no other file has on a side that receives it."""
    for number in range(1, _MOST_NAMES + 1):
        other = other_name(conflict.path, sums["sha256"], number)
        if conflict.direction != "up" and not await _fits_here(other, sums["sha256"], carrier):
            continue
        if conflict.direction != "down":
            there = await carrier.far.look(other)
            size = conflict.there.size
            if there is not None and not await _has_there(other, there, size, sums, carrier):
                continue
        return other
    raise Changed(f"{_MOST_NAMES} names for the other version of it are taken")


async def _fits_here(other: str, sha256: str, carrier: Carrier) -> bool:
    if await asyncio.to_thread(carrier.near.is_free, other):
        return True
    found = await asyncio.to_thread(carrier.near.look, other)
    return found is not None and (await carrier.sums_here(other, found))["sha256"] == sha256


async def _has_there(other: str, found: There, size: int, sums: Mapping[str, str], carrier: Carrier) -> bool:
    """Say whether a file of the other side has this content."""
    if found.size != size:
        return False
    if (agrees := agreement(found, dict(sums))) is not None:
        return agrees
    with _scratch() as receiver:
        return (await carrier.fetch(other, found, receiver))["sha256"] == sums["sha256"]


@contextmanager
def _scratch() -> Iterator[Receiver]:
    """Give a file without a name, which is gone at the end."""
    with tempfile.TemporaryFile(prefix="hopyard-sync-") as file:
        yield Receiver(file.fileno(), -1, "", "a file of the other side")
