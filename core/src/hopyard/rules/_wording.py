"""Rules in words: short English for the usual shapes, the rule's own text for the others."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from hopyard.rules import _cron, _rrule
from hopyard.rules._due import moment
from hopyard.rules._zones import local, zone_of

if TYPE_CHECKING:
    from hopyard.rules._rule import Rule

_DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_CODES = ("MO", "TU", "WE", "TH", "FR", "SA", "SU")
_MONTHS = (
    *("January", "February", "March", "April", "May", "June", "July"),
    *("August", "September", "October", "November", "December"),
)
_UNITS = ((86400, "day"), (3600, "hour"), (60, "minute"), (1, "second"))
_PERIODS = {
    "YEARLY": "year",
    "MONTHLY": "month",
    "WEEKLY": "week",
    "DAILY": "day",
    "HOURLY": "hour",
    "MINUTELY": "minute",
    "SECONDLY": "second",
}


def describe(rule: Rule) -> str:
    """Return the rule in words, such as `every weekday at 08:00 Europe/Berlin`. Raises ScheduleError."""
    zone = rule.zone or "UTC"
    if rule.every is not None:
        return _every(rule.every)
    if rule.after is not None:
        return f"each time that {rule.after} has succeeded"
    if rule.at is not None:
        wall = local(moment(rule.at, rule.zone) or rule.at, zone_of(rule.zone))
        return f"once on {wall.day} {_MONTHS[wall.month - 1]} {wall.year} at {_clock(wall)} {zone}"
    if rule.cron is not None:
        words = _cron_words(_cron.fields(rule.cron)) or f"cron {rule.cron.strip()}"
        return f"{words} {zone}"
    text = rule.rrule or ""
    return _rrule_words(_rrule.parse(text), rule) or f"rrule {text.strip()} {zone}"


def _every(seconds: float) -> str:
    for size, unit in _UNITS:
        if seconds % size == 0:
            return _each(int(seconds // size), unit)
    return f"every {seconds:g} seconds"


def _each(count: int, unit: str) -> str:
    return f"every {unit}" if count == 1 else f"every {count} {unit}s"


def _clock(wall: datetime) -> str:
    return f"{wall:%H:%M:%S}" if wall.second else f"{wall:%H:%M}"


def _listed(words: Sequence[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"


def _cron_words(fields: Sequence[str]) -> str | None:
    minute, hour, day, month, weekday = fields
    if hour == "*" and (day, month, weekday) == ("*", "*", "*"):
        return _cron_minutes(minute)
    if _step(hour, 24) and minute.isdigit() and (day, month, weekday) == ("*", "*", "*"):
        return f"every {_step(hour, 24)} hours at minute {int(minute)}"
    times = _cron_times(minute, hour)
    days = _cron_days(day, month, weekday)
    return f"{days} at {times}" if times and days else None


def _cron_minutes(minute: str) -> str | None:
    if minute == "*":
        return "every minute"
    if minute.isdigit():
        return "every hour" if int(minute) == 0 else f"every hour at minute {int(minute)}"
    step = _step(minute, 60)
    return f"every {step} minutes" if step else None


def _step(field: str, size: int) -> int | None:
    """The N of `*/N` where N divides the hour or day: else the distances are not equal."""
    text = field.removeprefix("*/")
    if text == field or not text.isdigit() or int(text) < 2 or size % int(text):
        return None
    return int(text)


def _cron_times(minute: str, hour: str) -> str | None:
    hours = hour.split(",")
    if not minute.isdigit() or not all(item.isdigit() for item in hours):
        return None
    return _listed([f"{item:02}:{int(minute):02}" for item in sorted({int(item) for item in hours})])


def _cron_days(day: str, month: str, weekday: str) -> str | None:
    if month != "*":
        single = day.isdigit() and month.isdigit() and weekday == "*"
        return f"every year on {int(day)} {_MONTHS[int(month) - 1]}" if single else None
    if day == "*":
        return "every day" if weekday == "*" else _cron_weekdays(weekday)
    if weekday == "*" and day.isdigit():
        return f"every month on day {int(day)}"
    return "every month on the last day" if weekday == "*" and day.upper() == "L" else None


def _cron_weekdays(field: str) -> str | None:
    days: set[int] = set()
    for item in field.upper().split(","):
        ends = [_cron_weekday(end) for end in item.split("-")]
        if len(ends) > 2 or None in ends:
            return None
        numbers = [end for end in ends if end is not None]
        days.update(number % 7 for number in range(numbers[0], numbers[-1] + 1))
    return _weekdays([(number - 1) % 7 for number in days])


def _cron_weekday(text: str) -> int | None:
    names = ("SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT")
    if text in names:
        return names.index(text)
    return int(text) if text.isdigit() else None


def _weekdays(numbers: Sequence[int]) -> str:
    """Name weekdays, 0 for Monday."""
    chosen = sorted(set(numbers))
    if chosen == list(range(7)):
        return "every day"
    if chosen == list(range(5)):
        return "every weekday"
    return f"every {_listed([_DAYS[number] for number in chosen])}"


def _rrule_words(rule: _rrule.Recurrence, source: Rule) -> str | None:
    zone, name = zone_of(source.zone), source.zone or "UTC"
    anchor = moment(source.anchor, source.zone)
    start = _rrule.EPOCH if anchor is None else local(anchor, zone)
    parts = {key: value for key, value in rule.parts.items() if key not in ("FREQ", "INTERVAL", "WKST")}
    end = rule.end(start, zone) if parts.pop("UNTIL", None) else None
    ending = _ending(parts.pop("COUNT", None), local(end, zone) if end else None)
    each = _each(rule.interval, _PERIODS[rule.freq])
    if rule.freq in ("HOURLY", "MINUTELY", "SECONDLY"):
        return None if parts else f"{each} {name}{ending}"
    times = _rrule_times(parts, start)
    days = _rrule_days(rule, each, parts, start)
    return f"{days} at {times} {name}{ending}" if times and days and not parts else None


def _rrule_times(parts: dict[str, str], start: datetime) -> str | None:
    """Take the parts that name the time of day out of `parts` and put them in words."""
    hours = [int(hour) for hour in parts.pop("BYHOUR", str(start.hour)).split(",")]
    minutes = [int(minute) for minute in parts.pop("BYMINUTE", str(start.minute)).split(",")]
    seconds = [int(second) for second in parts.pop("BYSECOND", str(start.second)).split(",")]
    if len(hours) * len(minutes) * len(seconds) > 4:
        return None
    walls = [start.replace(hour=h, minute=m, second=s) for h in hours for m in minutes for s in seconds]
    return _listed([_clock(wall) for wall in sorted(set(walls))])


def _rrule_days(rule: _rrule.Recurrence, each: str, parts: dict[str, str], start: datetime) -> str | None:
    """Take the parts that name days out of `parts` and put them in words."""
    if any("," in parts.get(key, "") for key in ("BYMONTH", "BYMONTHDAY")):
        return None
    if rule.freq in ("DAILY", "WEEKLY"):
        codes = parts.pop("BYDAY", "" if rule.freq == "DAILY" else _CODES[start.weekday()])
        return _rrule_weekdays(rule, each, codes)
    if "BYDAY" in parts:
        return None
    month = int(parts.pop("BYMONTH", start.month)) if rule.freq == "YEARLY" else 0
    day = int(parts.pop("BYMONTHDAY", start.day))
    if day < 1:
        return f"{each} on the last day" if day == -1 and not month else None
    return f"{each} on {day} {_MONTHS[month - 1]}" if month else f"{each} on day {day}"


def _rrule_weekdays(rule: _rrule.Recurrence, each: str, codes: str) -> str:
    if not codes:
        return each
    days = _weekdays([_CODES.index(code) for code in codes.split(",")])
    return days if rule.interval == 1 else f"{each} on {days.removeprefix('every ')}"


def _ending(count: str | None, until: datetime | None) -> str:
    if count is not None:
        return ", once" if int(count) == 1 else f", {int(count)} times"
    return f", until {until.day} {_MONTHS[until.month - 1]} {until.year}" if until is not None else ""
