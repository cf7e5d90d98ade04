"""The side of this machine: a root, read and written by open directories, never through links."""

from __future__ import annotations

import asyncio
import hashlib
import os
import stat
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Final

from hopyard import trees
from hopyard.errors import InvalidInput, ResourceError, TransientError

from hopyard_file.backup.engine.scanning import Found, scan
from hopyard_file.backup.patterns import Patterns
from hopyard_file.cloud.names import TEMPORARY
from hopyard_file.cloud.sides import Here

BLOCK: Final = 1 << 20
#: Seconds after which an unfinished download is one of a run that was killed.
_LEFT_OVER: Final = 86_400.0
_DIRECTORY: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_NEW: Final = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


class Changed(TransientError):
    """A file is no longer what it was when the run looked at it: it is left for the next run."""


@dataclass(slots=True)
class Survey:
    """What is below the root, and what could not be looked at."""

    files: dict[str, Here]
    blocked: dict[str, str]
    """Paths of files and folders that are there, or may be, and why they are no part of the sync."""


class Near:
    """The root at `path`."""

    def __init__(self, path: str, patterns: Patterns) -> None:
        self._root = path
        self._patterns = patterns

    def survey(self, most: int) -> Survey:
        """Return what there is. Raises `InvalidInput` for more than `most` files, `OSError`."""
        found = Survey({}, {})
        for one in scan(self._root, self._patterns):
            entry = one.entry
            if entry.kind == "file":
                if entry.path.rpartition("/")[2].startswith(TEMPORARY):
                    _remove_left_over(one)
                    continue
                stamp = _stamp_of(entry.size, entry.modified, entry.changed, entry.inode)
                found.files[entry.path] = Here(entry.size, entry.modified / 1e9, stamp)
                if len(found.files) > most:
                    raise InvalidInput(f"{self._root} has more than {most:,} files (`max_files`)")
            elif entry.kind == "link":
                found.blocked[entry.path] = "is a link"
            elif entry.kind == "left out":
                found.blocked[entry.path] = entry.note
        return found

    def look(self, path: str) -> Here | None:
        """Return a file as it is now; None if there is none. Raises `InvalidInput` for a link on the way.

        There is none either where a folder has its name, or a file that of its folder.
        """
        try:
            with self._above(path) as (above, name):
                status = os.stat(name, dir_fd=above, follow_symlinks=False)
        except (FileNotFoundError, _NoFolder):
            return None
        if stat.S_ISDIR(status.st_mode):
            return None
        if not stat.S_ISREG(status.st_mode):
            raise InvalidInput(f"{trees.shown(path)} is no regular file")
        return _here(status)

    def is_free(self, path: str) -> bool:
        """Say whether nothing at all has a path. Raises `InvalidInput` for links on the way."""
        try:
            with self._above(path) as (above, name):
                os.stat(name, dir_fd=above, follow_symlinks=False)
        except (FileNotFoundError, _NoFolder):
            return True
        return False

    def open(self, path: str) -> int:
        """Return a descriptor of a file for reading. Raises `InvalidInput` for links, `OSError`."""
        return trees.open_file(self._root, path)

    @contextmanager
    def receiving(self, path: str) -> Iterator[Receiver]:
        """Give what takes a file's content; it becomes the file with `put`, and is gone without."""
        with self._above(path, make=True) as (above, name):
            temporary = f"{TEMPORARY}{hashlib.sha256(name.encode()).hexdigest()[:16]}"
            with suppress(FileNotFoundError):
                os.unlink(temporary, dir_fd=above)
            descriptor = os.open(temporary, _NEW, 0o600, dir_fd=above)
            try:
                yield Receiver(descriptor, above, temporary, name)
            finally:
                os.close(descriptor)
                with suppress(FileNotFoundError):
                    os.unlink(temporary, dir_fd=above)

    def delete(self, path: str, expected: str) -> None:
        """Remove a file that has the stamp `expected`. Raises `Changed` if it has another, `OSError`."""
        try:
            with self._above(path) as (above, name):
                _check(name, above, expected)
                os.unlink(name, dir_fd=above)
        except (FileNotFoundError, _NoFolder):
            return

    @contextmanager
    def _above(self, path: str, *, make: bool = False) -> Iterator[tuple[int, str]]:
        *folders, name = path.split("/")
        descriptor = trees.open_directory(self._root)
        try:
            for folder in folders:
                below = _enter(folder, descriptor, make=make)
                os.close(descriptor)
                descriptor = below
            yield descriptor, name
        finally:
            os.close(descriptor)


class _NoFolder(InvalidInput):
    """A regular file has the name of a folder."""


class Receiver:
    """A file that is being written."""

    def __init__(self, descriptor: int, above: int, temporary: str, name: str) -> None:
        self.descriptor = descriptor
        self._above = above
        self._temporary = temporary
        self._name = name

    def write(self, data: bytes) -> None:
        """Add to it. Raises `ResourceError` where the disk is full."""
        view = memoryview(data)
        try:
            while view:
                view = view[os.write(self.descriptor, view) :]
        except OSError as error:
            raise ResourceError(f"{trees.shown(self._name)}: {error.strerror}") from None

    def put(self, expected: str | None, modified: float) -> Here:
        """Give it its name, in the place of a file with the stamp `expected`, or of none.

        Raises `Changed` if something else is there by now.
        """
        when = int(modified * 1e9)
        os.utime(self.descriptor, ns=(when, when))
        os.fchmod(self.descriptor, 0o644)
        os.fsync(self.descriptor)
        if expected is None:
            with suppress(OSError):  # an empty folder in its place holds nothing; any other stays
                os.rmdir(self._name, dir_fd=self._above)
            try:
                os.link(self._temporary, self._name, src_dir_fd=self._above, dst_dir_fd=self._above)
            except FileExistsError:
                raise Changed("a file or folder appeared in its place meanwhile") from None
        else:
            _check(self._name, self._above, expected)
            os.replace(self._temporary, self._name, src_dir_fd=self._above, dst_dir_fd=self._above)
        with suppress(FileNotFoundError):
            os.unlink(self._temporary, dir_fd=self._above)
        os.fsync(self._above)
        return _here(os.stat(self._name, dir_fd=self._above, follow_symlinks=False))


class OpenFile:
    """The blocks of an open file. `pace` is awaited with the length of each, before it is given out."""

    def __init__(self, descriptor: int, pace: Callable[[int], Awaitable[None]]) -> None:
        self.descriptor = descriptor
        self._pace = pace
        self.size = os.fstat(descriptor).st_size

    async def __call__(self) -> AsyncIterator[bytes]:
        """Yield the content as it is now."""
        at = 0
        while data := await asyncio.to_thread(os.pread, self.descriptor, BLOCK, at):
            at += len(data)
            await self._pace(len(data))
            yield data


def digests(descriptor: int) -> dict[str, str]:
    """Return the checksums of an open file: md5, sha1, sha256."""
    made = {
        "md5": hashlib.md5(usedforsecurity=False),
        "sha1": hashlib.sha1(usedforsecurity=False),
        "sha256": hashlib.sha256(),
    }
    at = 0
    while data := os.pread(descriptor, BLOCK, at):
        at += len(data)
        for one in made.values():
            one.update(data)
    return {name: one.hexdigest() for name, one in made.items()}


def stamp_of(descriptor: int) -> str:
    """Return the stamp of an open file."""
    return _here(os.fstat(descriptor)).stamp


def _remove_left_over(found: Found) -> None:
    """Remove an unfinished download that has its final name already, or of which nobody writes any more."""
    file = found.file
    if file is not None and (file.links > 1 or time.time() - file.modified / 1e9 > _LEFT_OVER):
        with suppress(OSError):
            found.directory.remove(file)


def _enter(name: str, above: int, *, make: bool) -> int:
    try:
        return os.open(name, _DIRECTORY, dir_fd=above)
    except FileNotFoundError:
        if not make:
            raise
    except OSError as error:
        what = f"{trees.shown(name)}: {error.strerror}, expected a folder"
        status = os.stat(name, dir_fd=above, follow_symlinks=False)
        raise (_NoFolder if stat.S_ISREG(status.st_mode) else InvalidInput)(what) from None
    with suppress(FileExistsError):
        os.mkdir(name, 0o755, dir_fd=above)
    return os.open(name, _DIRECTORY, dir_fd=above)


def _check(name: str, above: int, expected: str) -> None:
    try:
        found = _here(os.stat(name, dir_fd=above, follow_symlinks=False)).stamp
    except FileNotFoundError:
        found = ""
    if found != expected:
        raise Changed("it was changed meanwhile")


def _here(status: os.stat_result) -> Here:
    stamp = _stamp_of(status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino)
    return Here(status.st_size, status.st_mtime, stamp)


def _stamp_of(size: int, modified: int, changed: int, inode: int) -> str:
    return f"{size} {modified} {changed} {inode}"
