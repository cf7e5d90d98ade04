"""What words can say about time, and how what several phrases say goes together."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from datetime import datetime
from typing import Literal

Part = Literal["morning", "afternoon", "evening", "night"]


@dataclass(frozen=True, slots=True)
class Amount:
    """A length of time; days and months are counted on the calendar, seconds by the clock."""

    seconds: float = 0.0
    days: int = 0
    months: int = 0

    def __add__(self, other: Amount) -> Amount:
        return Amount(self.seconds + other.seconds, self.days + other.days, self.months + other.months)

    def __neg__(self) -> Amount:
        return Amount(-self.seconds, -self.days, -self.months)

    @property
    def calendar(self) -> bool:
        return bool(self.days or self.months)


@dataclass(frozen=True, slots=True)
class Clock:
    """A time of day. `plain`: no am or pm, and an hour to 12, which a part of the day may move."""

    hour: int
    minute: int = 0
    second: int = 0
    plain: bool = False
    named: bool = False
    """`midnight`: of a day, it can be the beginning or the end."""


@dataclass(frozen=True, slots=True)
class Nth:
    """The n-th (or last, -1) of these weekdays in a month; `working` counts them as one row of days."""

    numbers: tuple[int, ...]
    days: tuple[int, ...]
    working: bool = False


@dataclass(frozen=True, slots=True)
class Day:
    """One day; the fields that are given narrow it down."""

    offset: int | None = None
    weekday: int | None = None
    later: bool = False
    """`next monday`: not today."""
    week: int | None = None
    """Weeks from this one, with a weekday."""
    month_offset: int | None = None
    """Months from this one, with a day or an nth weekday."""
    year: int | None = None
    years: int | None = None
    """Years from this one, with a month and a day."""
    month: int | None = None
    day: int | None = None
    """-1 for the last day of the month."""
    nth: Nth | None = None
    end: Literal["", "week", "year"] = ""
    plus: Amount = Amount()
    """`a week from tuesday`: what is added to the day."""
    named: int | None = None
    """The weekday that was said beside a date, which has to be right."""


@dataclass(frozen=True, slots=True)
class Repeat:
    """A recurrence; `seconds` for those within a day, else `freq` and `interval`."""

    freq: Literal["", "DAILY", "WEEKLY", "MONTHLY", "YEARLY"] = ""
    interval: int = 1
    seconds: float = 0.0
    weekdays: tuple[int, ...] = ()
    days: tuple[int, ...] = ()
    months: tuple[int, ...] = ()
    nth: Nth | None = None
    ranged: bool = False
    """`Thursday to Saturday`: three days of each week, beside `every day` it may be three days once."""
    unclear: str = ""
    """What has to be said yet."""

    @property
    def period(self) -> Amount:
        """What is between two of them, of those that are counted on the calendar."""
        unit = {"DAILY": Amount(days=1), "WEEKLY": Amount(days=7), "MONTHLY": Amount(months=1)}
        one = unit.get(self.freq, Amount(months=12))
        return Amount(days=one.days * self.interval, months=one.months * self.interval)

    @property
    def bare(self) -> bool:
        """Whether it still lacks the day: `every week`, `monthly`."""
        return not (self.weekdays or self.days or self.nth or self.months)


@dataclass(frozen=True, slots=True)
class Except:
    """Days that a recurrence leaves out."""

    weekdays: tuple[int, ...] = ()
    months: tuple[int, ...] = ()
    days: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Zone:
    """A zone that was said; an abbreviation holds only while the place has that offset (in minutes)."""

    name: str
    said: str
    offset: int | None = None


@dataclass(frozen=True, slots=True)
class Spec:
    """What a phrase says about when. `weak` words (`sat`, `may`, `morning`) count only beside others."""

    day: Day | None = None
    clocks: tuple[Clock, ...] | None = None
    minutes: tuple[int, ...] | None = None
    """Minutes of each hour: `every hour at :15`."""
    part: Part | None = None
    delay: Amount | None = None
    shift: Amount | None = None
    """What comes between the moment that is meant and the one that is named: `10 minutes before 5pm`."""
    repeat: Repeat | None = None
    start: Spec | None = None
    until: Spec | None = None
    count: int | None = None
    span: Amount | None = None
    often: int | None = None
    """`twice a day`: so many times of day have to be given."""
    months: tuple[int, ...] | None = None
    window: tuple[Clock, Clock] | None = None
    unless: Except | None = None
    zone: Zone | None = None
    instant: datetime | None = None
    same_clock: bool | None = None
    """`this time tomorrow`."""
    refused: str | None = None
    """Why these words cannot be read."""
    weak: bool = False

    @property
    def when(self) -> bool:
        """Whether it says a time by itself, not only narrows one down."""
        named = (
            self.day,
            self.clocks,
            self.delay,
            self.repeat,
            self.instant,
            self.refused,
            self.part,
            self.shift,
        )
        return not self.weak and any(value is not None for value in named)

    def given(self) -> set[str]:
        return {
            one.name for one in fields(self) if one.name != "weak" and getattr(self, one.name) is not None
        }

    def joined(self, other: Spec) -> Spec | None:
        """What both say together; None where they contradict each other."""
        if self.repeat is not None and other.repeat is not None:
            repeat = _one_repeat(self.repeat, other.repeat) or _one_repeat(other.repeat, self.repeat)
            if repeat is None:
                return None
            return replace(self, repeat=None).joined(replace(other, repeat=repeat))
        repeat, day = self.repeat or other.repeat, self.day or other.day
        if repeat is not None and day is not None and not (self.day and other.day):
            if (repeat := _completed(repeat, day)) is None:
                return None
            return replace(self, repeat=None, day=None).joined(replace(other, repeat=repeat, day=None))
        span = self.span or other.span
        if repeat is not None and repeat.freq and span is not None and not span.calendar:
            return None  # `every day for 20 minutes`: how long it lasts, not how long it goes on
        if self.given() & other.given() - {"refused"} or not _fit(self.given() | other.given()):
            return None
        values = {name: getattr(other, name) for name in other.given()}
        return replace(self, weak=self.weak and other.weak, **values)


def _fit(given: set[str]) -> bool:
    """Whether things of these kinds can be said about one time at all."""
    if "instant" in given:
        return given <= {"instant", "refused"}
    if "delay" in given and given & {"months", "window", "often", "day", "repeat"}:
        return False
    return not ("until" in given and "span" in given)


RANGE = (
    "it is not clear whether these days of each week are meant or those of one: "
    "say every week from … to …, or from one date to another"
)


def _one_repeat(one: Repeat, other: Repeat) -> Repeat | None:
    """`weekly on Sundays` is one recurrence."""
    if not one.bare or other.interval > 1 or (one.seconds and other.freq != "WEEKLY"):
        return None
    if one.seconds:  # `every hour on weekdays`
        return replace(one, weekdays=other.weekdays) if other.weekdays else None
    if one == Repeat("DAILY") and len(other.weekdays) > 1 and other.freq == "WEEKLY":
        return replace(other, unclear=RANGE if other.ranged else "")  # `every day from Monday to Friday`
    if one.freq != other.freq or other.bare:
        return None
    return replace(other, interval=one.interval, unclear="")


def _completed(repeat: Repeat, day: Day) -> Repeat | None:
    """`every week` and `on monday`, `monthly` and `on the 1st`, `every year` and `on 4 May`."""
    narrow = replace(day, weekday=None, day=None, month=None, nth=None)
    if not repeat.bare or narrow != Day():
        return None
    if repeat.freq == "WEEKLY" and day.weekday is not None:
        return replace(repeat, weekdays=(day.weekday,))
    fits = {"MONTHLY": day.month is None, "YEARLY": day.month is not None}.get(repeat.freq, False)
    if not fits or (day.day is None and day.nth is None):
        return None
    months = (day.month,) if day.month is not None else ()
    return replace(repeat, days=(day.day,) if day.day is not None else (), nth=day.nth, months=months)
