"""The body of a stock producer's message as JSON text: decoded and unpacked, within limits."""

from __future__ import annotations

import base64
import binascii
from typing import Any, Final

from hopyard.broker.packing import unpack
from hopyard.tasks.payload import MAX_BYTES

#: Encodings that decode in linear time; JSON comes in these.
_ENCODINGS: Final = frozenset(
    {"utf-8", "utf8", "us-ascii", "ascii", "latin-1", "latin1", "iso-8859-1", "binary"}
)
_JSON: Final = frozenset({"application/json", "json"})


class Unreadable(Exception):
    """Why a body cannot be read."""


def body_text(
    body: Any, content_type: Any, content_encoding: Any, compression: Any, *, in_base64: bool
) -> str:
    """Return a body as text. Raises `Unreadable`."""
    if not isinstance(content_type, str) or content_type not in _JSON:
        raise Unreadable(f"its content type is {str(content_type)[:80]!r}, expected application/json")
    if not isinstance(body, str | bytes | bytearray | memoryview):
        raise Unreadable(f"its body is a {type(body).__name__}, expected text")
    if len(body) > 2 * MAX_BYTES:
        raise _too_large()
    if isinstance(body, str) and not in_base64 and compression is None:
        text = body
    else:
        text = _decoded(_unpacked(_bytes(body, in_base64), compression), content_encoding)
    if len(text) > MAX_BYTES or len(text.encode(errors="surrogatepass")) > MAX_BYTES:
        raise _too_large()
    return text


def _bytes(body: Any, in_base64: bool) -> bytes:
    raw = body.encode(errors="replace") if isinstance(body, str) else bytes(body)
    if not in_base64:
        return raw
    try:
        return base64.b64decode(raw)
    except (binascii.Error, ValueError) as error:
        raise Unreadable(f"its body is no base64: {error}") from None


def _unpacked(raw: bytes, compression: Any) -> bytes:
    if compression is None:
        return raw
    try:
        return unpack(raw, compression, MAX_BYTES)
    except ValueError as error:
        raise Unreadable(f"its body cannot be unpacked: {error}") from None


def _decoded(raw: bytes, encoding: Any) -> str:
    name = "utf-8" if encoding is None else encoding
    if not isinstance(name, str) or name.lower() not in _ENCODINGS:
        raise Unreadable(f"its encoding is {str(name)[:80]!r}, expected utf-8")
    if len(raw) > MAX_BYTES:
        raise _too_large()
    try:
        return raw.decode("utf-8" if name == "binary" else name)
    except UnicodeError as error:
        raise Unreadable(f"its body is no text: {error}"[:300]) from None


def _too_large() -> Unreadable:
    return Unreadable(f"its body has more than {MAX_BYTES:,} bytes: pass a reference instead")
