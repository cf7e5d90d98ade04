"""Locks and private files in a data directory."""

from __future__ import annotations

import fcntl
import os
import tempfile
from pathlib import Path


def prepare(data: Path) -> Path:
    """Make the data directory, for its owner only, and return its absolute path. Raises OSError."""
    path = Path(os.path.abspath(data))
    path.mkdir(parents=True, exist_ok=True, mode=0o700)
    if path.stat().st_mode & 0o077:
        path.chmod(0o700)
    return path


def take_lock(path: Path) -> int | None:
    """Return a descriptor that holds the lock until it is closed everywhere; None if another holds it."""
    lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock)
        return None
    return lock


def write_private(path: Path, text: str, *, replace: bool = True) -> bool:
    """Write the file at once and for its owner only; return False if it exists and may not be replaced."""
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")  # mode 0600
    temporary = Path(name)
    try:
        with os.fdopen(descriptor, "w") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        if replace:
            temporary.replace(path)
        else:
            os.link(temporary, path)
    except FileExistsError:
        return False
    finally:
        temporary.unlink(missing_ok=True)
    return True
