"""Whether JSON text says what a value said: numbers that JSON has not, and keys that fall together."""

from __future__ import annotations

import json
import math
from collections import deque
from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Final

from hopyard.errors import PayloadError

#: What the serializer makes of the keys NaN and infinity.
_NO_KEYS: Final = ('"None":', '"nan":', 'inf":')


def check(text: str, value: Any, what: str, *, keys: bool) -> None:
    """Raise `PayloadError` if `text`, a value's JSON, does not say what the value says.

    NaN and the infinities are `null` in it, or a word that other readers of JSON refuse, or as a key the text
    `None`. Keys that are one text, such as 1 and "1", stand there twice, and every reader drops one of them.
    `keys` says whether the value may have keys that are no texts.
    """
    if ("null" in text or "NaN" in text or "Infinity" in text) and (fault := _nonfinite(value)):
        raise PayloadError(f"{what}: found {fault}, which JSON cannot say: pass None, or a text")
    if not keys or "{" not in text:
        return
    try:
        _DECODER.decode(text)
    except _Twice as twice:
        raise PayloadError(
            f"{what}: the key {str(twice)[:80]!r} is there twice, as a text and as something else: all keys "
            "of JSON are texts, and one of them would be lost"
        ) from None
    if any(key in text for key in _NO_KEYS) and (fault := _nonfinite(value)):
        raise PayloadError(f"{what}: found {fault}, which JSON cannot say: pass a text")


class _Twice(Exception):
    """A key that is in one object twice."""


def _look(pairs: list[tuple[str, Any]]) -> None:
    if len(pairs) > 1 and len(dict(pairs)) < len(pairs):
        names = [key for key, _ in pairs]
        raise _Twice(next(key for key in names if names.count(key) > 1))


# Texts for numbers: making numbers of them costs, and some have too many digits.
_DECODER: Final = json.JSONDecoder(object_pairs_hook=_look, parse_int=str, parse_float=str)


def _nonfinite(value: Any) -> str | None:
    """Return what within a value is NaN or an infinity, in words; None if nothing is."""
    if isinstance(value, float):
        return None if math.isfinite(value) else "NaN or an infinity"
    if isinstance(value, Decimal):
        return None if value.is_finite() else "NaN or an infinity"
    if isinstance(value, Mapping):
        for key, part in value.items():
            if _nonfinite(key):
                return f"the key {str(key)[:80]}"
            if fault := _nonfinite(part):
                return fault
        return None
    if isinstance(value, list | tuple | set | frozenset | deque):
        return next(filter(None, map(_nonfinite, value)), None)
    fields = getattr(value, "__dict__", None)  # of models and dataclasses
    return _nonfinite(fields) if isinstance(fields, dict) else None


#: Kinds of core schemas in which no key hides.
_WITHOUT_KEYS: Final = frozenset(
    {"int", "float", "str", "bool", "none", "list", "tuple", "set", "frozenset", "nullable", "union"}
    | {
        "bytes",
        "date",
        "time",
        "datetime",
        "timedelta",
        "decimal",
        "uuid",
        "literal",
        "enum",
        "url",
        "default",
    }
    | {"model", "model-fields", "model-field", "dataclass", "dataclass-args", "dataclass-field"}
    | {"typed-dict", "typed-dict-field", "definitions", "definition-ref", "arguments", "call"}
)


def loose_keys(schema: Any) -> bool:
    """Say whether what a core schema describes may hold a mapping with keys that are no texts."""
    if isinstance(schema, list | tuple):
        return any(map(loose_keys, schema))
    if not isinstance(schema, Mapping):
        return False
    kind = schema.get("type")
    if kind == "dict":
        keys = schema.get("keys_schema", {})
        return keys.get("type") != "str" or loose_keys(schema.get("values_schema"))
    if isinstance(kind, str) and kind not in _WITHOUT_KEYS:
        return True
    inner = (part for name, part in schema.items() if name not in ("metadata", "config", "serialization"))
    return "serialization" in schema or any(map(loose_keys, inner))
