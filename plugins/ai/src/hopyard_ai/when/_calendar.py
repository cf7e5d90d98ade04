"""From days and times of day as people say them to moments on their calendar."""

from __future__ import annotations

import calendar
from collections.abc import Iterable, Iterator
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from hopyard.errors import ScheduleError

from hopyard_ai.when._values import Amount, Clock, Day, Nth
from hopyard_ai.when._words import DAY_NAMES, PARTS

MORNING = Clock(9)
"""The time where only a day is given."""
_HOURS = {"morning": (0, 12), "afternoon": (12, 18), "evening": (16, 23), "night": (18, 23)}


def at_wall(day: date, clock: Clock, zone: ZoneInfo) -> datetime:
    """The moment of a wall time; one that a change of clocks leaves out becomes the first one after it."""
    wall = datetime.combine(day, time(clock.hour, clock.minute, clock.second), tzinfo=zone)
    return wall.astimezone(UTC).astimezone(zone)


def exists(moment: datetime, clock: Clock) -> bool:
    """Whether the wall time was not left out by a change of clocks."""
    return (moment.hour, moment.minute) == (clock.hour, clock.minute)


def of_part(clock: Clock, part: str | None) -> Clock:
    """`8` in the evening is 20:00. Raises ScheduleError for 19:00 in the morning."""
    if part is None:
        return clock
    hour = clock.hour
    if clock.plain and part != "morning":
        small = part == "night" and (hour < 6 or hour == 12)
        hour = hour % 12 if small else hour % 12 + 12
    low, high = _HOURS[part]
    early = part == "night" and hour < 6
    if (not early and not low <= hour <= high) or (part == "morning" and hour == 12):
        raise ScheduleError(f"{clock.hour}:{clock.minute:02} is not in the {part}")
    return Clock(hour, clock.minute, clock.second)


def clock_of(clocks: tuple[Clock, ...], part: str | None) -> Clock:
    """The time of day that was given, else that of the part of the day, else 09:00."""
    if clocks:
        return of_part(clocks[0], part)
    return Clock(PARTS[part]) if part is not None else MORNING


def after(
    now: datetime, delay: Amount, clock: Clock | None, zone: ZoneInfo, home: ZoneInfo | None = None
) -> datetime:
    """`now` plus a length of time: seconds pass in real time, days and months on the calendar.

    Raises ScheduleError where `clock` is of another day for the person, who is in `home`.
    """
    if not delay.calendar:
        return (now.astimezone(UTC) + timedelta(seconds=delay.seconds)).astimezone(zone)
    if home is not None and clock is not None:
        days = [at_wall(moved(now.astimezone(one).date(), delay), clock, zone) for one in (zone, home)]
        if days[0] != days[1]:
            raise two_days(days[0], days[1], now, zone, home)
    local = now.astimezone(zone)
    moment = at_wall(moved(local.date(), delay), clock or Clock(local.hour, local.minute, local.second), zone)
    return (moment.astimezone(UTC) + timedelta(seconds=delay.seconds)).astimezone(zone)


def moved(day: date, by: Amount) -> date:
    """The day so many months and days later; a month without that day gives its last one."""
    years, month = divmod(day.month - 1 + by.months, 12)
    year = day.year + years
    length = calendar.monthrange(year, month + 1)[1]
    return date(year, month + 1, min(day.day, length)) + timedelta(days=by.days)


def next_on(day: Day, clock: Clock, now: datetime, zone: ZoneInfo, home: ZoneInfo | None = None) -> datetime:
    """The first moment after `now` that is on `day` at `clock` in `zone`.

    `home` is where the person is, whose today may be another than that of `zone`. Raises ScheduleError if
    all such moments are past, or if it depends on whose today is meant.
    """
    today = now.astimezone(zone).date()
    found = _next_on(day, clock, now, zone, today)
    if home is not None and (there := now.astimezone(home).date()) != today:
        other = _next_on(day, clock, now, zone, there)
        if other != found:
            raise two_days(found, other, now, zone, home)
    return found


def two_days(one: datetime, other: datetime, now: datetime, zone: ZoneInfo, home: ZoneInfo) -> ScheduleError:
    """The error for a day that is another one in the zone that was said than where the person is."""
    return ScheduleError(
        f"it is {now.astimezone(zone):%Y-%m-%d} in {zone.key}, and {now.astimezone(home):%Y-%m-%d} in "
        f"{home.key}: {one:%Y-%m-%d} or {other:%Y-%m-%d} may be meant; name the date"
    )


def _next_on(day: Day, clock: Clock, now: datetime, zone: ZoneInfo, today: date) -> datetime:
    last: datetime | None = None
    for candidate in _dates(day, today):
        last = at_wall(moved(candidate, day.plus), clock, zone)
        if last > now:
            if day.named is not None and candidate.weekday() != day.named:
                found, said = DAY_NAMES[candidate.weekday()], DAY_NAMES[day.named]
                raise ScheduleError(f"{candidate.isoformat()} is a {found}, not a {said}")
            return last
    if last is None:
        raise ScheduleError("there is no such day")
    raise ScheduleError(
        f"{last:%Y-%m-%d %H:%M} ({zone.key}) is in the past; "
        f"give a time after {now.astimezone(zone):%Y-%m-%d %H:%M}"
    )


def _dates(day: Day, today: date) -> Iterator[date]:
    if day.offset is not None:
        yield today + timedelta(days=day.offset)
    elif day.end:
        yield today + timedelta(days=6 - today.weekday()) if day.end == "week" else date(today.year, 12, 31)
    elif day.weekday is not None:
        yield from _on_weekday(day, day.weekday, today)
    elif day.month is not None:
        year = day.year if day.years is None else today.year + day.years
        years: Iterable[int] = [year] if year is not None else range(today.year, today.year + 9)
        yield from (
            found for year in years if (found := _in_month(day, date(year, day.month, 1))) is not None
        )
    else:
        first = moved(today.replace(day=1), Amount(months=day.month_offset or 0))
        months = (
            [first] if day.month_offset is not None else [moved(first, Amount(months=n)) for n in range(13)]
        )
        yield from (found for month in months if (found := _in_month(day, month)) is not None)


def _on_weekday(day: Day, wanted: int, today: date) -> Iterator[date]:
    if day.week is not None:
        yield today + timedelta(days=wanted - today.weekday() + 7 * day.week)
        return
    ahead = (wanted - today.weekday()) % 7
    if not (day.later and ahead == 0):
        yield today + timedelta(days=ahead)
    yield today + timedelta(days=ahead + 7)


def _in_month(day: Day, first: date) -> date | None:
    length = calendar.monthrange(first.year, first.month)[1]
    if day.nth is not None:
        return _nth(day.nth, first, length)
    number = day.day or 1
    number = length + 1 + number if number < 0 else number
    return first.replace(day=number) if 1 <= number <= length else None


def _nth(nth: Nth, first: date, length: int) -> date | None:
    if len(nth.numbers) != 1:
        raise ScheduleError("several days are named: say every for each month, or name one day")
    fitting = [first + timedelta(days=step) for step in range(length)]
    fitting = [day for day in fitting if day.weekday() in nth.days]
    index = nth.numbers[0] - 1 if nth.numbers[0] > 0 else nth.numbers[0]
    return fitting[index] if -len(fitting) <= index < len(fitting) else None


def today_or_next(clock: Clock, now: datetime, zone: ZoneInfo) -> datetime:
    """The next time that it is `clock`."""
    today = now.astimezone(zone).date()
    moment = at_wall(today, clock, zone)
    return moment if moment > now else at_wall(today + timedelta(days=1), clock, zone)


def next_full_hour(now: datetime, zone: ZoneInfo) -> datetime | None:
    """The next full hour if it is still today."""
    local = now.astimezone(zone)
    later = local.replace(minute=0, second=0, microsecond=0).astimezone(UTC) + timedelta(hours=1)
    later = later.astimezone(zone)
    return later if later.date() == local.date() else None
