"""Files that tasks write: below the root `output`, whole or not at all."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import PurePosixPath
from typing import Final

from hopyard import roots, trees
from hopyard.errors import InvalidInput
from hopyard.storage import new_id

from hopyard_media.sources import Source, settings

_NEW: Final = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_PASSING: Final = re.compile(r"\.media-[0-9a-f-]+\.part")
#: Bytes of a name: file systems take 255.
_LONGEST: Final = 180


def name_of(source: Source, ending: str) -> str:
    """Return the name of a file made of a recording: its own, what stands for its content, the ending.

    So no recording's files replace those of another one with the same name, or of an earlier one.
    """
    stem = "".join(one if one.isprintable() else "_" for one in PurePosixPath(source.way).stem)
    short = stem.encode("utf-8", "replace")[:_LONGEST].decode("utf-8", "ignore")
    return f"{short}.{source.sha256[:8]}{ending}"


def wanted() -> str:
    """Return the path of the root `output`. Raises `InvalidInput` where there is none."""
    own = settings()
    if own.output is None:
        raise InvalidInput("nothing can be written: expected `output` in the settings, a root for files")
    path = roots.writable(own.roots, own.output).path
    if not os.access(path, os.W_OK | os.X_OK):
        raise InvalidInput(f"nothing can be written: expected a directory that may be written at {path}")
    return path


@asynccontextmanager
async def making(name: str) -> AsyncIterator[int]:
    """Give an open file that has its name once the block has ended, and is gone if that raises.

    An earlier file of that name is replaced. Raises `InvalidInput` where there is no root `output`, and
    `OSError`.
    """
    directory = await asyncio.to_thread(trees.open_directory, wanted())
    try:
        passing = f".media-{new_id()}.part"
        descriptor = os.open(passing, _NEW, 0o644, dir_fd=directory)
        try:
            yield descriptor
            await asyncio.to_thread(os.fsync, descriptor)
            os.replace(passing, name, src_dir_fd=directory, dst_dir_fd=directory)
        except BaseException:
            os.unlink(passing, dir_fd=directory)
            raise
        finally:
            os.close(descriptor)
        await asyncio.to_thread(os.fsync, directory)
    finally:
        os.close(directory)


async def write(name: str, data: bytes) -> str:
    """Write a whole file; return its name. Raises as `making`."""
    async with making(name) as descriptor:
        await asyncio.to_thread(_put, descriptor, data)
    return name


def _put(descriptor: int, data: bytes) -> None:
    written = 0
    while written < len(data):
        written += os.pwrite(descriptor, data[written:], written)


async def is_there(name: str, size: int) -> bool:
    """Say whether a file that was made is there still, as large as it was."""
    path = wanted()

    def look() -> bool:
        try:
            descriptor = trees.open_file(path, name)
        except (OSError, InvalidInput):
            return False
        try:
            return os.fstat(descriptor).st_size == size
        finally:
            os.close(descriptor)

    return await asyncio.to_thread(look)


def remove_left_behind(path: str, hours: float) -> int:
    """Remove files that died half-written so many hours ago; return how many."""
    directory = trees.open_directory(path)
    removed = 0
    try:
        for name in os.listdir(directory):
            if not _PASSING.fullmatch(name):
                continue
            with contextlib.suppress(FileNotFoundError):  # its job has just named it
                if (
                    os.stat(name, dir_fd=directory, follow_symlinks=False).st_mtime
                    < time.time() - hours * 3600
                ):
                    os.unlink(name, dir_fd=directory)
                    removed += 1
    finally:
        os.close(directory)
    return removed
