"""What a phrase can say about time: the values that the grammar finds and the rule is built from."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

Slot = Literal[
    "repeat",
    "delay",
    "day",
    "clock",
    "part",
    "until",
    "count",
    "start",
    "span",
    "window",
    "past",
    "often",
    "instant",
]


@dataclass(frozen=True, slots=True)
class Amount:
    """A length of time; days and months are counted on the calendar, seconds by the clock."""

    seconds: float = 0.0
    days: int = 0
    months: int = 0

    def __add__(self, other: Amount) -> Amount:
        return Amount(self.seconds + other.seconds, self.days + other.days, self.months + other.months)

    @property
    def calendar(self) -> bool:
        return bool(self.days or self.months)


@dataclass(frozen=True, slots=True)
class Clock:
    """A time of day. `plain` is an hour alone, such as `8`, that a part of the day may move to 20:00."""

    hour: int
    minute: int = 0
    second: int = 0
    plain: bool = False


@dataclass(frozen=True, slots=True)
class Nth:
    """The n-th (or last, -1) of these weekdays in a month; `working` counts them as one row of days."""

    number: int
    days: tuple[int, ...]
    working: bool = False


@dataclass(frozen=True, slots=True)
class Day:
    """One day, or several weekdays or days of a month; the fields that are given narrow it down."""

    offset: int | None = None
    weekdays: tuple[int, ...] = ()
    later: bool = False
    """`next monday`: not today."""
    week: int | None = None
    """Weeks from this one, with a weekday."""
    month_offset: int | None = None
    year: int | None = None
    month: int | None = None
    days: tuple[int, ...] = ()
    nth: Nth | None = None
    end: Literal["", "week", "month", "year"] = ""
    """`the end of the month`."""


@dataclass(frozen=True, slots=True)
class Repeat:
    """A recurrence; `seconds` for those within a day, else `freq` and `interval`."""

    freq: Literal["", "DAILY", "WEEKLY", "MONTHLY", "YEARLY"] = ""
    interval: int = 1
    seconds: float = 0.0
    weekdays: tuple[int, ...] = ()
    days: tuple[int, ...] = ()
    month: int | None = None
    nth: Nth | None = None

    @property
    def bare(self) -> bool:
        """Whether it still lacks the day: `every week`, `monthly`."""
        return not (self.weekdays or self.days or self.nth or self.month)


@dataclass(frozen=True, slots=True)
class Start:
    """When a recurrence begins."""

    day: Day | None = None
    clock: Clock | None = None


Value = Repeat | Amount | Day | Start | tuple[Clock, ...] | str | int | datetime


@dataclass(frozen=True, slots=True)
class Found:
    """A part of the sentence that says something about time: tokens `first` up to, not including, `end`.

    A weak one (a bare `monday`, the `daily` of `daily report`) counts only beside others or alone.
    """

    slot: Slot
    value: Value
    first: int
    end: int
    strong: bool = True
    also: tuple[Found, ...] = field(default=())
    """What the same words say besides: `tonight` is a day and a part of it."""
