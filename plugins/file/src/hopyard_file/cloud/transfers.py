"""Carrying single files over, and making sure that they arrived as they left."""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from hopyard.errors import TransientError

from hopyard_file.cloud.deciding import Known
from hopyard_file.cloud.near import Changed, Near, OpenFile, Receiver, digests, stamp_of
from hopyard_file.cloud.pacing import Pace
from hopyard_file.cloud.sides import Far, Here, There

_STRONGEST_FIRST: Final = ("sha256", "sha1", "md5")


@dataclass(frozen=True, slots=True)
class Carrier:
    """Carries files between the two sides. `moved` is told of bytes."""

    near: Near
    far: Far
    pace: Pace
    read_back: bool
    moved: Callable[[int], None]

    async def up(self, path: str, here: Here, there: There | None) -> Known:
        """Upload a file that is as `here` says, over what is as `there` says; return what both have then.

        Raises `Changed` if one of the two is otherwise by now, `TransientError` if it arrived damaged.
        """
        descriptor = await asyncio.to_thread(self.near.open, path)
        try:
            if stamp_of(descriptor) != here.stamp:
                raise Changed("it was changed meanwhile")
            sums = await asyncio.to_thread(digests, descriptor)
            await self._check_there(path, there)
            made = await self.far.write(path, OpenFile(descriptor, self._paced))
            if stamp_of(descriptor) != here.stamp:
                raise Changed("it was changed while it was uploaded")
            await self._check_arrived(path, made, os.fstat(descriptor).st_size, sums)
        finally:
            os.close(descriptor)
        return Known(here.size, sums["sha256"], here.stamp, made.stamp)

    async def down(self, path: str, here: Here | None, there: There) -> Known:
        """Download a file over what is as `here` says; return what both have then. Raises as `up` does."""
        with self.near.receiving(path) as receiver:
            sums = await self.fetch(path, there, receiver)
            made = receiver.put(None if here is None else here.stamp, there.modified)
        return Known(made.size, sums["sha256"], made.stamp, there.stamp)

    async def fetch(self, path: str, there: There, receiver: Receiver) -> dict[str, str]:
        """Write a file of the other side into `receiver`; return its checksums. Raises as `up` does."""
        size = 0
        async for block in self.far.read(path):
            size += len(block)
            if size > there.size:
                break
            await asyncio.to_thread(receiver.write, block)
            await self._paced(len(block))
        sums = await asyncio.to_thread(digests, receiver.descriptor)
        if size != there.size or not _agrees(there, sums):
            now = await self.far.look(path)
            if now is None or now.stamp != there.stamp:
                raise Changed("it was changed there meanwhile")
            raise TransientError(f"it arrived damaged: {size:,} bytes of {there.size:,}")
        return sums

    async def delete_there(self, path: str, there: There) -> None:
        """Remove a file of the other side that is as `there` says. Raises `Changed`."""
        await self._check_there(path, there)
        await self.far.delete(path)

    async def sums_here(self, path: str, here: Here) -> dict[str, str]:
        """Return the checksums of a file of this side. Raises `Changed`."""
        descriptor = await asyncio.to_thread(self.near.open, path)
        try:
            sums = await asyncio.to_thread(digests, descriptor)
            if stamp_of(descriptor) != here.stamp:
                raise Changed("it was changed meanwhile")
        finally:
            os.close(descriptor)
        return sums

    async def _check_there(self, path: str, expected: There | None) -> None:
        now = await self.far.look(path)
        if (now.stamp if now else None) != (expected.stamp if expected else None):
            raise Changed("the other side was changed meanwhile")

    async def _check_arrived(self, path: str, made: There, size: int, sums: dict[str, str]) -> None:
        if made.size != size or not _agrees(made, sums):
            raise TransientError(f"it arrived damaged: {made.size:,} bytes of {size:,}")
        if made.checksums or not self.read_back:
            return
        read = hashlib.sha256()
        async for block in self.far.read(path):
            read.update(block)
        if read.hexdigest() != sums["sha256"]:
            raise TransientError("it arrived damaged: read back it is another")

    async def _paced(self, count: int) -> None:
        self.moved(count)
        await self.pace(count)


def agreement(there: There, sums: dict[str, str]) -> bool | None:
    """Say whether the other side's checksum fits; None where it tells none."""
    for name in _STRONGEST_FIRST:
        with suppress(KeyError):
            return there.checksums[name].lower() == sums[name]
    return None


def _agrees(there: There, sums: dict[str, str]) -> bool:
    return agreement(there, sums) is not False


async def together(works: list[Awaitable[None]]) -> None:
    """Run all; where one raises, the others are cancelled, and the first error is raised as it is."""
    tasks = [asyncio.ensure_future(work) for work in works]
    try:
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
