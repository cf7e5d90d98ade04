"""From what a sentence says about time to a schedule's rule."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from hopyard import Rule
from hopyard.errors import ScheduleError

from hopyard_ai.when import _calendar as calendar
from hopyard_ai.when._recurrence import Recurrence
from hopyard_ai.when._values import Clock, Day, Spec


def rule_of(spec: Spec, now: datetime, zone: ZoneInfo) -> Rule:
    """The rule that `spec`, said at `now`, stands for. Raises ScheduleError for what cannot happen."""
    if spec.refused is not None:
        raise ScheduleError(spec.refused)
    if spec.repeat is None:
        return _once(spec, now, zone)
    return Recurrence(spec, spec.repeat, now, zone).rule()


# Once


def _once(spec: Spec, now: datetime, zone: ZoneInfo) -> Rule:
    for name in ("until", "start", "span", "months", "window", "often", "unless", "minutes"):
        if getattr(spec, name) is not None:
            raise ScheduleError(f"{_NAMES[name]} goes only with a recurrence, such as every day at 9:00")
    if spec.count not in (None, 1):
        raise ScheduleError("a number of times goes only with a recurrence, such as every day at 9:00")
    if spec.clocks is not None and len(spec.clocks) > 1:
        raise ScheduleError(
            "several times were found for one day; say `every day at …`, or ask once for each"
        )
    place = zone if spec.zone is None else ZoneInfo(spec.zone.name)
    at = _moment(spec, now, place, zone)
    if spec.shift is not None:
        at = calendar.after(at, spec.shift, None, place)
    _check_offset(spec, at)
    at = at.astimezone(zone)
    if at <= now:
        raise ScheduleError(f"{at:%Y-%m-%d %H:%M} ({zone.key}) is in the past")
    return Rule(at=at, zone=zone.key)


_NAMES = {
    "until": "an end",
    "start": "a beginning",
    "span": "a length of time",
    "months": "a month without a day",
    "window": "`between … and …`",
    "often": "a number of times a day",
    "unless": "an exception",
    "minutes": "a minute of the hour",
}


def _moment(spec: Spec, now: datetime, zone: ZoneInfo, home: ZoneInfo) -> datetime:
    if spec.instant is not None:
        return spec.instant
    clock = calendar.clock_of(spec.clocks or (), spec.part)
    timed = spec.clocks is not None or spec.part is not None
    if spec.same_clock:
        local = now.astimezone(zone)
        clock = Clock(local.hour, local.minute, local.second)
        if spec.day is None or timed:
            raise ScheduleError("`this time` goes with a day alone, such as this time tomorrow")
    if spec.delay is not None:
        if timed and not spec.delay.calendar:
            raise ScheduleError("a length of time within the day does not go with a time of day")
        return calendar.after(now, spec.delay, clock if timed else None, zone, home)
    if spec.shift is not None and spec.clocks is None and not spec.shift.calendar:
        raise ScheduleError("the time is missing that this is before or after")
    if spec.day is None:
        return calendar.today_or_next(clock, now, zone)
    if spec.day == Day(offset=0) and not timed and not spec.same_clock:
        return _later_today(clock, now, home)
    day = _night(spec, clock)
    at = calendar.next_on(day, clock, now, zone, home)
    if not calendar.exists(at, clock):
        raise ScheduleError(
            f"clocks are changed on {at:%Y-%m-%d}: {clock.hour:02}:{clock.minute:02} does not exist then"
        )
    return at


def _night(spec: Spec, clock: Clock) -> Day:
    """The day on which the hours after midnight of a night are."""
    day = spec.day or Day()
    midnight = clock.hour == 0 and clock.minute == 0 and spec.clocks is not None
    if spec.part == "night" and spec.clocks is not None and clock.hour < 6:
        return replace(day, plus=replace(day.plus, days=day.plus.days + 1))
    if midnight and spec.part is None and spec.clocks and spec.clocks[0].named:
        raise ScheduleError(
            "midnight of a day can be its beginning or its end: say 0:00 or 23:59, or tonight"
        )
    return day


def _later_today(usual: Clock, now: datetime, zone: ZoneInfo) -> datetime:
    usually = calendar.at_wall(now.astimezone(zone).date(), usual, zone)
    later = usually if usually > now else calendar.next_full_hour(now, zone)
    if later is None:
        raise ScheduleError(
            f"{usually:%Y-%m-%d %H:%M} ({zone.key}) is in the past, and today has no full hour left"
        )
    return later


def _check_offset(spec: Spec, at: datetime) -> None:
    zone = spec.zone
    if zone is None or zone.offset is None:
        return
    real = at.astimezone(ZoneInfo(zone.name)).utcoffset() or timedelta(0)
    if real != timedelta(minutes=zone.offset):
        raise ScheduleError(
            f"{zone.said} does not hold on {at:%Y-%m-%d}, when clocks there are set otherwise"
        )
