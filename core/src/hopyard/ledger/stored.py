"""Stored JSON texts, as values for people and programs to read: whatever stands there, something comes back.

What comes back can be written as strict JSON: a number that no reader takes (NaN, Infinity, one of thousands
of digits) comes back as its text, and so does a text that is no JSON.
"""

from __future__ import annotations

import json
import math
from typing import Any, Final

from hopyard.ledger.values import plain_text

#: Python reads no longer numbers, and other readers not even these.
_DIGITS: Final = 4000


def _int(text: str) -> int | str:
    return int(text) if len(text) <= _DIGITS else text


def _float(text: str) -> float | str:
    number = float(text)
    return number if math.isfinite(number) else text


def value(text: str | None) -> Any:
    """Return the value of a stored JSON text; None where there is none."""
    if not text:
        return None
    try:
        found = json.loads(text, parse_int=_int, parse_float=_float, parse_constant=str)
        return _plain(found) if "\\u" in text else found
    except (ValueError, RecursionError):
        return plain_text(text)


def within(text: str) -> str:
    """Return a text as it stands within stored JSON."""
    return json.dumps(text)[1:-1]


def record(text: str | None) -> dict[str, Any]:
    """Return a stored JSON object; what is none comes back as its `message`."""
    found = value(text)
    if isinstance(found, dict):
        return found
    return {} if found is None else {"message": str(found)}


def entries(text: str | None) -> list[dict[str, Any]]:
    """Return a stored list of JSON objects."""
    found = value(text)
    items = found if isinstance(found, list) else [] if found is None else [found]
    return [item if isinstance(item, dict) else {"message": str(item)} for item in items]


def arguments(body: str | None) -> Any:
    """Return a job's arguments from its body: by name, or with the key `args` where some have no name."""
    found = value(body)
    match found:
        case [list(args), dict(kwargs), *_]:
            return kwargs if not args else {"args": args, **kwargs}
    return found


def _plain(found: Any) -> Any:
    """Return a value without halves of characters, which no text can be written with."""
    if isinstance(found, str):
        return plain_text(found)
    if isinstance(found, list):
        return [_plain(item) for item in found]
    if isinstance(found, dict):
        return {plain_text(key): _plain(item) for key, item in found.items()}
    return found
