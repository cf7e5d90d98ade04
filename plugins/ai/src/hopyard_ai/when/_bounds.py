"""Where a recurrence begins and ends, and instants as machines write them."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from hopyard.errors import ScheduleError

from hopyard_ai.when._clocks import clocks
from hopyard_ai.when._days import days
from hopyard_ai.when._parts import Day, Found, Start
from hopyard_ai.when._tokens import Tokens

_PERIOD_ENDS = {"week": Day(end="week"), "month": Day(end="month"), "year": Day(end="year")}


def untils(tokens: Tokens, at: int) -> Found | None:
    """`until 24 December`, `till friday`, `until the end of the month`, `until 2027-01-01 18:00`."""
    if tokens.word(at) not in ("until", "till", "til", "through", "ending"):
        return None
    begin = at + 1 if tokens.word(at + 1) != "on" else at + 2
    begin += tokens.word(begin) == "the"
    if tokens.word(begin) == "end" and tokens.word(begin + 1) == "of":
        period = (
            tokens.word(begin + 3) if tokens.word(begin + 2) in ("the", "this") else tokens.word(begin + 2)
        )
        end = begin + (4 if tokens.word(begin + 2) in ("the", "this") else 3)
        return Found("until", Start(day=_PERIOD_ENDS[period]), at, end) if period in _PERIOD_ENDS else None
    return _dated("until", tokens, at, begin)


def starts(tokens: Tokens, at: int) -> Found | None:
    """`starting tomorrow`, `from next monday on`, `beginning on 1 March at 9`, `starting at 9`."""
    if tokens.word(at) not in ("starting", "beginning", "from"):
        return None
    begin = at + 1 if tokens.word(at + 1) not in ("from", "on") else at + 2
    if tokens.word(begin) == "now":
        return Found("start", Start(), at, begin + 1, strong=False)
    if tokens.word(at) == "from" and days(tokens, begin) is None:
        return None
    return _dated("start", tokens, at, begin)


def _dated(slot: Literal["until", "start"], tokens: Tokens, at: int, begin: int) -> Found | None:
    day = days(tokens, begin)
    end = day.end if day is not None else begin
    clock = clocks(tokens, end)
    if clock is not None and isinstance(clock.value, tuple) and len(clock.value) == 1:
        end = clock.end
        value = clock.value[0]
    else:
        value = None
    if day is not None and day.slot == "past":
        return Found("past", "", at, day.end)
    if (day is None and value is None) or (day is not None and not isinstance(day.value, Day)):
        return None
    if tokens.word(end) in ("on", "onwards", "onward") and days(tokens, end) is None:
        end += 1
    start = Start(day.value if day is not None and isinstance(day.value, Day) else None, value)
    return Found(slot, start, at, end)


def instants(tokens: Tokens, at: int) -> Found | None:
    """A date and time with its own offset: `2026-12-24T18:00+01:00`."""
    begin = at + 1 if tokens.word(at) in ("at", "on") else at
    if tokens.kind(begin) != "instant":
        return None
    try:
        return Found("instant", datetime.fromisoformat(tokens.word(begin).upper()), at, begin + 1)
    except ValueError as error:
        raise ScheduleError(f"`{tokens.word(begin)}` is no date and time") from error
