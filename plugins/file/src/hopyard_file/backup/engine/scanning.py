"""What is in a source: found by open directories, never through a link out of it."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from typing import Final

from hopyard import trees
from hopyard.trees import Directory, File, Troubles

from hopyard_file.backup.engine.manifest import Entry
from hopyard_file.backup.patterns import Patterns

_OTHER: Final = (
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISFIFO, "a named pipe"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)


@dataclass(frozen=True, slots=True)
class Found:
    """A thing in a source. Of a file, `entry` has no content yet; `open` gives it."""

    entry: Entry
    directory: Directory
    file: File | None = None

    def open(self) -> int | None:
        """Return a descriptor of the file; None if it is gone, or another one. Raises `OSError`."""
        return self.directory.open(self.file) if self.file is not None else None


@dataclass(slots=True)
class _Noted(Troubles):
    """Troubles of the walk, each with its whole path."""

    directory: Directory | None = None
    found: list[Entry] = field(default_factory=list)

    def add(self, place: str, what: str) -> None:
        above = "" if self.directory is None else _way(self.directory)
        self.found.append(Entry(f"{above}/{place}" if above else place, "left out", note=what[:500]))


def scan(root: str, patterns: Patterns) -> Iterator[Found]:
    """Yield all that is meant below `root`, in no order; a directory is open until the next is asked for.

    What cannot be looked at is yielded as `left out`. Raises `InvalidInput` where `root` is no directory or
    has a link in it, and `OSError`.
    """
    troubles = _Noted()
    with closing(trees.walk(root, troubles)) as directories:
        for directory in directories:
            yield from _troubles(troubles, directory)
            troubles.directory = directory
            yield from _in_directory(directory, patterns)
        if troubles.directory is not None:
            yield from _troubles(troubles, troubles.directory)


def _troubles(troubles: _Noted, directory: Directory) -> Iterator[Found]:
    for entry in troubles.found:
        yield Found(entry, directory)
    troubles.found.clear()


def _in_directory(directory: Directory, patterns: Patterns) -> Iterator[Found]:
    way = _way(directory)
    if not patterns.enters(way):
        return
    yield Found(_entry(way, "folder", os.fstat(directory.descriptor)), directory)
    try:
        with os.scandir(directory.descriptor) as entries:
            names = [entry.name for entry in entries]
    except OSError as error:
        yield Found(Entry(way, "left out", note=str(error.strerror)), directory)
        return
    for name in names:
        path = f"{way}/{name}" if way else name
        if patterns.takes(path):
            found = _look(directory, name, path)
            if found is not None:
                yield found


def _look(directory: Directory, name: str, path: str) -> Found | None:
    try:
        status = os.stat(name, dir_fd=directory.descriptor, follow_symlinks=False)
        if stat.S_ISREG(status.st_mode):
            return Found(_entry(path, "file", status), directory, _file(name, status))
        if stat.S_ISDIR(status.st_mode):
            return None
        if stat.S_ISLNK(status.st_mode):
            target = os.readlink(name, dir_fd=directory.descriptor)
            return Found(_entry(path, "link", status, target), directory)
    except FileNotFoundError:  # gone since it was listed
        return None
    except OSError as error:
        return Found(Entry(path, "left out", note=str(error.strerror)), directory)
    what = next((words for check, words in _OTHER if check(status.st_mode)), "no file")
    return Found(Entry(path, "left out", note=f"is {what}"), directory)


def _entry(path: str, kind: str, status: os.stat_result, target: str = "") -> Entry:
    return Entry(
        path,
        kind,  # type: ignore[arg-type]  # one of the three above
        mode=stat.S_IMODE(status.st_mode),
        uid=status.st_uid,
        gid=status.st_gid,
        size=status.st_size if kind == "file" else 0,
        modified=status.st_mtime_ns,
        changed=status.st_ctime_ns if kind == "file" else 0,
        inode=status.st_ino if kind == "file" else 0,
        target=target,
    )


def _file(name: str, status: os.stat_result) -> File:
    taken = min(status.st_size, status.st_blocks * 512)
    return File(
        name, (status.st_dev, status.st_ino), status.st_size, status.st_mtime_ns, status.st_nlink, taken
    )


def _way(directory: Directory) -> str:
    return "/".join(level.name for level in directory.levels[1:])
