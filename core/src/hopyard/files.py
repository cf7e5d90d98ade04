"""Reading files that settings, the command line or a data directory name: regular ones, of a limited size.

Whatever else a name may lead to (a device, a named pipe, a directory) would be
read without end, or waited for.
"""

from __future__ import annotations

import errno
import io
import os
import stat
from pathlib import Path
from typing import Final

#: The largest settings file and `hopfile.py`, in bytes.
MAX_SOURCE: Final = 4_000_000
#: The largest file that `{ file = … }` names, and those of a data directory, in bytes.
MAX_VALUE: Final = 1_000_000

_KINDS: Final = (
    (stat.S_ISDIR, "a directory"),
    (stat.S_ISFIFO, "a named pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)


def read(path: Path, limit: int) -> bytes:
    """Return what is in a regular file of at most `limit` bytes; links are followed.

    Raises OSError, whose `strerror` says what stands there, for anything else; ValueError for what is no
    path.
    """
    # Opening a named pipe waits for somebody who writes, unless one says not to.
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY)
    except OSError as error:
        if error.errno != errno.ENXIO:
            raise
        raise _refused(path, "a socket, no regular file") from None
    with open(descriptor, "rb") as file:
        mode = os.fstat(descriptor).st_mode
        if not stat.S_ISREG(mode):
            kind = next((name for is_one, name in _KINDS if is_one(mode)), "something else")
            raise _refused(path, f"{kind}, no regular file")
        found = file.read(limit + 1)
    if len(found) > limit:
        raise _refused(path, f"more than {limit:,} bytes")
    return found


def read_text(path: Path, limit: int, encoding: str = "utf-8") -> str:
    """Return the text in a file, as `read`; line ends become `\\n`. Raises UnicodeDecodeError, too."""
    return io.TextIOWrapper(io.BytesIO(read(path, limit)), encoding=encoding).read()


def _refused(path: Path, found: str) -> OSError:
    return OSError(errno.EINVAL, found, str(path))
