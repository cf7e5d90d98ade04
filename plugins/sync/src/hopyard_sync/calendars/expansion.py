"""From iCalendar to occurrences: rules, exceptions, added and excluded dates (RFC 5545, section 3.8).

Rules are counted by the core's engine for schedules, for which no rule costs more than the days of four
centuries. So a calendar with a million occurrences is answered in bounded time, or with a limit.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from typing import TYPE_CHECKING, Any, Final

from hopyard import Rule, schedules
from hopyard.errors import HopyardError, InvalidInput

if TYPE_CHECKING:
    from icalendar import Event

#: Occurrences of one event in one period.
MOST: Final = 1000
_DAY: Final = timedelta(days=1)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_GREGORIAN: Final = 400
"""Years after which dates fall on the same weekdays again."""


@dataclass(frozen=True, slots=True)
class Occurrence:
    """One occurrence: dates for all-day events, else aware times."""

    start: datetime | date
    end: datetime | date
    title: str
    location: str
    notes: str
    recurring: bool


def events_of(text: str) -> list[Event]:
    """Return the events of a resource. Raises `InvalidInput` for what is no iCalendar."""
    from icalendar import Calendar, Event

    try:
        return [one for one in Calendar.from_ical(text).walk("VEVENT") if isinstance(one, Event)]
    except Exception as error:  # noqa: BLE001 - of foreign text a library may raise anything
        raise InvalidInput(f"found what is no iCalendar: {type(error).__name__}: {error}") from None


def extent(text: str) -> tuple[datetime | None, datetime | None]:
    """Return when a resource's events begin first and end last, with a day to spare for their zones.

    None for an end that is open; the beginning of 1970 for both without events. Raises `InvalidInput` for
    what cannot be read, whatever is wrong with it.
    """
    try:
        events = events_of(text)
        if not events:
            return _EPOCH, _EPOCH
        begins = [(one, [_utc(at, UTC) for at in (_start(one), *_dates(one, "RDATE"))]) for one in events]
        first = min(moment for _, moments in begins for moment in moments) - _DAY
        last = max(max(moments) + _length(one) for one, moments in begins) + _DAY
        return first, None if any("RRULE" in one for one in events) else last
    except InvalidInput:
        raise
    except Exception as error:  # noqa: BLE001 - as above
        raise InvalidInput(f"its times cannot be read: {type(error).__name__}: {error}") from None


def occurrences(texts: Sequence[str], start: datetime, end: datetime, zone: tzinfo) -> list[Occurrence]:
    """Return the occurrences of one UID's events in a period; times without a zone are in `zone`.

    Raises `InvalidInput` for what cannot be read, and for more than `MOST` occurrences.
    """
    events = [one for text in texts for one in events_of(text)]
    try:
        series = _Series(events, start, end, zone)
        found = [one for event in events for one in series.of(event)]
    except HopyardError as error:
        raise InvalidInput(f"its rule cannot be counted: {error}") from None
    except Exception as error:  # noqa: BLE001 - as above
        raise InvalidInput(f"its times cannot be read: {type(error).__name__}: {error}") from None
    if len(found) > MOST:
        raise InvalidInput(f"found more than {MOST} occurrences in this period")
    return found


class _Series:
    """An event, its exceptions, and the period that is asked about."""

    def __init__(self, events: Sequence[Event], start: datetime, end: datetime, zone: tzinfo) -> None:
        self._start, self._end, self._zone = start, end, zone
        excepted = [one for one in events if "RECURRENCE-ID" in one]
        self._excepted = {_utc(one.decoded("RECURRENCE-ID"), zone): one for one in excepted}
        self._later = sorted(
            (moment, id(one), one)
            for moment, one in self._excepted.items()
            if one["RECURRENCE-ID"].params.get("RANGE") == "THISANDFUTURE"
        )

    def of(self, event: Event) -> Iterator[Occurrence]:
        """Yield the occurrences of one component: an exception has one."""
        if str(event.get("STATUS", "")).upper() == "CANCELLED":
            return
        if "RECURRENCE-ID" in event:
            begins = _start(event)
            if self._within(begins, _length(event)):
                yield self._occurrence(event, begins, True)
            return
        excluded = {_utc(moment, self._zone) for moment in _dates(event, "EXDATE")} | set(self._excepted)
        recurring = "RRULE" in event or "RDATE" in event
        for begins in self._starts(event):
            moment = _utc(begins, self._zone)
            if moment in excluded:
                continue
            shaped, begins = self._shaped(event, begins, moment)
            if self._within(begins, _length(shaped)):
                yield self._occurrence(shaped, begins, recurring)

    def _shaped(self, event: Event, begins: Any, moment: datetime) -> tuple[Event, Any]:
        """Return what an occurrence looks like behind a change of "this and all later ones"."""
        before = [one for at, _, one in self._later if at <= moment]
        if not before:
            return event, begins
        shaped = before[-1]
        return shaped, begins + (_start(shaped) - shaped.decoded("RECURRENCE-ID"))

    def _starts(self, event: Event) -> list[Any]:
        """Return where occurrences begin, which may be a little more than those in the period."""
        first = _start(event)
        found = {_utc(one, self._zone): one for one in (first, *_dates(event, "RDATE"))}
        rules = event.get("RRULE", [])
        for rule in rules if isinstance(rules, list) else [rules]:
            for one in self._counted(rule.to_ical().decode(), first, _length(event)):
                found.setdefault(_utc(one, self._zone), one)
        return [found[moment] for moment in sorted(found)]

    def _counted(self, text: str, first: Any, length: timedelta) -> Iterator[Any]:
        """Yield the occurrences of a rule near the period: dates, or times in the zone of the first."""
        whole_days = not isinstance(first, datetime)
        zone = UTC if whole_days else first.tzinfo or self._zone
        key = getattr(zone, "key", None)
        # A zone that is no IANA zone, such as one that a calendar defines itself, has the rule counted in its
        # wall times as if they were in UTC.
        wall = datetime.combine(first, time()) if whole_days else first.replace(tzinfo=None)
        if wall.year < 1900 and "COUNT" not in text:
            wall = wall.replace(year=wall.year + _GREGORIAN)
        rule = Rule(rrule=text, zone=key or "UTC", anchor=wall.replace(tzinfo=None if key else UTC))
        low, high = self._start - length - 2 * _DAY, self._end + 2 * _DAY
        for moment in _between(rule, low, high):
            if whole_days:
                yield moment.date()
            elif key:
                yield moment.astimezone(zone)
            else:
                yield moment.replace(tzinfo=zone)

    def _within(self, begins: Any, length: timedelta) -> bool:
        moment = _utc(begins, self._zone)
        return moment < self._end and (moment + length > self._start or moment >= self._start)

    def _occurrence(self, event: Event, begins: Any, recurring: bool) -> Occurrence:
        if isinstance(begins, datetime):
            begins = _utc(begins, self._zone).astimezone(self._zone)
        texts = {name: str(event.get(name, "")) for name in ("SUMMARY", "LOCATION", "DESCRIPTION")}
        return Occurrence(
            begins,
            begins + _length(event),
            texts["SUMMARY"][:500],
            texts["LOCATION"][:500],
            texts["DESCRIPTION"][:2000],
            recurring,
        )


def _between(rule: Rule, low: datetime, high: datetime) -> list[datetime]:
    """Return the due times of a rule in a period. Raises `InvalidInput` for too many."""
    count = 16
    while True:  # in growing steps: the times behind the period may be centuries away
        due = schedules.upcoming(rule, low, count)
        if len(due) < count or due[-1] > high:
            return [one for one in due if one <= high]
        if count > 4 * MOST:
            raise InvalidInput(f"found more than {MOST} occurrences in this period")
        count *= 4


def _start(event: Event) -> Any:
    if "DTSTART" not in event:
        raise InvalidInput("found an event without DTSTART")
    return event.decoded("DTSTART")


def _length(event: Event) -> timedelta:
    """Return how long an event lasts: until DTEND, for its DURATION, else all of its day or no time."""
    begins = _start(event)
    if "DTEND" in event:
        ends = event.decoded("DTEND")
        if isinstance(ends, datetime) == isinstance(begins, datetime):
            return max(timedelta(0), _utc(ends, UTC) - _utc(begins, UTC))
    if "DURATION" in event:
        given: timedelta = event.decoded("DURATION")
        return max(timedelta(0), given)
    return timedelta(0) if isinstance(begins, datetime) else _DAY


def _dates(event: Event, name: str) -> list[Any]:
    """Return the dates or times of EXDATE or RDATE; of periods their beginnings."""
    given = event.get(name, [])
    lists = given if isinstance(given, list) else [given]
    moments = [one.dt for many in lists for one in many.dts]
    return [one[0] if isinstance(one, tuple) else one for one in moments]


def _utc(value: datetime | date, zone: tzinfo) -> datetime:
    """Return a moment in UTC; dates begin at midnight, and what has no zone is in `zone`."""
    if not isinstance(value, datetime):
        value = datetime.combine(value, time())
    if value.tzinfo is None:
        value = value.replace(tzinfo=zone)
    return value.astimezone(UTC)


def length(event: Event) -> timedelta:
    """Return how long an event lasts."""
    return _length(event)


def same_times(event: Event, begins: datetime | date, ends: datetime | date) -> bool:
    """Say whether an event begins and ends at these times already."""
    start = _start(event)
    if isinstance(start, datetime) != isinstance(begins, datetime):
        return False
    return _utc(start, UTC) == _utc(begins, UTC) and _length(event) == _utc(ends, UTC) - _utc(begins, UTC)
