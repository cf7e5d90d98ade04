"""The cursors of streams that grow: which of two is higher, and one a little before another.

A cursor is a number, or text that is a number, a time (ISO 8601, or as in mail headers), or neither; such
texts are compared as they are. All of one stream are of one kind.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from email.utils import format_datetime, parsedate_to_datetime
from typing import Any, Final, Literal

from hopyard.errors import InvalidInput
from hopyard.storage import utcnow

from hopyard_sync.rest.paths import MISSING
from hopyard_sync.settings.apis import Increment

_NUMBER: Final = re.compile(r"-?[0-9]{1,60}(?:\.[0-9]{1,60})?")
#: A time further ahead than this is a slip: as a cursor it would hide all that comes before it.
_AHEAD: Final = timedelta(days=1)
_LONGEST: Final = 1000


@dataclass(frozen=True, slots=True)
class _Cursor:
    kind: Literal["number", "time", "text"]
    rank: Any
    earlier: Callable[[float], str | int | float]
    """The cursor so many seconds, or so much, before it."""
    moment: datetime | None = None


def higher(before: Any, value: Any, increment: Increment) -> Any:
    """Return the higher of two cursors. Raises `InvalidInput` for what is none, or cannot be compared.

    A time that lies ahead by more than a day moves no cursor.
    """
    where = increment.field
    found = _read(value, where)
    if found.moment is not None and found.moment > utcnow() + _AHEAD:
        raise InvalidInput(f"{where}: found {str(value)[:60]!r}, which lies ahead: expected a time until now")
    if before is None:
        return value
    known = _read(before, where)
    if known.kind != found.kind:
        raise InvalidInput(
            f"{where}: found {str(value)[:60]!r} beside {str(before)[:60]!r}: expected cursors of one kind"
        )
    return value if found.rank > known.rank else before


def since(increment: Increment, cursor: Any) -> str | None:
    """Return what the parameter says: the last cursor, set back by the overlap.

    Raises `InvalidInput` for a cursor that cannot be set back.
    """
    if cursor is None:
        return None if increment.start is None else str(increment.start)
    if not increment.overlap:
        return str(cursor)
    try:
        return str(_read(cursor, increment.field).earlier(increment.overlap))
    except OverflowError:  # there is no time before it
        return str(cursor)


def _read(value: Any, where: str) -> _Cursor:
    if isinstance(value, bool) or not isinstance(value, str | int | float) or value == "":
        found = "nothing" if value is MISSING else repr(value)[:60]
        raise InvalidInput(f"{where}: found {found}, expected a cursor: a number or text")
    if isinstance(value, int | float):
        if not math.isfinite(value):
            raise InvalidInput(f"{where}: found {value}, expected a number")
        return _Cursor("number", Decimal(value), lambda by: type(value)(value - by))
    if len(value) > _LONGEST:
        raise InvalidInput(f"{where}: found {len(value)} characters, expected a cursor of at most {_LONGEST}")
    if _NUMBER.fullmatch(value):
        number = Decimal(value)
        return _Cursor("number", number, lambda by: f"{(number - Decimal(str(by))).normalize():f}")
    return _time(value) or _Cursor("text", value, lambda by: _no_overlap(value, where))


def _no_overlap(value: str, where: str) -> str:
    raise InvalidInput(
        f"{where}: found {value[:60]!r}, expected a time or a number, which `overlap` sets back"
    )


def _time(text: str) -> _Cursor | None:
    if re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", text):
        return _day(text)
    try:
        found = datetime.fromisoformat(text)
        return _Cursor("time", _aware(found), lambda by: _iso(found, by, text), _aware(found))
    except ValueError:
        pass
    try:
        mail = parsedate_to_datetime(text)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    return _Cursor(
        "time", _aware(mail), lambda by: format_datetime(mail - timedelta(seconds=by)), _aware(mail)
    )


def _day(text: str) -> _Cursor | None:
    try:
        day = date.fromisoformat(text)
    except ValueError:
        return None
    moment = datetime(day.year, day.month, day.day, tzinfo=UTC)
    return _Cursor(
        "time", moment, lambda by: (day - timedelta(days=math.ceil(by / 86_400))).isoformat(), moment
    )


def _iso(found: datetime, by: float, text: str) -> str:
    earlier = (found - timedelta(seconds=by)).isoformat()
    return earlier.replace("+00:00", "Z") if text.endswith("Z") else earlier


def _aware(value: datetime) -> datetime:
    """Return a moment that can be compared; one without a zone is taken for UTC."""
    return value if value.tzinfo is not None else value.replace(tzinfo=UTC)
