"""Rules in words: short English for the usual shapes, the rule's own text for the others."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from hopyard.rules import _cron, _rrule
from hopyard.rules._due import EPOCH, moment, next_after
from hopyard.rules._rrule_wording import rrule_words
from hopyard.rules._words import MONTHS, clock, date, day_of_month, each, listed, weekdays
from hopyard.rules._zones import local, zone_of

if TYPE_CHECKING:
    from hopyard.rules._rule import Rule

_UNITS = ((86400, "day"), (3600, "hour"), (60, "minute"), (1, "second"))


def describe(rule: Rule, *, now: datetime | None = None, zone: str | None = None) -> str:
    """Return the rule in words, such as `every weekday at 08:00 Europe/Berlin`. Raises ScheduleError.

    Given `now` (aware), they tell when a recurrence begins that does not begin at once. `zone` is that of
    whoever reads them, for the moments of rules that name no time of day.
    """
    place = zone or rule.zone or "UTC"
    later = now is not None and _begins_later(rule, now)
    own = rule.zone or "UTC"
    if rule.every is not None:
        return _every(rule.every) + (_starting(rule, place) if later else "")
    if rule.after is not None:
        return f"each time that {rule.after} has succeeded"
    if rule.at is not None:
        wall = local(moment(rule.at, rule.zone) or rule.at, zone_of(rule.zone))
        return f"once on {date(wall)} at {clock(wall)} {own}"
    if rule.cron is not None:
        words = _cron_words(_cron.fields(rule.cron)) or f"cron {rule.cron.strip()}"
        return f"{words} {own}"
    text = rule.rrule or ""
    return rrule_words(_rrule.parse(text), rule, later=later, place=place) or f"rrule {text.strip()} {own}"


def _starting(rule: Rule, zone: str) -> str:
    wall = local(moment(rule.anchor, rule.zone) or EPOCH, zone_of(zone))
    return f", starting on {date(wall)} at {clock(wall)} {zone}"


def _begins_later(rule: Rule, now: datetime) -> bool:
    """Whether the anchor leaves out due times after `now` that the rule would have without it."""
    anchor = moment(rule.anchor, rule.zone)
    if anchor is None or anchor <= now:
        return False
    if rule.every is not None:
        return anchor - now > timedelta(seconds=rule.every)
    if rule.rrule is None:
        return False
    text = ";".join(part for part in rule.rrule.split(";") if not part.upper().startswith(("COUNT", "UNTIL")))
    # In 28 years the calendar comes back to the same weekdays.
    early = replace(rule, rrule=text, anchor=(rule.anchor or anchor).replace(year=anchor.year - 28))
    first, usual = next_after(rule, now), next_after(early, now)
    return first is not None and usual is not None and usual < first


def _every(seconds: float) -> str:
    for size, unit in _UNITS:
        if seconds % size == 0:
            return each(int(seconds // size), unit)
    return f"every {seconds:g} seconds"


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
    return listed([f"{item:02}:{int(minute):02}" for item in sorted({int(item) for item in hours})])


def _cron_days(day: str, month: str, weekday: str) -> str | None:
    if month != "*":
        single = day.isdigit() and month.isdigit() and weekday == "*"
        return f"every year on {int(day)} {MONTHS[int(month) - 1]}" if single else None
    if day == "*":
        return "every day" if weekday == "*" else _cron_weekdays(weekday)
    if weekday == "*" and day.isdigit():
        return f"every month on the {day_of_month(int(day))}"
    return "every month on the last day" if weekday == "*" and day.upper() == "L" else None


def _cron_weekdays(field: str) -> str | None:
    days: set[int] = set()
    for item in field.upper().split(","):
        ends = [_cron_weekday(end) for end in item.split("-")]
        if len(ends) > 2 or None in ends:
            return None
        numbers = [end for end in ends if end is not None]
        days.update(number % 7 for number in range(numbers[0], numbers[-1] + 1))
    return weekdays([(number - 1) % 7 for number in days])


def _cron_weekday(text: str) -> int | None:
    names = ("SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT")
    if text in names:
        return names.index(text)
    return int(text) if text.isdigit() else None
