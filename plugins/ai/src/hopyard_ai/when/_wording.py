"""What was understood, in words that a person can check."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from zoneinfo import ZoneInfo

from hopyard_ai.when._parts import Clock, Nth, Repeat
from hopyard_ai.when._tokens import DAY_NAMES, MONTH_NAMES

_UNITS = ((86400, "day"), (3600, "hour"), (60, "minute"), (1, "second"))
_PERIODS = {"DAILY": "day", "WEEKLY": "week", "MONTHLY": "month", "YEARLY": "year"}
_NUMBERS = {1: "first", 2: "second", 3: "third", 4: "fourth", 5: "fifth", -1: "last"}


def once(at: datetime, zone: ZoneInfo, notes: Sequence[str]) -> str:
    """`on Friday 27 November 2026 at 12:00 (Europe/Berlin)`"""
    local = at.astimezone(zone)
    return f"on {_date(local)} at {_time(local)} ({_aside(zone, notes)})"


def within_day(
    seconds: float, start: datetime | None, until: datetime | None, count: int | None, zone: ZoneInfo
) -> str:
    """`every 20 seconds`, with the beginning and the end where they were given."""
    return every(seconds) + _bounds(start, until, count, zone, timed=True)


def recurring(
    repeat: Repeat,
    clocks: Sequence[Clock],
    start: datetime | None,
    until: datetime | None,
    count: int | None,
    zone: ZoneInfo,
    notes: Sequence[str],
) -> str:
    """`every weekday at 08:00 (Europe/Berlin)`, with the beginning and the end where they were given."""
    times = _listed([_clock(clock) for clock in clocks])
    skipped = [day for day in repeat.days if day > 28] if repeat.freq == "MONTHLY" else []
    more = ["months without that day are skipped"] if skipped else []
    ends = _bounds(start, until, count, zone, timed=False)
    return f"{days(repeat)} at {times} ({_aside(zone, [*notes, *more])}){ends}"


def every(seconds: float) -> str:
    """`every 20 seconds`, `every hour`."""
    for size, unit in _UNITS:
        if seconds % size == 0 and size < 86400:
            return _each(int(seconds // size), unit)
    return f"every {seconds:g} seconds"


def days(repeat: Repeat) -> str:
    """`every weekday`, `every month on the third Thursday`."""
    if not repeat.freq:
        return every(repeat.seconds)
    each = _each(repeat.interval, _PERIODS[repeat.freq])
    if repeat.nth is not None:
        of = f" of {MONTH_NAMES[repeat.month - 1]}" if repeat.month is not None else ""
        return f"{each} on the {_nth(repeat.nth)}{of}"
    if repeat.weekdays:
        named = _weekdays(repeat.weekdays)
        return f"every {named}" if repeat.interval == 1 else f"{each} on {named}"
    if repeat.days and repeat.month is not None:
        return f"{each} on {repeat.days[0]} {MONTH_NAMES[repeat.month - 1]}"
    if repeat.days:
        return f"{each} on the {_listed([_ordinal(day) for day in repeat.days])}"
    return each


def _nth(nth: Nth) -> str:
    name = "working day" if nth.working else DAY_NAMES[nth.days[0]]
    return f"{_NUMBERS[nth.number]} {name}"


def _weekdays(numbers: Sequence[int]) -> str:
    groups = {(0, 1, 2, 3, 4): "weekday", (5, 6): "weekend day", tuple(range(7)): "day"}
    return groups.get(tuple(numbers)) or _listed([DAY_NAMES[number] for number in numbers])


def _ordinal(day: int) -> str:
    if day == -1:
        return "last day"
    ending = "th" if 10 < day % 100 < 14 else {1: "st", 2: "nd", 3: "rd"}.get(day % 10, "th")
    return f"{day}{ending}"


def _bounds(
    start: datetime | None, until: datetime | None, count: int | None, zone: ZoneInfo, *, timed: bool
) -> str:
    words = ""
    if start is not None:
        local = start.astimezone(zone)
        words += f", starting on {_date(local)}" + (f" at {_time(local)} ({zone.key})" if timed else "")
    if until is not None:
        local = until.astimezone(zone)
        whole_day = (local.hour, local.minute, local.second) == (23, 59, 59)
        words += f", until {_date(local)}" + ("" if whole_day else f" at {_time(local)}")
        words += f" ({zone.key})" if timed else ""
    if count is not None:
        words += ", once" if count == 1 else f", {count} times"
    return words


def _aside(zone: ZoneInfo, notes: Sequence[str]) -> str:
    return "; ".join([zone.key, *notes])


def _each(count: int, unit: str) -> str:
    return f"every {unit}" if count == 1 else f"every {count} {unit}s"


def _date(local: datetime) -> str:
    return f"{DAY_NAMES[local.weekday()]} {local.day} {MONTH_NAMES[local.month - 1]} {local.year}"


def _time(local: datetime) -> str:
    return f"{local:%H:%M:%S}" if local.second else f"{local:%H:%M}"


def _clock(clock: Clock) -> str:
    base = f"{clock.hour:02}:{clock.minute:02}"
    return f"{base}:{clock.second:02}" if clock.second else base


def _listed(words: Sequence[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"
