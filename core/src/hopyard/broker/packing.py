"""Unpacking message bodies within a limit: a few kilobytes may unpack to more than the machine has."""

from __future__ import annotations

import bz2
import lzma
import zlib
from typing import Any, Final

#: Celery's names for how a body may be packed.
_GZIP: Final = frozenset({"application/x-gzip", "gzip", "zlib", "application/gzip"})
_BZIP2: Final = frozenset({"application/x-bz2", "bzip2", "bzip"})
_LZMA: Final = frozenset({"application/x-lzma", "lzma", "xz"})


def unpack(raw: bytes, compression: object, limit: int) -> bytes:
    """Return an unpacked body of at most `limit` bytes.

    Raises `ValueError` for a larger one, for one that is damaged, and for a compression of another name.
    """
    unpacker = _unpacker(compression)
    try:
        found: bytes = unpacker.decompress(raw, limit + 1)
    except (zlib.error, OSError, EOFError, lzma.LZMAError) as error:
        raise ValueError(str(error)) from None
    if len(found) > limit:
        raise ValueError(f"it has more than {limit:,} bytes: pass a reference instead")
    if not unpacker.eof:
        raise ValueError("it ends too early")
    return found


def _unpacker(compression: object) -> Any:
    if not isinstance(compression, str):
        raise ValueError(f"how it is packed is said by a {type(compression).__name__}, expected a text")
    if compression in _GZIP:
        return zlib.decompressobj(wbits=47)  # with zlib's header or gzip's, whichever it has
    if compression in _BZIP2:
        return bz2.BZ2Decompressor()
    if compression in _LZMA:
        return lzma.LZMADecompressor()
    raise ValueError(f"it is packed as {str(compression)[:80]!r}, expected gzip, bzip2 or lzma")
