"""Rows of an answer: which list, key and columns. What does not fit is set aside, the rest goes on."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from hopyard.errors import InvalidInput

from hopyard_sync.records import Record
from hopyard_sync.rest.paths import MISSING, at
from hopyard_sync.settings.apis import Increment, Stream


@dataclass(slots=True)
class Rows:
    """What a page has: records, what was set aside (name, reason, content), the highest cursor."""

    records: list[Record] = field(default_factory=list)
    refused: list[tuple[str, str, str]] = field(default_factory=list)
    highest: str | int | float | None = None
    count: int = 0


def read(stream: Stream, answer: Any, highest: Any) -> Rows:
    """Return the rows of an answer. Raises `InvalidInput` where it has no list at the stream's path."""
    found = at(answer, stream.rows)
    if not isinstance(found, list):
        what = "nothing" if found is MISSING else type(found).__name__
        raise InvalidInput(f"{stream.rows or 'the answer'}: found {what}, expected a list of rows")
    rows = Rows(highest=highest, count=len(found))
    for number, row in enumerate(found):
        _add(rows, stream, number, row)
    return rows


def _add(rows: Rows, stream: Stream, number: int, row: Any) -> None:
    name = f"row {number}"
    try:
        if not isinstance(row, Mapping):
            raise InvalidInput(f"found {type(row).__name__}, expected an object")
        name = key_of(stream, row)
        record = Record(name, mapped(stream, row))
        if stream.increment is not None:
            rows.highest = higher(rows.highest, at(row, stream.increment.field), stream.increment)
    except InvalidInput as error:
        rows.refused.append((name, str(error), json.dumps(row, ensure_ascii=False)[:2000]))
    else:
        rows.records.append(record)


def key_of(stream: Stream, row: Mapping[str, Any]) -> str:
    """Return what a row is known by; of several parts a JSON list. Raises `InvalidInput` without one."""
    parts = []
    for path in stream.keys:
        value = at(row, path)
        if isinstance(value, bool) or not isinstance(value, str | int) or value == "":
            shown = "nothing" if value is MISSING else repr(value)[:60]
            raise InvalidInput(f"{path}: found {shown}, expected the key: text or a whole number")
        parts.append(value)
    key = str(parts[0]) if len(parts) == 1 else json.dumps(parts, ensure_ascii=False)
    if len(key) > 500 or "\0" in key:
        raise InvalidInput(f"{', '.join(stream.keys)}: expected a key of at most 500 characters without NUL")
    return key.encode(errors="replace").decode()


def mapped(stream: Stream, row: Mapping[str, Any]) -> Any:
    """Return what is stored of a row. Raises `InvalidInput` where a required column is missing."""
    if not stream.columns:
        for name in stream.required:
            _present(name, at(row, name))
        return row
    values = {name: at(row, path) for name, path in stream.columns.items()}
    for name in stream.required:
        _present(name, values.get(name, MISSING))
    return {name: None if value is MISSING else value for name, value in values.items()}


def _present(name: str, value: Any) -> None:
    if value is MISSING or value is None:
        raise InvalidInput(f"{name}: found nothing, expected a value (`required`)")


def higher(before: Any, value: Any, increment: Increment) -> Any:
    """Return the higher of two cursors. Raises `InvalidInput` for what cannot be compared."""
    where = increment.field
    if isinstance(value, bool) or not isinstance(value, str | int | float) or value == "":
        raise InvalidInput(
            f"{where}: found {'nothing' if value is MISSING else repr(value)[:60]}, expected a cursor"
        )
    if before is None:
        return value
    if isinstance(before, str) != isinstance(value, str):
        raise InvalidInput(
            f"{where}: found {str(value)[:60]!r} beside {str(before)[:60]!r}: expected one type"
        )
    if isinstance(value, str):
        return max(before, value, key=_comparable)
    return max(before, value)


def _comparable(text: str) -> tuple[int, float, str]:
    moment = _moment(text)
    return (0, 0.0, text) if moment is None else (1, moment.timestamp(), text)


def since(increment: Increment, cursor: Any) -> str | None:
    """Return what the parameter says: the last cursor, set back by the overlap if it is a time."""
    if cursor is None:
        return None if increment.start is None else str(increment.start)
    moment = _moment(cursor) if isinstance(cursor, str) and increment.overlap else None
    if moment is not None:
        earlier = (moment - timedelta(seconds=increment.overlap)).isoformat()
        return earlier.replace("+00:00", "Z") if str(cursor).endswith("Z") else earlier
    if increment.overlap and isinstance(cursor, int | float):
        return str(type(cursor)(cursor - increment.overlap))
    return str(cursor)


def _moment(text: str) -> datetime | None:
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        return None
    return found if found.tzinfo is not None else None
