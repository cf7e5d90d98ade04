"""Values that JSON has no form for, as kombu writes them: `{"__type__": "datetime", "__value__": "2030-…"}`.

Stock producers send datetimes, decimals, UUIDs and bytes so. Two kinds are ours: what an error link with the
arguments `(request, exc, traceback)` is told.
"""

from __future__ import annotations

import json
from functools import partial
from typing import Any, Final

from hopyard.errors import PayloadError

#: Text that holds no such value does not contain this.
TAG: Final = '"__type__"'
_KEYS: Final = {"__type__", "__value__"}
REQUEST: Final = "hopyard.request"
ERROR: Final = "hopyard.error"


def tagged(kind: str, value: Any) -> dict[str, Any]:
    """Return a value with its kind, as JSON can hold it."""
    return {"__type__": kind, "__value__": value}


def dumps(value: Any) -> str:
    """Return JSON text in which such values are tagged. Raises `TypeError` or `ValueError`."""
    from kombu.utils import json as kombu_json

    text: str = kombu_json.dumps(value, allow_nan=False)  # type: ignore[no-untyped-call]
    return text


def loads(text: str) -> Any:
    """Read JSON text. What is tagged with an unknown kind, or is none of its kind, stays as it is."""
    return json.loads(text, object_hook=_untagged)


def check_none(text: str, what: str) -> None:
    """Raise `PayloadError` for JSON that would be read as something else: an object like a tagged value."""
    if TAG in text:
        json.loads(text, object_hook=partial(_refuse, what))


def _refuse(what: str, found: dict[str, Any]) -> dict[str, Any]:
    if found.keys() == _KEYS:
        raise PayloadError(
            f"{what} is an object with the names `__type__` and `__value__` and no others, as Celery writes "
            "what JSON has no form for: expected another form"
        )
    return found


def _untagged(found: dict[str, Any]) -> Any:
    if found.keys() != _KEYS:
        return found
    kind, value = found["__type__"], found["__value__"]
    try:
        if kind == ERROR:
            return _error(value)
        if kind == REQUEST:
            return _request(value)
        return _kombus(found)
    except (ValueError, TypeError, AttributeError, ArithmeticError):
        return found


def _kombus(found: dict[str, Any]) -> Any:
    from kombu.utils import json as kombu_json

    return kombu_json.object_hook(found)


def _error(told: dict[str, Any]) -> Exception:
    from hopyard.errors import JobFailed

    message = f"{told.get('kind')}: {told.get('message')}"
    return JobFailed(message, kind=str(told.get("kind", "")), category=told.get("category", "bug"))


def _request(told: dict[str, Any]) -> Any:
    from celery.app.task import Context

    return Context(told)
