"""From what was found to moments: days and times of day on a person's calendar."""

from __future__ import annotations

import calendar
from collections.abc import Iterable, Iterator
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from hopyard.errors import ScheduleError

from hopyard_ai.when._clocks import PARTS
from hopyard_ai.when._parts import Amount, Clock, Day, Nth, Start

MORNING = Clock(9)
"""The time where only a day is given."""


def at_wall(day: date, clock: Clock, zone: ZoneInfo) -> datetime:
    """The moment of a wall time; one that a change of clocks leaves out becomes the first one after it."""
    wall = datetime.combine(day, time(clock.hour, clock.minute, clock.second), tzinfo=zone)
    return wall.astimezone(UTC).astimezone(zone)


def of_part(clock: Clock, part: str | None) -> Clock:
    """`8` in the evening is 20:00."""
    if not clock.plain or part not in ("afternoon", "evening", "night"):
        return clock
    late = clock.hour < 12 if part != "night" else 5 <= clock.hour < 12
    return Clock(clock.hour + 12, clock.minute, clock.second) if late else clock


def clock_of(clocks: tuple[Clock, ...], part: str | None) -> Clock:
    """The time of day that was given, else that of the part of the day, else 09:00."""
    if clocks:
        return of_part(clocks[0], part)
    return Clock(PARTS[part]) if part is not None else MORNING


def after(now: datetime, delay: Amount, clock: Clock | None, zone: ZoneInfo) -> datetime:
    """`now` plus a length of time: seconds pass in real time, days and months on the calendar."""
    if not delay.calendar:
        return (now.astimezone(UTC) + timedelta(seconds=delay.seconds)).astimezone(zone)
    local = now.astimezone(zone)
    day = add_months(local.date(), delay.months) + timedelta(days=delay.days)
    moment = at_wall(day, clock or Clock(local.hour, local.minute, local.second), zone)
    return (moment.astimezone(UTC) + timedelta(seconds=delay.seconds)).astimezone(zone)


def add_months(day: date, months: int) -> date:
    """The same day some months later, or the last one of that month."""
    years, month = divmod(day.month - 1 + months, 12)
    year = day.year + years
    return date(year, month + 1, min(day.day, calendar.monthrange(year, month + 1)[1]))


def next_on(day: Day, clock: Clock, now: datetime, zone: ZoneInfo) -> datetime:
    """The first moment after `now` that is on `day` at `clock`. Raises ScheduleError if all are past."""
    last: datetime | None = None
    for candidate in _dates(day, now.astimezone(zone).date()):
        last = at_wall(candidate, clock, zone)
        if last > now:
            return last
    if last is None:
        raise ScheduleError("there is no such day")
    raise ScheduleError(
        f"{last:%Y-%m-%d %H:%M} ({zone.key}) is in the past; give a time after {now:%Y-%m-%d %H:%M}"
    )


def _dates(day: Day, today: date) -> Iterator[date]:
    if day.offset is not None:
        yield today + timedelta(days=day.offset)
    elif day.month_offset is not None:
        yield add_months(today, day.month_offset)
    elif day.end:
        yield _end(day.end, today)
    elif day.weekdays:
        yield from _on_weekday(day, today)
    elif day.month is not None:
        yield from _on_date(day, day.month, today)
    else:
        yield from _in_months(day, today)


def _end(period: str, today: date) -> date:
    if period == "week":
        return today + timedelta(days=6 - today.weekday())
    month = 12 if period == "year" else today.month
    return date(today.year, month, calendar.monthrange(today.year, month)[1])


def _on_weekday(day: Day, today: date) -> Iterator[date]:
    wanted = day.weekdays[0]
    if day.week is not None:
        yield today + timedelta(days=wanted - today.weekday() + 7 * day.week)
        return
    ahead = (wanted - today.weekday()) % 7
    if not (day.later and ahead == 0):
        yield today + timedelta(days=ahead)
    yield today + timedelta(days=ahead + 7)


def _on_date(day: Day, month: int, today: date) -> Iterator[date]:
    years: Iterable[int] = [day.year] if day.year is not None else range(today.year, today.year + 9)
    for year in years:
        length = calendar.monthrange(year, month)[1]
        if day.nth is not None:
            if (found := _nth(day.nth, date(year, month, 1), length)) is not None:
                yield found
        elif day.days[0] <= length:
            yield date(year, month, day.days[0])


def _in_months(day: Day, today: date) -> Iterator[date]:
    for months in range(13):
        first = add_months(today.replace(day=1), months)
        length = calendar.monthrange(first.year, first.month)[1]
        if day.nth is not None:
            if (found := _nth(day.nth, first, length)) is not None:
                yield found
        elif day.days:
            number = length if day.days[0] == -1 else day.days[0]
            if number <= length:
                yield first.replace(day=number)


def _nth(nth: Nth, first: date, length: int) -> date | None:
    fitting = [first + timedelta(days=step) for step in range(length)]
    fitting = [day for day in fitting if day.weekday() in nth.days]
    index = nth.number - 1 if nth.number > 0 else nth.number
    return fitting[index] if index < len(fitting) else None


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


def last_moment(end: Start, now: datetime, zone: ZoneInfo) -> datetime:
    """The last moment of `until …`: that time, or the end of that day."""
    clock = end.clock or Clock(23, 59, 59)
    if end.day is None:
        return today_or_next(clock, now, zone)
    return next_on(end.day, clock, now, zone)
