"""Reading files below declared folders, never through a link that somebody put there."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

from hopyard.errors import InvalidInput


def read_below(roots: Iterable[Path], name: str, most: int, what: str) -> bytes:
    """Return the content of a regular file below one of the roots, at most `most` bytes.

    `name` is an absolute path below a root, or a path from it. No part of it may be a link, from the root
    on. Raises `InvalidInput`, which names `what`.
    """
    reasons = []
    for root in roots:
        parts = _parts(root, name, what)
        if parts is None:
            continue
        try:
            return _read(root, parts, most)
        except OSError as error:
            reasons.append(f"{root}: {error.strerror}")
        except ValueError as error:
            raise InvalidInput(f"{what}: {name[:200]}: {error}") from None
    reason = "; ".join(reasons) or "it is below none of the declared folders"
    raise InvalidInput(f"{what}: {name[:200]!r} cannot be read: {reason}")


def _parts(root: Path, name: str, what: str) -> tuple[str, ...] | None:
    """Return the way from the root to the file; None where it is elsewhere."""
    if "\0" in name:
        raise InvalidInput(f"{what}: found a NUL in a path")
    path = PurePosixPath(name)
    if path.is_absolute():
        if not path.is_relative_to(root):
            return None
        path = path.relative_to(root)
    if ".." in path.parts or not path.parts:
        raise InvalidInput(f"{what}: found the path {name[:200]!r}, expected one without `..`")
    return path.parts


def _read(root: Path, parts: tuple[str, ...], most: int) -> bytes:
    folder = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        for part in parts[:-1]:
            inner = os.open(part, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder)
            os.close(folder)
            folder = inner
        # Without O_NONBLOCK a pipe in the place of the file would hold us up.
        file = os.open(parts[-1], os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=folder)
    finally:
        os.close(folder)
    with open(file, "rb") as opened:
        if not stat.S_ISREG(os.fstat(file).st_mode):
            raise ValueError("it is no regular file")
        content = opened.read(most + 1)
    if len(content) > most:
        raise ValueError(f"it is larger than {most:,} bytes")
    return content
