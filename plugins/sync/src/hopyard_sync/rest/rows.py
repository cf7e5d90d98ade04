"""Rows of an answer: which list, key and columns. What does not fit is set aside, the rest goes on."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from hopyard.errors import InvalidInput

from hopyard_sync.records import Record
from hopyard_sync.rest import cursors
from hopyard_sync.rest.paths import MISSING, at
from hopyard_sync.settings.apis import Increment, Stream
from hopyard_sync.texts import storable


@dataclass(slots=True)
class Rows:
    """What a page has.

    `refused` is what was set aside: name, reason, content; `unread` are the keys of such rows, `nameless` how
    many have none that could be read. `again`: how many rows have the key of another one in the page.
    """

    records: list[Record] = field(default_factory=list)
    refused: list[tuple[str, str, str]] = field(default_factory=list)
    unread: list[str] = field(default_factory=list)
    nameless: int = 0
    again: int = 0
    highest: str | int | float | None = None
    count: int = 0
    late: list[str] = field(default_factory=list)
    """Why rows that were taken do not move the cursor."""


def read(stream: Stream, answer: Any, highest: Any, page: int = 1) -> Rows:
    """Return the rows of an answer. Raises `InvalidInput` where it has no list at the stream's path."""
    found = at(answer, stream.rows)
    if not isinstance(found, list):
        what = "nothing" if found is MISSING else type(found).__name__
        raise InvalidInput(f"{stream.rows or 'the answer'}: found {what}, expected a list of rows")
    rows = Rows(highest=highest, count=len(found))
    for number, row in enumerate(found):
        _add(rows, stream, f"page {page}, row {number}", row)
    rows.again = len(rows.records) - len({record.key for record in rows.records})
    return rows


def _add(rows: Rows, stream: Stream, place: str, row: Any) -> None:
    key = None
    try:
        if not isinstance(row, Mapping):
            raise InvalidInput(f"found {type(row).__name__}, expected an object")
        key = key_of(stream, row)
        record = Record(key, mapped(stream, row))
        if stream.increment is not None:
            _move(rows, stream.increment, row)
    except InvalidInput as error:
        rows.refused.append((key or place, str(error), json.dumps(row, ensure_ascii=False)[:2000]))
        if key is None:
            rows.nameless += 1
        else:
            rows.unread.append(key)
    else:
        rows.records.append(record)


def _move(rows: Rows, increment: Increment, row: Mapping[str, Any]) -> None:
    """Move the cursor. A row whose own is none is taken over all the same, and told of."""
    try:
        rows.highest = cursors.higher(rows.highest, at(row, increment.field), increment)
    except InvalidInput as error:
        rows.late.append(str(error))


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
    if len(key) > 500 or key != storable(key):
        raise InvalidInput(f"{', '.join(stream.keys)}: expected a key of at most 500 characters of text")
    return key


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
