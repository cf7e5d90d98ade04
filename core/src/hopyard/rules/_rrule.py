"""RFC 5545 recurrence rules as wall times, found near the wall time that is asked for.

dateutil counts from DTSTART one period at a time. Here DTSTART is moved by whole intervals, so that the
phase stays and a rule that is years old costs no more than a new one. Periods of a day or less are not
counted at all (`_steps`). So no search is longer than the days of four centuries, whatever the rule.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import MAXYEAR, UTC, datetime, timedelta
from functools import lru_cache
from itertools import islice
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from hopyard.checks import shown
from hopyard.errors import ScheduleError
from hopyard.rules import _steps
from hopyard.rules._zones import Walls, moment_of

if TYPE_CHECKING:
    from dateutil.rrule import rrule

EPOCH = datetime(1970, 1, 1)
"""Where rules without an anchor start, as wall time."""

_FREQUENCIES = ("YEARLY", "MONTHLY", "WEEKLY", *_steps.SIZES)
_WITHIN_DAY = ("HOURLY", "MINUTELY", "SECONDLY")
_NUMBERS = {
    "INTERVAL": (1, 100_000),
    "COUNT": (1, 100_000),
    "BYSETPOS": (-366, 366),
    "BYMONTH": (1, 12),
    "BYMONTHDAY": (-31, 31),
    "BYYEARDAY": (-366, 366),
    "BYWEEKNO": (-53, 53),
    "BYHOUR": (0, 23),
    "BYMINUTE": (0, 59),
    "BYSECOND": (0, 59),
}
_WEEKDAY = re.compile(r"([+-]?[0-9]{1,2})?(MO|TU|WE|TH|FR|SA|SU)")
_UNTIL = re.compile(r"[0-9]{8}(T[0-9]{6}Z?)?")
_DAY_PARTS = {"BYMONTHDAY", "BYYEARDAY", "BYWEEKNO", "BYDAY"}
_TIMES_A_DAY = 96
_POSITIONS = 31
_TEXT_LIMIT = 1000


@dataclass(frozen=True, slots=True)
class Recurrence:
    """A checked rule: its parts by name, in capitals."""

    parts: Mapping[str, str]

    @property
    def freq(self) -> str:
        return self.parts["FREQ"]

    @property
    def interval(self) -> int:
        return int(self.parts.get("INTERVAL", "1"))

    @property
    def goes_through_both(self) -> bool:
        """A frequency within the day goes on when clocks are set back; COUNT counts each wall time once."""
        return self.freq in _WITHIN_DAY and "COUNT" not in self.parts

    def end(self, start: datetime, zone: ZoneInfo) -> datetime | None:
        """Return the last moment (UTC, inclusive) that UNTIL or COUNT allows; None without an end."""
        if "COUNT" in self.parts:
            return moment_of(_last_counted(tuple(self.parts.items()), start), zone)
        if "UNTIL" not in self.parts:
            return None
        until = self.parts["UNTIL"]
        if until.endswith("Z"):
            return datetime.strptime(until, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
        return moment_of(datetime.fromisoformat(until if "T" in until else f"{until}T235959"), zone)

    def walls(self, start: datetime) -> Walls:
        """Return the function that steps from one wall time of the rule to the next."""

        def within(wall: datetime) -> datetime | None:
            return next(_steps.walls(self.parts, start, wall, self._days), None)

        def following(wall: datetime) -> datetime | None:
            wall = max(wall, start - timedelta(seconds=1))
            near = self._near(start, wall)
            shift = _late(wall)
            found = _search(self._explicit(start), _moved(near, shift), _moved(wall, shift))
            return _moved(found, -shift) if found is not None else None

        return within if self.freq in _steps.SIZES else following

    def _days(self, first: datetime) -> Iterator[datetime]:
        """Yield the days that the parts allow, from the day `first` on, for four centuries at most."""
        kept = (f";{name}={self.parts[name]}" for name in _steps.DAY_PARTS if name in self.parts)
        text, shift = "FREQ=DAILY" + "".join(kept), _late(first)
        return (_moved(day, -shift) for day in _built(text, _moved(first, shift)))

    def occurrences(self, start: datetime) -> Iterator[datetime]:
        """Return all wall times of the rule, in order, but for its COUNT and UNTIL."""
        if self.freq in _steps.SIZES:
            return _steps.walls(self.parts, start, start - timedelta(seconds=1), self._days)
        shift = _late(start)
        return (_moved(found, -shift) for found in _built(self._core(), _moved(start, shift)))

    def _core(self) -> str:
        kept = (f"{key}={value}" for key, value in self.parts.items() if key not in ("COUNT", "UNTIL"))
        return ";".join(kept)

    def _explicit(self, start: datetime) -> str:
        """The rule with what it takes from DTSTART's date written out, so that DTSTART can move."""
        extra = ""
        if not _DAY_PARTS & self.parts.keys():
            if self.freq == "YEARLY" and "BYMONTH" not in self.parts:
                extra += f";BYMONTH={start.month}"
            if self.freq in ("YEARLY", "MONTHLY"):
                extra += f";BYMONTHDAY={start.day}"
        return self._core() + extra

    def _near(self, start: datetime, wall: datetime) -> datetime:
        """Return `start` moved by whole intervals to one full interval before that of `wall`."""
        if self.freq == "WEEKLY":
            step = timedelta(weeks=1) * self.interval
            return start + max((wall - start) // step - 1, 0) * step
        months = self.interval * (12 if self.freq == "YEARLY" else 1)
        passed = (wall.year - start.year) * 12 + wall.month - start.month
        moved = (passed // months - 1) * months
        if moved <= 0:
            return start
        years, month = divmod(start.month - 1 + moved, 12)
        # The first of the period: every day of it counts, and each month has one.
        month = 0 if self.freq == "YEARLY" else month
        return start.replace(year=start.year + years, month=month + 1, day=1)


def parse(text: str) -> Recurrence:
    """Return the rule in `text`. Raises ScheduleError with what is wrong and what was expected."""
    if len(text) > _TEXT_LIMIT:
        expected = f"at most {_TEXT_LIMIT} characters"
        raise ScheduleError(f"rrule: found {len(text)} characters, expected {expected}", expected=expected)
    return _parse(text)


@lru_cache(maxsize=512)
def _parse(text: str) -> Recurrence:
    parts: dict[str, str] = {}
    for item in text.strip().upper().removeprefix("RRULE:").rstrip(";").split(";"):
        key, _, value = (piece.strip() for piece in item.partition("="))
        if key in parts or not value:
            raise _wrong(text, item, "each part once, as NAME=VALUE")
        _check_part(text, key, value)
        parts[key] = value
    if "FREQ" not in parts:
        raise _wrong(text, text, "a part FREQ=" + "|".join(_FREQUENCIES))
    if "COUNT" in parts and "UNTIL" in parts:
        raise _wrong(text, text, "COUNT or UNTIL, not both")
    if parts["FREQ"] not in ("YEARLY", "MONTHLY") and re.search(r"[0-9]", parts.get("BYDAY", "")):
        raise _wrong(text, f"BYDAY={parts['BYDAY']}", "numbered weekdays only with FREQ=MONTHLY or YEARLY")
    _check_density(text, parts)
    return Recurrence(parts)


def _check_part(text: str, key: str, value: str) -> None:
    if key == "FREQ":
        ok, expected = value in _FREQUENCIES, "one of " + ", ".join(_FREQUENCIES)
    elif key in ("WKST", "BYDAY"):
        ok = all(_WEEKDAY.fullmatch(day) for day in value.split(","))
        ok = ok and not (key == "WKST" and len(value) != 2)
        expected = "weekdays MO TU WE TH FR SA SU"
    elif key == "UNTIL":
        ok, expected = _is_until(value), "YYYYMMDD, YYYYMMDDTHHMMSS (wall time) or YYYYMMDDTHHMMSSZ"
    elif key in _NUMBERS:
        low, high = _NUMBERS[key]
        ok = all(_in_range(number, low, high) for number in value.split(","))
        most = {"INTERVAL": 1, "COUNT": 1, "BYSETPOS": _POSITIONS}.get(key)  # each position is a calculation
        ok = ok and not (most and value.count(",") >= most)
        expected = f"whole numbers from {low} to {high}" + (" without 0" if low < 0 else "")
        expected += f", at most {most}" if most else ""
    else:
        ok, expected = False, "a part of RFC 5545's RRULE: FREQ, WKST, BYDAY, UNTIL, " + ", ".join(_NUMBERS)
    if not ok:
        raise _wrong(text, f"{key}={value}", expected)


def _in_range(number: str, low: int, high: int) -> bool:
    if not re.fullmatch(r"[+-]?[0-9]{1,6}", number):
        return False
    return low <= int(number) <= high and not (low < 0 and int(number) == 0)


def _is_until(value: str) -> bool:
    try:
        return bool(_UNTIL.fullmatch(value) and datetime.fromisoformat(value.removesuffix("Z")))
    except ValueError:
        return False


def _check_density(text: str, parts: Mapping[str, str]) -> None:
    """Refuse a day or more written out as a long list: one period of it would be a long calculation."""
    if parts["FREQ"] in _WITHIN_DAY:
        return
    times = 1
    for key in ("BYHOUR", "BYMINUTE", "BYSECOND"):
        times *= parts.get(key, "").count(",") + 1
    if times > _TIMES_A_DAY:
        expected = f"at most {_TIMES_A_DAY} times a day; use FREQ=HOURLY, MINUTELY or SECONDLY"
        raise _wrong(text, f"{times} times a day", expected)


def _wrong(text: str, found: str, expected: str) -> ScheduleError:
    return ScheduleError(f"rrule {shown(text)}: found {shown(found)}, expected {expected}", expected=expected)


def _built(text: str, start: datetime) -> rrule:
    from dateutil.rrule import rrule, rrulestr

    built = rrulestr(text, dtstart=start)
    if not isinstance(built, rrule):
        raise _wrong(text, text, "a single rule")
    return built


@contextmanager
def _possible(text: str) -> Iterator[None]:
    """dateutil finds some contradictions when it reads a rule, others when it steps."""
    try:
        yield
    except ValueError as error:
        expected = f"a rule that can come true: {error}"
        raise ScheduleError(f"rrule {shown(text)}: expected {expected}", expected=expected) from error


def _search(text: str, start: datetime, wall: datetime) -> datetime | None:
    with _possible(text):
        return _built(text, start).after(wall)


@lru_cache(maxsize=512)
def _last_counted(parts: tuple[tuple[str, str], ...], start: datetime) -> datetime:
    """Return the wall time of the last of COUNT occurrences: COUNT then costs as little as UNTIL."""
    rule, last = Recurrence(dict(parts)), start
    with _possible(";".join("=".join(part) for part in parts)):
        for found in islice(rule.occurrences(start), int(rule.parts["COUNT"])):
            last = found
    return last


def _late(wall: datetime) -> int:
    """Years by which to move `wall` towards the end of dateutil's range.

    The calendar repeats itself every 400 years. A rule that never comes true makes dateutil search up
    to the year 9999; from here that is four centuries at most.
    """
    return (9959 - wall.year) // 400 * 400


def _moved(wall: datetime, years: int) -> datetime:
    if wall.year + years > MAXYEAR:
        raise OverflowError(f"after the year {MAXYEAR}")
    return wall.replace(year=wall.year + years)
