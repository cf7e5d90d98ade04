"""Clauses that hold an action back: `but not before 14:02:10`, `not during the next 10 minutes`."""

from __future__ import annotations

import re
from datetime import datetime
from zoneinfo import ZoneInfo

from hopyard.errors import ScheduleError

from hopyard_ai.when import _moments as moments
from hopyard_ai.when._clocks import amount, clocks, parts
from hopyard_ai.when._days import days
from hopyard_ai.when._parts import Amount, Clock, Day, Found
from hopyard_ai.when._tokens import Tokens, tokenize

_OPENING = re.compile(
    r"(?:,?\s*\b(?:but|and|though)\s+)?(?:\b(?:please\s+)?(?:do\s+)?(?:not|never|no\s+earlier|no\s+sooner)|\bdon['’]t)\s+"
    r"(?:(?:do|run|start|send|act|begin|act\s+on)\s+)?(?:(?:it|this|that)\s+)?"
    r"(?P<kind>before|until|till|than|(?:during|within|for|in)\s+(?:the\s+)?next)\s+",
    re.IGNORECASE,
)


def spans(text: str) -> list[tuple[int, int]]:
    """Where such clauses stand in `text`."""
    return [(first, end) for first, end, _, _ in _clauses(text)]


def not_before(text: str, now: datetime, zone: ZoneInfo) -> datetime | None:
    """The latest moment before which such clauses forbid to act; None without one, or if all have passed."""
    held = [moment for _, _, kind, found in _clauses(text) for moment in _moment(kind, found, now, zone)]
    held = [moment for moment in held if moment > now]
    return max(held) if held else None


def _clauses(text: str) -> list[tuple[int, int, str, list[Found]]]:
    clauses = []
    for match in _OPENING.finditer(text):
        tokens = tokenize(text[match.end() :])
        kind = "next" if "next" in match["kind"].lower() else "before"
        found, used = _read(tokens, kind)
        if found:
            clauses.append((match.start(), match.end() + tokens[used - 1].end, kind, found))
    return clauses


def _read(tokens: Tokens, kind: str) -> tuple[list[Found], int]:
    found: list[Found] = []
    used = 0
    if kind == "next":
        length = amount(tokens, 0)
        if length is None:  # "the next hour"
            length = amount(Tokens([*tokenize("one"), *tokens]), 0)
            length = (length[0], length[1] - 1) if length is not None else None
        return ([Found("delay", length[0], 0, length[1])], length[1]) if length is not None else ([], 0)
    while used < len(tokens):
        begin = used + 1 if tokens.word(used) in (",", "at") and used else used
        as_time = Tokens([*tokenize("at"), *tokens[begin:]])  # "before 9" means a time of day
        day = days(tokens, begin)
        clock = clocks(as_time, 0) if tokens.kind(begin) != "date" else None
        part = parts(tokens, begin)
        if day is not None and isinstance(day.value, Day):
            found.append(day)
            used = day.end
        elif clock is not None:
            found.append(clock)
            used = begin + clock.end - 1
        elif part is not None:
            found.append(part)
            used = part.end
        else:
            break
    return found, used


def _moment(kind: str, found: list[Found], now: datetime, zone: ZoneInfo) -> list[datetime]:
    values = {item.slot: item.value for item in found}
    length, day, part = values.get("delay"), values.get("day"), values.get("part")
    if isinstance(length, Amount):
        return [moments.after(now, length, None, zone)]
    given = values.get("clock")
    named = part if isinstance(part, str) else None
    wanted = moments.clock_of(given if isinstance(given, tuple) else (), named)
    if isinstance(day, Day):
        if not isinstance(given, tuple) and named is None:
            wanted = Clock(0)
        try:
            return [moments.next_on(day, wanted, now, zone)]
        except ScheduleError:
            return []  # that day has passed: it holds nothing back any more
    # A time of day alone means today's: once it has passed, nothing is held back.
    return [moments.at_wall(now.astimezone(zone).date(), wanted, zone)]
