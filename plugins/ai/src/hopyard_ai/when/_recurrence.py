"""From a recurrence that a sentence speaks of to a schedule's rule."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from hopyard import Rule
from hopyard.errors import ScheduleError

from hopyard_ai.when import _calendar as calendar
from hopyard_ai.when._values import Amount, Clock, Day, Except, Repeat, Spec
from hopyard_ai.when._words import DAY_CODES

_FREQUENCIES = (("HOURLY", 3600), ("MINUTELY", 60), ("SECONDLY", 1))
_MIDNIGHT = Clock(0)
#: `from 1 November to 1 March` is a season; `from 5 March to 1 March` rather a slip.
_LONGEST_SEASON = timedelta(days=330)


class Recurrence:
    """Builds the rule of a recurrence, said at `now`, in `zone`."""

    def __init__(self, spec: Spec, repeat: Repeat, now: datetime, zone: ZoneInfo) -> None:
        self.spec, self.repeat, self.now = spec, repeat, now
        self.zone, self.home = _place(spec, zone), zone
        for name in ("delay", "day", "instant", "shift", "same_clock"):
            if getattr(spec, name) is not None:
                raise ScheduleError(
                    "a recurrence does not go with another time; say `starting on …` for when it begins"
                )
        if repeat.unclear and spec.start is None:
            raise ScheduleError(repeat.unclear)
        if spec.count == 1:
            raise ScheduleError("once, and again and again, were both said; say one of them")
        if spec.until is not None and spec.count is not None:
            raise ScheduleError("both an end and a number of times were found; say one of them")

    def rule(self) -> Rule:
        self._share_clock()
        if self.spec.months is not None:
            self._within_months(self.spec.months)
        if self.spec.unless is not None:
            self._narrow(self.spec.unless)
        if not self.repeat.freq:
            return self._windowed() if self._hourly() else self._within_day()
        return self._calendar()

    def _share_clock(self) -> None:
        """`every day until friday at 8` says when on each day."""
        until = self.spec.until
        if (
            not self.repeat.freq
            or until is None
            or until.clocks is None
            or self.spec.clocks
            or self.spec.part
        ):
            return
        if until.day is None:
            raise ScheduleError("it does not say at what time of each day")
        self.spec = replace(
            self.spec, clocks=until.clocks, part=until.part, until=replace(until, clocks=None, part=None)
        )

    def _within_months(self, months: tuple[int, ...]) -> None:
        """`every day in June`: the next one, or what is left of this one."""
        first, last = months[0], months[-1]
        if self.repeat.freq not in ("DAILY", "WEEKLY") or len(months) != last - first + 1:
            raise ScheduleError("say from which day to which: months do not go with this recurrence")
        if self.spec.given() & {"start", "until", "span", "count", "unless"}:
            raise ScheduleError("months go neither with a beginning or an end nor with an exception; say one")
        today = self.now.astimezone(self.zone).date()
        year = today.year + (today.month > last)
        begun = (year, first) <= (today.year, today.month)
        start = None if begun else Spec(day=Day(year=year, month=first, day=1))
        until = Spec(day=Day(year=year, month=last, day=-1))
        self.spec = replace(self.spec, months=None, start=start, until=until)

    def _narrow(self, unless: Except) -> None:
        """Leave out days and months that are excepted."""
        repeat = self.repeat
        months = set(repeat.months or range(1, 13))
        weekdays = set(repeat.weekdays or range(7))
        days = set(repeat.days)
        if (
            not repeat.freq
            or repeat.interval > 1
            or repeat.nth is not None
            or (repeat.freq == "MONTHLY" and repeat.bare)
        ):
            raise ScheduleError("an exception goes only with every day, weekday or named day")
        if not set(unless.weekdays) <= weekdays or not set(unless.months) <= months:
            raise ScheduleError("what is left out is not among the days")
        months, weekdays = months - set(unless.months), weekdays - set(unless.weekdays)
        if unless.days:
            if repeat.freq != "DAILY" or min(unless.days) < 0:
                raise ScheduleError("days of the month can be left out of every day only")
            days = set(range(1, 32)) - set(unless.days)
        if not months or not weekdays:
            raise ScheduleError("nothing is left of it")
        narrowed = replace(repeat, months=tuple(sorted(months)) if len(months) < 12 else ())
        if repeat.freq in ("DAILY", "WEEKLY") and len(weekdays) < 7:
            narrowed = replace(narrowed, freq="WEEKLY", weekdays=tuple(sorted(weekdays)))
        elif unless.weekdays:
            raise ScheduleError("weekdays can be left out of every day only")
        self.repeat = replace(narrowed, days=tuple(sorted(days)))

    # Within the day

    def _hourly(self) -> bool:
        return self.spec.window is not None or self.spec.minutes is not None

    def _windowed(self) -> Rule:
        """`every hour between 9 and 17`, `every hour at :15`: written out as times of the day."""
        spec = self.spec
        minutes, rest = divmod(self.repeat.seconds, 60)
        if spec.window is not None and self.repeat.weekdays and 5 <= minutes < 60 and not rest:
            return self._at_times(_every(int(minutes), *spec.window))
        hours = self.repeat.seconds / 3600
        minute = spec.minutes[0] if spec.minutes is not None else 0
        first, last = 0, 23
        if spec.window is not None:
            one, other = (calendar.of_part(clock, spec.part) for clock in spec.window)
            minute = one.minute if spec.minutes is None else minute
            if one.hour >= other.hour or other.minute < minute or one.minute > minute:
                raise ScheduleError(
                    "`between … and …` needs two full hours of one day, such as 9:00 and 17:00"
                )
            first, last = one.hour, other.hour
        if hours not in (1, 2, 3, 4, 6, 8, 12):
            raise ScheduleError(
                "hours of the day need a recurrence in whole hours, such as every hour or 2 hours, or days, "
                "such as on weekdays"
            )
        return self._at_times(tuple(Clock(hour, minute) for hour in range(first, last + 1, int(hours))))

    def _at_times(self, clocks: tuple[Clock, ...]) -> Rule:
        self.repeat = replace(self.repeat, freq="WEEKLY" if self.repeat.weekdays else "DAILY", seconds=0.0)
        self.spec = replace(self.spec, clocks=clocks, window=None, minutes=None)
        return self._calendar()

    def _within_day(self) -> Rule:
        spec, repeat = self.spec, self.repeat
        if spec.clocks is not None or spec.part is not None or spec.often is not None:
            raise ScheduleError(
                f"every {repeat.seconds:g} seconds does not go with a time of day; "
                "say `every 2 hours starting at 9:00`, or `every day at 9:00`"
            )
        if repeat.weekdays:
            raise ScheduleError(
                "say between which hours of those days, such as every hour between 9:00 and 17:00"
            )
        start = self._start()
        anchor = self.now if start is None else start
        until, count = self._end(), spec.count
        if until is None and count is None:
            return Rule(every=repeat.seconds, zone=self.zone.key, anchor=anchor)
        first = anchor + timedelta(seconds=repeat.seconds) if start is None else anchor
        if until is not None and until < first:
            raise ScheduleError(f"the recurrence would end ({until:%Y-%m-%d %H:%M}) before it begins")
        if repeat.seconds != int(repeat.seconds) or repeat.seconds > 100_000:
            raise ScheduleError(
                "with an end, a recurrence within the day needs whole seconds, at most 100000"
            )
        # In UTC, where no clock is ever changed: the distances stay equal.
        freq, size = next(unit for unit in _FREQUENCIES if repeat.seconds % unit[1] == 0)
        text = f"FREQ={freq};INTERVAL={int(repeat.seconds) // size}" + _ending(until, count)
        return Rule(rrule=text, zone="UTC", anchor=first.astimezone(UTC))

    # On the calendar

    def _calendar(self) -> Rule:
        if self._hourly():
            raise ScheduleError("`between … and …` goes only with a recurrence in hours, such as every hour")
        clocks = self._times()
        start, until = self._start(), self._end()
        after = self.now if start is None else max(self.now, start - timedelta(seconds=1))
        repeat, first = self._first(clocks, after)
        if until is not None and until < first:
            raise ScheduleError(f"the recurrence would end ({until:%Y-%m-%d %H:%M}) before it begins")
        wall = first.astimezone(self.zone)
        text, anchor = _text(repeat), wall
        if len(clocks) > 1 or (wall.hour, wall.minute, wall.second) != _numbers(clocks[0]):
            text = _by_clock(text, clocks)
            if len(clocks) == 1:  # a time that this day leaves out: counted from the day's beginning instead
                anchor = datetime.combine(wall.date(), time(0), tzinfo=self.zone)
        return Rule(rrule=text + _ending(until, self.spec.count), zone=self.zone.key, anchor=anchor)

    def _times(self) -> tuple[Clock, ...]:
        start, clocks = self.spec.start, self.spec.clocks or ()
        clocks = tuple(calendar.of_part(clock, self.spec.part) for clock in clocks)
        if not clocks and start is not None and start.clocks is not None:
            clocks = (calendar.clock_of(start.clocks, start.part),)
        often = self.spec.often
        if often is not None and often != len(clocks):
            raise ScheduleError("the times of the day are missing (`every day at 8 and 20`)")
        return tuple(sorted(set(clocks or (calendar.clock_of((), self.spec.part),)), key=_numbers))

    def _start(self) -> datetime | None:
        start = self.spec.start
        if start is None:
            return None
        if start.delay is not None:
            return calendar.after(self.now, start.delay, None, self.zone)
        clock = calendar.clock_of(start.clocks or (), start.part)
        near = self._before_end(start.day)
        if start.instant is not None or start.day is None:
            return start.instant or calendar.today_or_next(clock, self.now, self.zone)
        if start.clocks is None and self.repeat.freq:
            midnight = calendar.next_on(start.day, Clock(23, 59, 59), near, self.zone, self.home)
            return calendar.at_wall(midnight.date(), _MIDNIGHT, self.zone)
        return calendar.next_on(start.day, clock, near, self.zone, self.home)

    def _before_end(self, start: Day | None) -> datetime:
        """From when to look for the beginning: `from 1 March to 5 March` may have begun."""
        until = self.spec.until.day if self.spec.until is not None else None
        if start is None or until is None or start.year is not None or start.month is None:
            return self.now
        year = timedelta(days=365)
        end = calendar.next_on(until, Clock(23, 59, 59), self.now, self.zone)
        began = calendar.next_on(start, _MIDNIGHT, end - year, self.zone)
        if end - began > _LONGEST_SEASON:
            raise ScheduleError("the end comes just before the beginning; say the year of both")
        return end - year if began <= self.now else self.now

    def _end(self) -> datetime | None:
        """The last moment of `until …`: that time, or the end of that day."""
        until, span = self.spec.until, self.spec.span
        if until is None:
            return self._after(span) if span is not None else None
        if until.instant is not None:
            return until.instant
        zone = self.zone if until.zone is None else ZoneInfo(until.zone.name)
        timed = until.clocks is not None or until.part is not None
        if not self.repeat.freq and (not timed or (until.day is None and self._two_ends(until.clocks))):
            raise ScheduleError("it is not clear when it ends: give the end as a time, such as 18:00 or 6pm")
        clock = calendar.clock_of(until.clocks or (), until.part) if timed else Clock(23, 59, 59)
        if until.day is None:
            return calendar.today_or_next(clock, self.now, zone)
        start = self._start() if until.day.year is None and until.day.week is None else None
        near = self.now if start is None or until.day.offset is not None else max(start, self.now)
        return calendar.next_on(until.day, clock, near, zone, self.home if near == self.now else None)

    def _two_ends(self, clocks: tuple[Clock, ...] | None) -> bool:
        """Whether `until 6` may be this evening or tomorrow morning."""
        local = self.now.astimezone(self.zone)
        return any(clock.plain and clock.hour <= local.hour < clock.hour + 12 for clock in clocks or ())

    def _after(self, span: Amount) -> datetime:
        """The end of a length of time; the beginning itself is not counted in again."""
        begin = self._start() or self.now
        return calendar.after(max(begin, self.now), span, None, self.zone) - timedelta(
            seconds=1 if self.spec.start is not None and span.calendar else 0
        )

    def _first(self, clocks: tuple[Clock, ...], after: datetime) -> tuple[Repeat, datetime]:
        """The first due time after `after`, and the recurrence with its day written out."""
        from hopyard.schedules import next_after

        def following(text: str, near: datetime) -> datetime:
            near_day = datetime.combine(near.astimezone(self.zone).date(), time(0), tzinfo=self.zone)
            found = next_after(Rule(rrule=_by_clock(text, clocks), zone=self.zone.key, anchor=near_day), near)
            if found is None:
                raise ScheduleError("this recurrence never falls due")
            return found

        repeat = self.repeat
        if not repeat.bare or repeat.freq == "DAILY":
            return repeat, following(_text(replace(repeat, interval=1)), after)
        # `every six months` is counted from the day of asking, as `every 20 minutes` is from the moment.
        first = following("FREQ=DAILY", after)
        today = self.now.astimezone(self.zone).date()
        day = first.astimezone(self.zone).date()
        if self.spec.start is None and day != today:
            day = calendar.moved(today, repeat.period)
        repeat = _on_day(repeat, day)
        begin = calendar.at_wall(day, _MIDNIGHT, self.zone) - timedelta(seconds=1)
        return repeat, following(_text(replace(repeat, interval=1)), max(begin, after))


def _on_day(repeat: Repeat, day: date) -> Repeat:
    if repeat.freq == "WEEKLY":
        return replace(repeat, weekdays=(day.weekday(),))
    if day.day > 28:
        raise ScheduleError(f"not every month has a day {day.day}: say on which day it comes")
    return replace(repeat, days=(day.day,), months=(day.month,) if repeat.freq == "YEARLY" else ())


def _numbers(clock: Clock) -> tuple[int, int, int]:
    return clock.hour, clock.minute, clock.second


def _text(repeat: Repeat) -> str:
    """The RRULE text without time of day and end."""
    pieces = [f"FREQ={repeat.freq}"]
    if repeat.interval > 1:
        pieces.append(f"INTERVAL={repeat.interval}")
    if repeat.months:
        pieces.append("BYMONTH=" + ",".join(str(month) for month in repeat.months))
    if repeat.nth is not None and repeat.nth.working:
        pieces.append("BYDAY=" + ",".join(DAY_CODES[day] for day in repeat.nth.days))
        pieces.append("BYSETPOS=" + ",".join(str(number) for number in repeat.nth.numbers))
    elif repeat.nth is not None:
        day = DAY_CODES[repeat.nth.days[0]]
        pieces.append("BYDAY=" + ",".join(f"{number}{day}" for number in repeat.nth.numbers))
    elif repeat.weekdays:
        pieces.append("BYDAY=" + ",".join(DAY_CODES[day] for day in repeat.weekdays))
    if repeat.days:
        pieces.append("BYMONTHDAY=" + ",".join(str(day) for day in repeat.days))
    return ";".join(pieces)


def _by_clock(text: str, clocks: tuple[Clock, ...]) -> str:
    """The RRULE text with times of day; those with different minutes are picked out of all combinations."""
    hours, minutes = sorted({clock.hour for clock in clocks}), sorted({clock.minute for clock in clocks})
    times = ",".join(map(str, hours)), ",".join(map(str, minutes))
    picked = ""
    if len(hours) * len(minutes) != len(clocks):
        if text.startswith("FREQ=WEEKLY") and "INTERVAL" not in text:
            text = text.replace("WEEKLY", "DAILY", 1)
        if not text.startswith("FREQ=DAILY"):
            raise ScheduleError(
                "times of one day with different minutes need a request each, such as 8:00 and 18:30"
            )
        whole = [(hour, minute) for hour in hours for minute in minutes]
        places = sorted(whole.index((clock.hour, clock.minute)) + 1 for clock in clocks)
        picked = ";BYSETPOS=" + ",".join(map(str, places))
    return f"{text};BYHOUR={times[0]};BYMINUTE={times[1]};BYSECOND={clocks[0].second}{picked}"


def _ending(until: datetime | None, count: int | None) -> str:
    if count is not None:
        return f";COUNT={count}"
    return f";UNTIL={until.astimezone(UTC):%Y%m%dT%H%M%SZ}" if until is not None else ""


def _place(spec: Spec, zone: ZoneInfo) -> ZoneInfo:
    if spec.zone is None:
        return zone
    if spec.zone.offset is not None:
        city = spec.zone.name.rpartition("/")[2].replace("_", " ")
        raise ScheduleError(f"{spec.zone.said} does not hold all year: say {city} time")
    return ZoneInfo(spec.zone.name)


def _every(minutes: int, first: Clock, last: Clock) -> tuple[Clock, ...]:
    """Times of day, so many minutes apart, from `first` to `last`. Raises ScheduleError where none are."""
    begin, end = (60 * clock.hour + clock.minute for clock in (first, last))
    if begin >= end:
        raise ScheduleError("`between … and …` needs two times of one day, such as 9:00 and 17:00")
    found = tuple(Clock(*divmod(at, 60)) for at in range(begin, end + 1, minutes))
    if len(found) > _TIMES_A_DAY:
        raise ScheduleError(f"those are {len(found)} times a day, expected at most {_TIMES_A_DAY}")
    return found


_TIMES_A_DAY = 96
