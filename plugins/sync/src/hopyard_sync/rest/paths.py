"""Paths into JSON, such as `data.items` or `lines.0.sku`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

MISSING: Final = object()
"""What a path that leads nowhere gives."""


def at(value: Any, path: str) -> Any:
    """Return what is at a path, `MISSING` if nothing is; the empty path is the value itself.

    Parts are names, or numbers where there is a list.
    """
    for part in path.split(".") if path else ():
        if isinstance(value, Mapping) and part in value:
            value = value[part]
        elif isinstance(value, list) and part.isdecimal() and int(part[:9]) < len(value):
            value = value[int(part[:9])]
        else:
            return MISSING
    return value
