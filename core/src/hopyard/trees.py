"""Walking and cleaning directory trees that others change meanwhile: by open directories, never by paths.

A path may lead somewhere else each time that it is used, since whoever may write to one of its directories
can put a link in the place of the next. Here each directory is opened from the one above it, links refused
(`openat` with `O_NOFOLLOW`), and files are looked at and removed relative to the open directory. What is on
another mount is left alone, also where it is the same file system bound a second time. One directory is
open at a time however deep the tree is: the way back is `..`, and it is checked that it leads to where we
came from.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from hopyard.errors import InvalidInput

__all__ = [
    "Directory",
    "File",
    "Identity",
    "Troubles",
    "open_directory",
    "open_file",
    "open_files",
    "shown",
    "walk",
]

#: (device, inode): what a name stands for, whatever it is called.
Identity = tuple[int, int]

_DIRECTORY: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
#: Opening a named pipe waits for somebody who writes, unless one says not to.
_REGULAR: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
#: What was seen a moment ago may be gone, or be something else by now: no fault of anybody's.
_SWAPPED: Final = frozenset({errno.ENOENT, errno.ELOOP, errno.ENOTDIR})
_MOST_SHOWN: Final = 200
_MOST_TROUBLES: Final = 20


class File(NamedTuple):
    """A regular file as it was seen in its directory; `modified` in nanoseconds since 1970.

    `taken` is how many bytes it takes of the disk, at most its size: one with holes takes less.
    """

    name: str
    identity: Identity
    size: int
    modified: int
    links: int
    taken: int


@dataclass(slots=True)
class Troubles:
    """What could not be looked at or removed, in words: the first few, and how many there were."""

    count: int = 0
    words: list[str] = field(default_factory=list)

    def add(self, place: str, what: str) -> None:
        """Note one."""
        self.count += 1
        if len(self.words) < _MOST_TROUBLES:
            self.words.append(f"{place}: {what}")


@dataclass(slots=True)
class _Level:
    name: str
    identity: Identity
    pending: list[str] | None = None
    """Directories below it that are still to be walked; None before it was read."""


@dataclass(frozen=True, slots=True)
class Directory:
    """An open directory of a tree. It is closed when the walk goes on."""

    descriptor: int
    identity: Identity
    levels: Sequence[_Level]
    """The way to it, the root of the tree first."""

    @property
    def shown(self) -> str:
        """The way to it for people."""
        return shown("/".join(level.name for level in self.levels[1:])) or "."

    def files(self) -> Iterator[File]:
        """Yield its regular files: no links, pipes, sockets, devices."""
        with os.scandir(self.descriptor) as entries:
            for entry in entries:
                try:
                    status = entry.stat(follow_symlinks=False)
                except FileNotFoundError:  # gone since it was listed
                    continue
                if stat.S_ISREG(status.st_mode):
                    yield _file(entry.name, status)

    def open(self, file: File) -> int | None:
        """Return a descriptor of a file for reading; None if the name stands for another one by now.

        Raises `OSError`.
        """
        try:
            descriptor = os.open(file.name, _REGULAR, dir_fd=self.descriptor)
        except OSError as error:
            if error.errno in _SWAPPED or error.errno == errno.ENXIO:
                return None
            raise
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode) or (status.st_dev, status.st_ino) != file.identity:
            os.close(descriptor)
            return None
        return descriptor

    def remove(self, file: File) -> bool:
        """Remove a file if the name still stands for it, unchanged; say whether it was removed.

        Between the look and the removal another file may get the name; then that one goes, as nothing in
        POSIX removes a file by its identity. It is a name in this directory in any case. Raises `OSError`.
        """
        try:
            now = os.stat(file.name, dir_fd=self.descriptor, follow_symlinks=False)
        except FileNotFoundError:
            return False
        if not stat.S_ISREG(now.st_mode) or _file(file.name, now)[:4] != file[:4]:
            return False
        with suppress(FileNotFoundError):
            os.unlink(file.name, dir_fd=self.descriptor)
            return True
        return False


def walk(root: str, troubles: Troubles) -> Generator[Directory, None, None]:
    """Yield the directory `root` and all below it on the same mount, each open until the next is asked for.

    What cannot be entered is noted in `troubles` and left out. Close the generator if it is left early
    (`contextlib.closing`). Raises `InvalidInput` where a part of `root` is a link, or is no directory, and
    `OSError`.
    """
    descriptor = open_directory(root)
    try:
        mount = _mount(descriptor)
        levels = [_Level("", _identity(descriptor))]
        while levels:
            level = levels[-1]
            if level.pending is None:
                yield Directory(descriptor, level.identity, levels)
                level.pending = _below(descriptor)
            elif level.pending:
                entered = _enter(descriptor, level.pending.pop(), mount, levels, troubles)
                if entered is not None:
                    os.close(descriptor)
                    descriptor = entered
            else:
                levels.pop()
                if levels:
                    above = os.open("..", _DIRECTORY, dir_fd=descriptor)
                    os.close(descriptor)
                    descriptor = above
                    if _identity(descriptor) != levels[-1].identity:
                        troubles.add(shown(level.name), "was moved meanwhile: the rest is left for next time")
                        return
    finally:
        os.close(descriptor)


def open_directory(path: str) -> int:
    """Return a descriptor of the directory at an absolute path that has no link in it anywhere.

    Raises `InvalidInput` for a link and for what is no directory, `OSError` for all else.
    """
    descriptor = os.open("/", _DIRECTORY)
    for part in [part for part in path.split("/") if part]:
        try:
            below = os.open(part, _DIRECTORY, dir_fd=descriptor)
        except OSError as error:
            if error.errno in (errno.ELOOP, errno.ENOTDIR):
                kind = "is a link" if _is_link(part, descriptor) else "is no directory"
                reason = f"{shown(path)}: {shown(part)} {kind}: give the place itself"
                raise InvalidInput(reason) from None
            raise
        finally:
            os.close(descriptor)
        descriptor = below
    return descriptor


def open_file(root: str, way: str) -> int:
    """Return a descriptor of the regular file at `way` below the directory `root`, for reading.

    Raises `InvalidInput` where a part of root or way is a link, where way leaves the root, or where it leads
    to what is no regular file; `OSError` for all else.
    """
    parts = way.split("/")
    if not way or {"", ".", ".."}.intersection(parts) or "\0" in way:
        raise InvalidInput(f"{shown(way)!r} is no way below {shown(root)}: give names, with / between them")
    *folders, name = parts
    directory = open_directory("/".join([root, *folders]))
    try:
        descriptor = os.open(name, _REGULAR, dir_fd=directory)
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise InvalidInput(f"{shown(way)} is a link: give the file itself") from None
        if error.errno == errno.ENXIO:
            raise InvalidInput(f"{shown(way)} is no regular file") from None
        raise
    finally:
        os.close(directory)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise InvalidInput(f"{shown(way)} is no regular file")
    return descriptor


def shown(name: str) -> str:
    """Return a name as text that fits into a line: bytes and line breaks escaped, the middle left out."""
    text = os.fsencode(name).decode(errors="backslashreplace")
    text = "".join(one if one.isprintable() else one.encode("unicode_escape").decode() for one in text)
    half = _MOST_SHOWN // 2
    return text if len(text) <= _MOST_SHOWN else f"{text[:half]}…{text[-half:]}"


def open_files() -> frozenset[Identity]:
    """Return what processes of this machine have open, as far as this one may see it (root: all of it)."""
    found = set()
    for process in _numbers("/proc"):
        folder = f"/proc/{process}/fd"
        for descriptor in _numbers(folder):
            with suppress(OSError):
                status = os.stat(f"{folder}/{descriptor}")
                if stat.S_ISREG(status.st_mode):
                    found.add((status.st_dev, status.st_ino))
    return frozenset(found)


def _numbers(folder: str) -> list[str]:
    try:
        return [name for name in os.listdir(folder) if name.isdecimal()]
    except OSError:  # the process is gone, or another user's; or there is no /proc
        return []


def _enter(descriptor: int, name: str, mount: object, levels: list[_Level], troubles: Troubles) -> int | None:
    """Open a directory below and note it as the next level; None if it is to be left alone."""
    try:
        below = os.open(name, _DIRECTORY, dir_fd=descriptor)
    except OSError as error:
        if error.errno not in _SWAPPED:
            troubles.add(shown(name), str(error.strerror))
        return None
    with _closed_unless_kept(below) as keep:
        if _mount(below) != mount:
            troubles.add(shown(name), "is another mount, which is left alone")
            return None
        levels.append(_Level(name, _identity(below)))
        keep.append(below)
    return below


@contextmanager
def _closed_unless_kept(descriptor: int) -> Iterator[list[int]]:
    kept: list[int] = []
    try:
        yield kept
    finally:
        if not kept:
            os.close(descriptor)


def _below(descriptor: int) -> list[str]:
    with os.scandir(descriptor) as entries:
        return [entry.name for entry in entries if entry.is_dir(follow_symlinks=False)]


def _file(name: str, status: os.stat_result) -> File:
    identity = (status.st_dev, status.st_ino)
    taken = min(status.st_size, status.st_blocks * 512)
    return File(name, identity, status.st_size, status.st_mtime_ns, status.st_nlink, taken)


def _identity(descriptor: int) -> Identity:
    status = os.fstat(descriptor)
    return status.st_dev, status.st_ino


def _mount(descriptor: int) -> object:
    """Return what tells a mount from others: the kernel's number of it, or the device where it has none."""
    device = os.fstat(descriptor).st_dev
    try:
        with open(f"/proc/self/fdinfo/{descriptor}", "rb") as lines:
            numbers = [line.split()[1] for line in lines if line.startswith(b"mnt_id:")]
    except OSError:  # no Linux, or no /proc
        numbers = []
    return device, *numbers


def _is_link(name: str, descriptor: int) -> bool:
    try:
        return stat.S_ISLNK(os.stat(name, dir_fd=descriptor, follow_symlinks=False).st_mode)
    except OSError:
        return False
