"""Where pictures end: what stands behind that belongs to something else."""

from __future__ import annotations

import re
from typing import Final

#: Some programs fill up the last bytes; more than this is no filling.
_SPARE: Final = 16
#: With what other kinds of files begin, or are known by.
_OTHERS: Final = re.compile(rb"%PDF-|<\?php|<script\b|<html\b|\x7fELF|PK\x03\x04|\AMZ|#!/", re.IGNORECASE)


def behind(name: str, data: bytes) -> str | None:
    """Say what stands behind the end of a picture; None where there is nothing, or nothing that is told.

    Of PNG, GIF and BMP nothing may stand there. Cameras put pictures and films behind those in JPEG: of what
    is there only what begins as another kind of file is told.
    """
    if name == "jpeg":
        at = data.rfind(b"\xff\xd9")
        found = _OTHERS.search(data, at + 2) if at >= 0 else None
        return f"{found.group().decode('latin-1')!r}" if found else None
    ends = {"png": _png, "gif": _gif, "bmp": _bmp}
    end = ends[name](data) if name in ends else None
    if end is None or len(data) - end <= _SPARE or not data[end:].strip(b"\0"):
        return None
    return f"{len(data) - end:,} bytes"


def _png(data: bytes) -> int | None:
    """Return where a PNG ends: behind its chunk IEND (PNG specification, 5.3)."""
    at = 8
    while at + 12 <= len(data):
        size, kind = int.from_bytes(data[at : at + 4], "big"), data[at + 4 : at + 8]
        at += 12 + size
        if kind == b"IEND":
            return min(at, len(data))
    return None


def _bmp(data: bytes) -> int | None:
    """Return where a BMP ends, as its header says."""
    size = int.from_bytes(data[2:6], "little")
    return size if 14 < size <= len(data) else None


def _gif(data: bytes) -> int | None:
    """Return where a GIF ends: behind its trailer (GIF89a specification, 27)."""
    if len(data) < 13:
        return None
    at = 13 + _colours(data[10])
    while at < len(data):
        mark = data[at]
        if mark == 0x3B:
            return at + 1
        if mark == 0x21:
            at = _blocks(data, at + 2)
        elif mark == 0x2C and at + 10 <= len(data):
            at = _blocks(data, at + 10 + _colours(data[at + 9]) + 1)
        else:
            return None
    return None


def _colours(flags: int) -> int:
    return 3 * 2 ** ((flags & 7) + 1) if flags & 0x80 else 0


def _blocks(data: bytes, at: int) -> int:
    """Return where a row of data blocks ends."""
    while at < len(data) and data[at]:
        at += data[at] + 1
    return at + 1
