"""Parts of rules in words, such as days, times of day and lists."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
CODES = ("MO", "TU", "WE", "TH", "FR", "SA", "SU")
MONTHS = (
    *("January", "February", "March", "April", "May", "June", "July"),
    *("August", "September", "October", "November", "December"),
)
_ORDINALS = {
    1: "first",
    2: "second",
    3: "third",
    4: "fourth",
    5: "fifth",
    -1: "last",
    -2: "penultimate",
    -3: "third last",
}


def each(count: int, unit: str) -> str:
    """Return `every day`, `every 2 days`."""
    return f"every {unit}" if count == 1 else f"every {count} {unit}s"


def clock(wall: datetime) -> str:
    """Return `08:00`, `08:00:30`."""
    return f"{wall:%H:%M:%S}" if wall.second else f"{wall:%H:%M}"


def date(wall: datetime) -> str:
    """Return `24 December 2026`."""
    return f"{wall.day} {MONTHS[wall.month - 1]} {wall.year}"


def listed(words: Sequence[str]) -> str:
    """Return `a`, `a and b`, `a, b and c`."""
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"


def weekdays(numbers: Sequence[int]) -> str:
    """Name weekdays, 0 for Monday, as `every weekday`, `every Monday`, `every day except Sunday`."""
    chosen = sorted(set(numbers))
    if chosen == list(range(7)):
        return "every day"
    if chosen == list(range(5)):
        return "every weekday"
    if len(chosen) == 6:
        return f"every day except {DAYS[next(number for number in range(7) if number not in chosen)]}"
    return f"every {listed([DAYS[number] for number in chosen])}"


def plural_weekdays(numbers: Sequence[int]) -> str:
    """Name weekdays as `weekdays`, `Mondays and Fridays`."""
    chosen = sorted(set(numbers))
    names = {(0, 1, 2, 3, 4): "weekdays", (5, 6): "weekends"}
    return names.get(tuple(chosen)) or listed([f"{DAYS[number]}s" for number in chosen])


def position(number: int) -> str | None:
    """Return `first`, `last`; None for a number that has no usual word."""
    return _ORDINALS.get(number)


def day_of_month(number: int) -> str:
    """Return `1st`, `last day`, `third last day`."""
    if number < 0:
        before = {-1: "", -2: "second ", -3: "third ", -4: "fourth ", -5: "fifth "}.get(number)
        return f"{day_of_month(-number) + ' ' if before is None else before}last day"
    ending = "th" if 10 < number % 100 < 14 else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number}{ending}"
