"""RRULEs in words: what people ask for has words, the rest is shown as its own text."""

from __future__ import annotations

import re
from datetime import datetime
from itertools import pairwise
from typing import TYPE_CHECKING

from hopyard.rules import _rrule, _words
from hopyard.rules._due import moment
from hopyard.rules._words import CODES, MONTHS, clock, date, each, listed
from hopyard.rules._zones import local, zone_of

if TYPE_CHECKING:
    from hopyard.rules._rule import Rule

_PERIODS = {
    "YEARLY": "year",
    "MONTHLY": "month",
    "WEEKLY": "week",
    "DAILY": "day",
    "HOURLY": "hour",
    "MINUTELY": "minute",
    "SECONDLY": "second",
}
_TIMES = 6
_WORKING = "MO,TU,WE,TH,FR"


def rrule_words(
    rule: _rrule.Recurrence, source: Rule, *, later: bool = False, place: str | None = None
) -> str | None:
    """Return `every weekday at 08:00 Europe/Berlin, until 24 December 2026`; None for what has no words.

    Where the rule names no time of day, its moments are told in the zone `place`.
    """
    zone, name = zone_of(source.zone), source.zone or "UTC"
    anchor = moment(source.anchor, source.zone)
    start = _rrule.EPOCH if anchor is None else local(anchor, zone)
    parts = {key: value for key, value in rule.parts.items() if key not in ("FREQ", "INTERVAL", "WKST")}
    end = rule.end(start, zone) if parts.pop("UNTIL", None) else None
    count = parts.pop("COUNT", None)
    if rule.freq in ("HOURLY", "MINUTELY", "SECONDLY"):
        return None if parts else _within_day(rule, anchor if later else None, count, end, place or name)
    ending = _ending(count, local(end, zone) if end else None)
    if (rule.interval > 1 or later) and anchor is not None:
        ending = f", starting on {date(start)}{ending}"
    except_ = _exceptions(rule, parts)
    walls = _walls(rule, parts, start)
    days = _days(rule, parts, start)
    if days is None or not walls or parts:
        return None
    if len(walls) > _TIMES:
        hours = _hours(walls)
        on = {"every day": "", "every weekday": " on weekdays"}.get(days)
        if on is None and rule.freq in ("DAILY", "WEEKLY") and rule.interval == 1:
            on = f" on {_plural(days.removeprefix('every '))}"
        return f"{hours}{on}{except_} {name}{ending}" if hours and on is not None else None
    return f"{days} at {listed([clock(wall) for wall in walls])} {name}{except_}{ending}"


def _within_day(
    rule: _rrule.Recurrence, start: datetime | None, count: str | None, end: datetime | None, name: str
) -> str:
    """Return `every 10 minutes, until 9 February 2027 at 18:00 Europe/Berlin`."""
    zone, words = zone_of(name), each(rule.interval, _PERIODS[rule.freq])
    if start is not None:
        wall = local(start, zone)
        words += f", starting on {date(wall)} at {clock(wall)} {name}"
    if end is not None:
        wall = local(end, zone)
        words += f", until {date(wall)} at {clock(wall)} {name}"
    return words + _ending(count, None)


def _ending(count: str | None, until: datetime | None) -> str:
    if count is not None:
        return ", once" if int(count) == 1 else f", {int(count)} times"
    if until is None:
        return ""
    whole_day = (until.hour, until.minute, until.second) == (23, 59, 59)
    return f", until {date(until)}" + ("" if whole_day else f" at {clock(until)}")


def _exceptions(rule: _rrule.Recurrence, parts: dict[str, str]) -> str:
    """Take months and days of the month that name nearly all of them out of `parts`."""
    except_ = ""
    if rule.freq == "YEARLY":
        return except_
    months = _numbers(parts.get("BYMONTH", ""))
    if len(months) > 5:
        left = [MONTHS[month - 1] for month in range(1, 13) if month not in months]
        del parts["BYMONTH"]
        except_ = f" except in {listed(left)}" if left else ""
    days = _numbers(parts.get("BYMONTHDAY", ""))
    if rule.freq == "DAILY" and len(days) > 24 and not except_ and "BYDAY" not in parts:
        left = [_words.day_of_month(day) for day in range(1, 32) if day not in days]
        del parts["BYMONTHDAY"]
        except_ = f" except on the {listed(left)}" if left else ""
    return except_


def _numbers(text: str) -> list[int]:
    return [int(number) for number in text.split(",")] if text else []


def _walls(rule: _rrule.Recurrence, parts: dict[str, str], start: datetime) -> list[datetime]:
    """Take the parts that name the times of day out of `parts`; BYSETPOS of a day picks among them."""
    hours = _numbers(parts.pop("BYHOUR", str(start.hour)))
    minutes = _numbers(parts.pop("BYMINUTE", str(start.minute)))
    seconds = _numbers(parts.pop("BYSECOND", str(start.second)))
    walls = sorted(
        {start.replace(hour=h, minute=m, second=s) for h in hours for m in minutes for s in seconds}
    )
    if rule.freq != "DAILY" or "BYSETPOS" not in parts or len(walls) == 1:
        return walls
    places = _numbers(parts.pop("BYSETPOS"))
    return [
        wall for place, wall in enumerate(walls, 1) if place in places or place - 1 - len(walls) in places
    ]


def _hours(walls: list[datetime]) -> str | None:
    """Return `every 2 hours between 08:00 and 20:00`, `every hour at minute 15`; None for uneven times."""
    steps = {(after - before).seconds for before, after in pairwise(walls)}
    step = steps.pop()
    if steps or step % 60:
        return None
    words = each(step // 60, "minute") if step % 3600 else each(step // 3600, "hour")
    first, last = walls[0], walls[-1]
    if first.hour == 0 and last.hour == 24 - step // 3600 and step == 3600:
        return f"{words} at minute {first.minute}"
    return f"{words} between {clock(first)} and {clock(last)}"


def _plural(days: str) -> str:
    """Return `Mondays and Fridays` for `Monday and Friday`."""
    return re.sub(r"day\b", "days", days)


def _days(rule: _rrule.Recurrence, parts: dict[str, str], start: datetime) -> str | None:
    """Take the parts that name days out of `parts` and put them in words."""
    period = each(rule.interval, _PERIODS[rule.freq])
    if rule.freq in ("DAILY", "WEEKLY"):
        codes = parts.pop("BYDAY", "" if rule.freq == "DAILY" else CODES[start.weekday()])
        return _on_weekdays(rule, period, codes)
    months = _numbers(parts.pop("BYMONTH", str(start.month) if rule.freq == "YEARLY" else ""))
    if "BYDAY" in parts:
        nth = _nth(parts)
        if nth is None or len(months) > 1 or (rule.freq == "MONTHLY" and months):
            return None
        return f"{period} on the {nth}" + (f" of {MONTHS[months[0] - 1]}" if months else "")
    days = _numbers(parts.pop("BYMONTHDAY", str(start.day)))
    if rule.freq == "MONTHLY":
        named = [_words.day_of_month(day) for day in sorted(days, key=lambda day: (day < 0, day))]
        return None if months else f"{period} on the {listed(named)}"
    if days == [-1] and len(months) == 1:
        return f"{period} on the last day of {MONTHS[months[0] - 1]}"
    if min(days) < 1:
        return None
    return f"{period} on {listed([f'{day} {MONTHS[month - 1]}' for month in months for day in days])}"


def _on_weekdays(rule: _rrule.Recurrence, period: str, codes: str) -> str:
    if not codes:
        return period
    numbers = [CODES.index(code) for code in codes.split(",")]
    if rule.interval == 1:
        return _words.weekdays(numbers)
    return f"{period} on {_words.weekdays(numbers).removeprefix('every ')}"


def _nth(parts: dict[str, str]) -> str | None:
    """Return `second and fourth Tuesday`, `last working day`; None for days that have no such words."""
    codes = parts["BYDAY"]
    if codes == _WORKING and "BYSETPOS" in parts:
        places, name = _numbers(parts["BYSETPOS"]), "working day"
    elif (
        "BYSETPOS" not in parts
        and len({code[-2:] for code in codes.split(",")}) == 1
        and codes[:1] in "+-0123456789"
    ):
        places, name = [int(code[:-2]) for code in codes.split(",")], _words.DAYS[CODES.index(codes[-2:])]
    else:
        return None
    words = [_words.position(place) for place in places]
    if None in words:
        return None
    parts.pop("BYDAY")
    parts.pop("BYSETPOS", None)
    return f"{listed([word for word in words if word is not None])} {name}"
