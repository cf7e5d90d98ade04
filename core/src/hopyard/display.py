"""Text and JSON as they leave the process: secrets masked, and nothing in them that a terminal would obey.

All that comes from outside (titles, results, errors, messages of servers) goes through `printable` or
`to_json` before it is printed or logged.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass
from datetime import date, datetime
from enum import Enum
from functools import partial
from pathlib import PurePath
from typing import Any
from uuid import UUID

from hopyard.redaction import MASK, redact

__all__ = ["plain", "printable", "to_json"]

_DEEPEST = 100  # lists and tables within one another that are written out
_LONGEST_INT = 14_000  # bits: Python and many readers of JSON refuse numbers of more than some 4,300 digits

# Control characters (C0, DEL, C1) begin sequences that move the cursor, set titles or type for the user;
# those of writing direction show a text in another order than it has. Line breaks and tabs stay.
_OBEYED = [
    *range(0x20),
    *range(0x7F, 0xA0),
    0x061C,
    0x200E,
    0x200F,
    *range(0x202A, 0x202F),
    *range(0x2066, 0x206A),
]
_SHOWN = {
    code: f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" for code in _OBEYED if code not in (9, 10)
}
_ESCAPED = {code: f"\\u{code:04x}" for code in (*_OBEYED[0x20:], 0x2028, 0x2029)}
_HALVES = dict.fromkeys(range(0xD800, 0xE000), "\N{REPLACEMENT CHARACTER}")


def printable(text: str) -> str:
    """Return `text` for a terminal: secrets masked, control characters written out as `\\x1b`."""
    text = redact(text)
    return text if text.isascii() and text.isprintable() else _whole(text).translate(_SHOWN)


def to_json(data: Any, *, indent: int | None = None, other: Callable[[Any], str] | None = None) -> str:
    """Return `data` as strict JSON (RFC 8259) that is safe to print.

    What strict JSON cannot say is said as text: NaN, infinities, numbers of thousands of digits. What has no
    JSON form is given to `other`; without it TypeError is raised.
    """
    text = json.dumps(plain(data, other=other), ensure_ascii=False, allow_nan=False, indent=indent)
    return text if text.isascii() else text.translate(_ESCAPED)


def plain(value: Any, depth: int = _DEEPEST, other: Callable[[Any], str] | None = None) -> Any:
    """Return a value as JSON knows it, secrets in its texts masked.

    Dataclasses, pydantic models, paths, times, enums and sets may be in it anywhere; what is nested deeper
    than 100 levels is left out.
    """
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, Enum):
        return plain(value.value, depth, other)
    if isinstance(value, str):
        return _whole(redact(value))
    if isinstance(value, int):
        return int(value) if value.bit_length() <= _LONGEST_INT else hex(value)
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else str(float(value))
    if depth == 0:
        return "…"
    return _container(value, partial(plain, depth=depth - 1, other=other), other)


def _container(value: Any, inner: Callable[[Any], Any], other: Callable[[Any], str] | None) -> Any:
    if isinstance(value, Mapping):
        return {_whole(redact(str(name))): inner(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [inner(one) for one in value]
    if isinstance(value, set | frozenset):
        return [inner(one) for one in sorted(value, key=str)]
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: inner(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, datetime | date):
        return value.isoformat()
    if isinstance(value, PurePath | UUID):
        return _whole(redact(str(value)))
    if hasattr(value, "model_dump"):
        return inner(value.model_dump(mode="json"))
    if hasattr(value, "get_secret_value"):
        return MASK
    if other is not None:
        return _whole(redact(other(value)))
    raise TypeError(f"{type(value).__name__} has no JSON form")


def _whole(text: str) -> str:
    """Return `text` without halves of characters (lone surrogates), which cannot be encoded."""
    return text if text.isascii() else text.translate(_HALVES)
