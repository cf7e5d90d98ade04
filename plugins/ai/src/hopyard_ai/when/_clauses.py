"""Clauses that hold an action back: `but not before 14:02:10`, `not during the next 10 minutes`."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import datetime
from zoneinfo import ZoneInfo

from hopyard.errors import ScheduleError

from hopyard_ai.when import _calendar as calendar
from hopyard_ai.when._numbers import GRAMMAR
from hopyard_ai.when._parser import Parse
from hopyard_ai.when._tokens import tokenize
from hopyard_ai.when._values import Amount, Clock, Spec

_OPENING = re.compile(
    r"(?:,?\s*\b(?:but|and|though)\s+)?(?:\b(?:please\s+)?(?:do\s+)?(?:not|never|no\s+earlier|no\s+sooner)|\bdon['’]t)\s+"
    r"(?:(?:do|run|start|send|act|begin|act\s+on)\s+)?(?:(?:it|this|that)\s+)?"
    r"(?P<kind>before|until|till|than|(?:during|within|for|in)\s+(?:the\s+)?next)\s+",
    re.IGNORECASE,
)


def spans(text: str) -> list[tuple[int, int]]:
    """Where such clauses stand in `text`."""
    return [(first, end) for first, end, _ in _clauses(text)]


def not_before(text: str, now: datetime, zone: ZoneInfo) -> datetime | None:
    """The latest moment before which such clauses forbid to act; None without one, or if all have passed."""
    held = [moment for _, _, found in _clauses(text) if (moment := _moment(found, now, zone)) is not None]
    held = [moment for moment in held if moment > now]
    return max(held) if held else None


def _clauses(text: str) -> list[tuple[int, int, Spec]]:
    clauses = []
    for match in _OPENING.finditer(text):
        tokens = tokenize(text[match.end() :])
        parse = Parse(GRAMMAR, tokens)
        if "next" in match["kind"].lower():
            found = parse.longest("amount", 0) or parse.longest("measure", 0)
            found = (found[0], Spec(delay=found[1])) if found is not None else None
        else:
            found = parse.longest("moment", 0)
        if found is not None:
            clauses.append((match.start(), match.end() + tokens[found[0] - 1].end, found[1]))
    return clauses


def _moment(spec: Spec, now: datetime, zone: ZoneInfo) -> datetime | None:
    if spec.refused is not None:
        raise ScheduleError(spec.refused)
    if isinstance(spec.delay, Amount):
        return calendar.after(now, spec.delay, None, zone)
    if spec.instant is not None:
        return spec.instant
    timed = spec.clocks is not None or spec.part is not None
    clock = calendar.clock_of(spec.clocks or (), spec.part) if timed else Clock(0)
    if spec.day is None:  # a time of day alone means today's: once it has passed, nothing is held back
        return calendar.at_wall(now.astimezone(zone).date(), replace(clock, plain=False), zone)
    try:
        return calendar.next_on(spec.day, clock, now, zone)
    except ScheduleError:
        return None  # that day has passed: it holds nothing back any more
