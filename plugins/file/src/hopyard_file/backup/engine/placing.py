"""Making files below a directory, each through open folders, beside its place first and then in it."""

from __future__ import annotations

import errno
import hashlib
import os
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from hopyard import trees

from hopyard_file.backup.engine.manifest import Entry

NEW: Final = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_DIRECTORY: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_HOLE: Final = 4_096
#: Some file systems keep times in steps of two seconds.
_COARSE: Final = 2 * 10**9
_OTHER_TIME: Final = "it is restored, but its time is one that this file system cannot keep"
_NO_HARD_LINKS: Final = frozenset({errno.EPERM, errno.EOPNOTSUPP, errno.EMLINK})


@dataclass(frozen=True, slots=True)
class Opened:
    """A descriptor that `contextlib.closing` closes."""

    descriptor: int

    def close(self) -> None:
        """Close it."""
        os.close(self.descriptor)


def make_target(path: str) -> None:
    """Make a directory if it is not there. Raises `InvalidInput` for links in its path, `OSError`."""
    above, _, name = path.rstrip("/").rpartition("/")
    with_above = trees.open_directory(above or "/")
    try:
        with suppress(FileExistsError):
            os.mkdir(name, 0o700, dir_fd=with_above)
    finally:
        os.close(with_above)
    os.close(trees.open_directory(path))


def open_folder(root: str, path: str) -> int:
    """Return a descriptor of a folder below `root`, no link on the way. Raises `InvalidInput`, `OSError`."""
    descriptor = trees.open_directory(root)
    for name in path.split("/") if path else ():
        try:
            below = os.open(name, _DIRECTORY, dir_fd=descriptor)
        finally:
            os.close(descriptor)
        descriptor = below
    return descriptor


def temporary_name(name: str) -> str:
    """Return what a file is called while it is written; the same each time, so that nothing is left over."""
    return f".hopyard-restore-{hashlib.sha256(os.fsencode(name)).hexdigest()[:16]}"


def put(temporary: str, name: str, above: int, *, replace: bool) -> None:
    """Give a written file its name. Raises `FileExistsError` if it is taken, unless `replace`."""
    if replace:
        os.replace(temporary, name, src_dir_fd=above, dst_dir_fd=above)
        return
    try:
        os.link(temporary, name, src_dir_fd=above, dst_dir_fd=above)
    except OSError as error:
        if error.errno not in _NO_HARD_LINKS:
            raise
        # A file system without hard links: it was looked at a moment ago.
        os.rename(temporary, name, src_dir_fd=above, dst_dir_fd=above)
        return
    os.unlink(temporary, dir_fd=above)


def set_attributes(descriptor: int, entry: Entry, *, owners: bool) -> str | None:
    """Set mode and time; with `owners` the owner and set-user-id bits as well.

    Returns a note where the time cannot be kept here. Raises `OSError`, and `OverflowError` for an owner that
    no system has.
    """
    mode = entry.mode & 0o777
    if owners:
        os.fchown(descriptor, entry.uid, entry.gid)
        mode = entry.mode & 0o7777
    os.fchmod(descriptor, mode)
    try:
        os.utime(descriptor, ns=(entry.modified, entry.modified))
    except (OSError, OverflowError):
        return _OTHER_TIME
    kept = os.fstat(descriptor).st_mtime_ns
    return _OTHER_TIME if abs(kept - entry.modified) > _COARSE else None


def read_exactly(descriptor: int, length: int) -> bytes:
    """Return the next `length` bytes, fewer at the end of the file."""
    parts = []
    while length > 0 and (part := os.read(descriptor, length)):
        parts.append(part)
        length -= len(part)
    return b"".join(parts)


def write_or_skip(descriptor: int, data: bytes) -> None:
    """Write; what is only zeros becomes a hole, as it was in a sparse file."""
    if len(data) >= _HOLE and not data.strip(b"\0"):
        os.lseek(descriptor, len(data), os.SEEK_CUR)
        return
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]
