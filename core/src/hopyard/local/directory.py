"""The data directory: its own, for its owner only; locks and private files in it."""

from __future__ import annotations

import fcntl
import os
import tempfile
from pathlib import Path

from hopyard.errors import HopyardError

#: What Hopyard puts into a data directory; one that has anything else and none of these is not its own.
_OURS = ("stack.lock", "broker.lock", "broker.json", "broker.sock", "hopyard.db", "run.json", "logs")


def prepare(data: Path) -> Path:
    """Make the data directory, for its owner only, and return its absolute path.

    Raises HopyardError, in one line, for a directory that cannot be made or used, is somebody else's, holds
    links, or is kept for something else: its access rights are to be changed, and files written in it.
    """
    path = Path(os.path.abspath(data))
    try:
        path.mkdir(parents=True, exist_ok=True, mode=0o700)
        _refuse_foreign(path)
        if path.stat().st_mode & 0o077:
            path.chmod(0o700)
        if not os.access(path, os.W_OK | os.X_OK):
            raise _refused(path, "a directory that cannot be written to", "one that belongs to you")
    except (FileExistsError, NotADirectoryError):
        raise _refused(path, "a file where a directory is needed", "the path of a directory") from None
    except OSError as error:
        raise _refused(path, str(error.strerror or error), "a directory that can be used") from error
    return path


def _refuse_foreign(path: Path) -> None:
    here = Path.cwd()
    if path == here or path in here.parents:
        raise _refused(
            path, "the working directory or one around it", f"a directory of its own, as {path / '.hopyard'}"
        )
    entries = check_own(path)
    if entries and not entries & set(_OURS) and not all(name.startswith(".") for name in entries):
        raise _refused(
            path,
            f"files that are not Hopyard's (`{min(entries)}`)",
            f"a directory of its own, as {path / '.hopyard'}",
        )


def check_own(path: Path) -> set[str]:
    """Return the names in a data directory. Raises HopyardError if it is somebody else's, or holds links."""
    if not path.is_dir():
        raise _refused(path, "a file where a directory is needed", "the path of a directory")
    for place in (path.lstat(), path.stat()):
        if place.st_uid != os.geteuid():
            raise _refused(
                path, f"a directory of user {place.st_uid}", f"one of user {os.geteuid()}, who runs this"
            )
    entries = {entry.name: entry.is_symlink() for entry in os.scandir(path)}
    links = [name for name, linked in entries.items() if linked]
    if links:
        raise _refused(path, f"a link in it (`{min(links)}`)", "files of its own")
    return set(entries)


def _refused(path: Path, found: str, expected: str) -> HopyardError:
    return HopyardError(f"data directory {path}: found {found}, expected {expected}")


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
