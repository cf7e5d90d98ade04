"""From what a sentence says about time to a schedule's rule and the words for it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta
from typing import TypeVar
from zoneinfo import ZoneInfo

from hopyard.errors import ScheduleError
from hopyard.specs import Rule

from hopyard_ai.when import _moments as moments
from hopyard_ai.when import _wording as wording
from hopyard_ai.when._choice import Choice, day_completes
from hopyard_ai.when._clocks import PARTS
from hopyard_ai.when._parts import Amount, Clock, Day, Repeat, Slot, Start
from hopyard_ai.when._tokens import DAY_CODES

T = TypeVar("T")
_FREQUENCIES = (("HOURLY", 3600), ("MINUTELY", 60), ("SECONDLY", 1))


@dataclass(frozen=True, slots=True)
class Timing:
    """A rule and the words for it."""

    rule: Rule
    phrase: str
    recurring: bool


class Builder:
    """Builds the rule for one sentence, said at `now` by somebody in `zone`."""

    def __init__(self, choice: Choice, now: datetime, zone: ZoneInfo) -> None:
        self.choice = choice
        self.now = now
        self.zone = zone
        part = self._slot("part", str)
        self.part = part
        self.clocks = tuple(moments.of_part(clock, part) for clock in self._slot("clock", tuple) or ())
        self.repeat = self._slot("repeat", Repeat)
        self.day = self._slot("day", Day)
        self.notes = self._notes()

    def timing(self) -> Timing:
        """The rule. Raises ScheduleError if it says nothing that can happen."""
        if self.repeat is None:
            at = self._once()
            if at <= self.now:
                raise ScheduleError(f"{at:%Y-%m-%d %H:%M} ({self.zone.key}) is in the past")
            return Timing(Rule(at=at, zone=self.zone.key), wording.once(at, self.zone, self.notes), False)
        if not self.repeat.freq:
            return self._within_day(self.repeat)
        return self._calendar(self.repeat)

    def _slot(self, slot: Slot, kind: type[T]) -> T | None:
        found = self.choice.slots.get(slot)
        return found.value if found is not None and isinstance(found.value, kind) else None

    def _notes(self) -> list[str]:
        plain = [clock for clock in self._slot("clock", tuple) or () if clock.plain]
        within_day = self.repeat is not None and not self.repeat.freq
        if plain:
            return [] if self.part is not None and self.part != "morning" else ["24-hour clock"]
        start = self._slot("start", Start)
        timed = {"clock", "part", "instant", "delay"} & self.choice.slots.keys() or (start and start.clock)
        return [] if timed or within_day or self.day == Day(offset=0) else ["no time was given"]

    def _once(self) -> datetime:
        if len(self.clocks) > 1:
            raise ScheduleError(
                "several times were found for one day; say `every day at …`, or ask once for each"
            )
        clock = self.clocks[0] if self.clocks else None
        instant, delay = self._slot("instant", datetime), self._slot("delay", Amount)
        if instant is not None:
            return instant.astimezone(self.zone)
        if delay is not None:
            if clock is None and self.part is not None:
                clock = Clock(PARTS[self.part])
            return moments.after(self.now, delay, clock, self.zone)
        wanted = moments.clock_of(self.clocks, self.part)
        if self.day is None:
            return moments.today_or_next(wanted, self.now, self.zone)
        if len(self.day.weekdays) > 1 or len(self.day.days) > 1:
            raise ScheduleError(
                "several days were found; say `every monday and thursday at 10:15`, or name one day"
            )
        if self.day.offset == 0 and clock is None:
            return self._later_today(wanted)
        return moments.next_on(self.day, wanted, self.now, self.zone)

    def _later_today(self, usual: Clock) -> datetime:
        usually = moments.at_wall(self.now.astimezone(self.zone).date(), usual, self.zone)
        later = usually if usually > self.now else moments.next_full_hour(self.now, self.zone)
        if later is None:
            raise ScheduleError(
                f"{usually:%Y-%m-%d %H:%M} ({self.zone.key}) is in the past, and today has no full hour left"
            )
        return later

    # Recurrences

    def _within_day(self, repeat: Repeat) -> Timing:
        if self.clocks or self.day is not None:
            raise ScheduleError(
                f"{wording.every(repeat.seconds)} does not go with a time of day; "
                "say `every 2 hours starting at 9:00`, or `every day at 9:00`"
            )
        start = self._start()
        anchor = self.now if start is None else start
        until, count = self._end(), self._slot("count", int)
        phrase = wording.within_day(repeat.seconds, start, until, count, self.zone)
        if until is None and count is None:
            return Timing(Rule(every=repeat.seconds, zone=self.zone.key, anchor=anchor), phrase, True)
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
        return Timing(Rule(rrule=text, zone="UTC", anchor=first.astimezone(UTC)), phrase, True)

    def _calendar(self, repeat: Repeat) -> Timing:
        if self.day is not None:
            repeat = self._with_day(repeat, self.day)
        clocks = self._times()
        start, until, count = self._start(), self._end(), self._slot("count", int)
        after = self.now if start is None else max(self.now, start - timedelta(seconds=1))
        repeat, first = self._first(repeat, clocks, after)
        if until is not None and until < first:
            raise ScheduleError(f"the recurrence would end ({until:%Y-%m-%d %H:%M}) before it begins")
        wall = first.astimezone(self.zone)
        text = _text(repeat, repeat.interval)
        anchor = wall
        if len(clocks) > 1 or (wall.hour, wall.minute, wall.second) != _numbers(clocks[0]):
            text += _by_clock(clocks)
            if len(clocks) == 1:  # a time that this day leaves out: counted from the day's beginning instead
                anchor = datetime.combine(wall.date(), time(0), tzinfo=self.zone)
        rule = Rule(rrule=text + _ending(until, count), zone=self.zone.key, anchor=anchor)
        phrase = wording.recurring(repeat, clocks, start, until, count, self.zone, self.notes)
        return Timing(rule, phrase, True)

    def _with_day(self, repeat: Repeat, day: Day) -> Repeat:
        if not repeat.bare or not day_completes(repeat, day):
            raise ScheduleError(
                f"{wording.days(repeat)} does not go with the other day that was found; "
                "say `starting on …` for when it begins"
            )
        return replace(repeat, weekdays=day.weekdays, days=day.days, nth=day.nth, month=day.month)

    def _times(self) -> tuple[Clock, ...]:
        start = self._slot("start", Start)
        clocks = self.clocks
        if not clocks and start is not None and start.clock is not None:
            clocks = (start.clock,)
        clocks = clocks or (moments.clock_of((), self.part),)
        ordered = tuple(sorted(set(clocks), key=_numbers))
        if len(ordered) > 1 and len({clock.minute for clock in ordered}) > 1:
            raise ScheduleError(
                "times of one day with different minutes need a request each, such as 8:00 and 18:30"
            )
        return ordered

    def _start(self) -> datetime | None:
        start = self._slot("start", Start)
        if start is None or (start.day is None and start.clock is None):
            return None
        if start.day is None:
            return moments.today_or_next(start.clock or moments.MORNING, self.now, self.zone)
        if start.clock is None and self.repeat is not None and self.repeat.freq:
            midnight = moments.next_on(start.day, Clock(23, 59, 59), self.now, self.zone)
            return moments.at_wall(midnight.date(), Clock(0), self.zone)
        return moments.next_on(start.day, start.clock or moments.MORNING, self.now, self.zone)

    def _end(self) -> datetime | None:
        until, span = self._slot("until", Start), self._slot("span", Amount)
        if until is not None:
            return moments.last_moment(until, self.now, self.zone)
        return moments.after(self.now, span, None, self.zone) if span is not None else None

    def _first(self, repeat: Repeat, clocks: tuple[Clock, ...], after: datetime) -> tuple[Repeat, datetime]:
        """The first due time after `after`, and `repeat` with its day written out."""
        from hopyard import rules

        def following(text: str, near: datetime) -> datetime:
            search = Rule(
                rrule=text + _by_clock(clocks), zone=self.zone.key, anchor=_midnight(near, self.zone)
            )
            found = rules.next_after(search, near)
            if found is None:
                raise ScheduleError(f"{wording.days(repeat)} never falls due")
            return found

        if not repeat.bare or repeat.freq == "DAILY":
            return repeat, following(_text(repeat, 1), after)
        first = following("FREQ=DAILY", after)
        return _on_day(repeat, first.astimezone(self.zone).date()), first


def _on_day(repeat: Repeat, day: date) -> Repeat:
    if repeat.freq == "WEEKLY":
        return replace(repeat, weekdays=(day.weekday(),))
    return replace(repeat, days=(day.day,), month=day.month if repeat.freq == "YEARLY" else None)


def _midnight(moment: datetime, zone: ZoneInfo) -> datetime:
    return datetime.combine(moment.astimezone(zone).date(), time(0), tzinfo=zone)


def _numbers(clock: Clock) -> tuple[int, int, int]:
    return clock.hour, clock.minute, clock.second


def _text(repeat: Repeat, interval: int) -> str:
    """The RRULE text without time of day and end."""
    pieces = [f"FREQ={repeat.freq}"]
    if interval > 1:
        pieces.append(f"INTERVAL={interval}")
    if repeat.month is not None:
        pieces.append(f"BYMONTH={repeat.month}")
    if repeat.nth is not None:
        number = "" if repeat.nth.working else str(repeat.nth.number)
        pieces.append("BYDAY=" + ",".join(f"{number}{DAY_CODES[day]}" for day in repeat.nth.days))
        if repeat.nth.working:
            pieces.append(f"BYSETPOS={repeat.nth.number}")
    elif repeat.weekdays:
        pieces.append("BYDAY=" + ",".join(DAY_CODES[day] for day in repeat.weekdays))
    elif repeat.days:
        pieces.append("BYMONTHDAY=" + ",".join(str(day) for day in repeat.days))
    return ";".join(pieces)


def _by_clock(clocks: tuple[Clock, ...]) -> str:
    hours = ",".join(str(clock.hour) for clock in clocks)
    return f";BYHOUR={hours};BYMINUTE={clocks[0].minute};BYSECOND={clocks[0].second}"


def _ending(until: datetime | None, count: int | None) -> str:
    if until is not None and count is not None:
        raise ScheduleError("both an end and a number of times were found; say one of them")
    if count is not None:
        return f";COUNT={count}"
    return f";UNTIL={until.astimezone(UTC):%Y%m%dT%H%M%SZ}" if until is not None else ""
