"""What is on a person's calendars, for people and models."""

from __future__ import annotations

import asyncio
import time as clock
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any, Final
from zoneinfo import ZoneInfo

from hopyard import people, storage
from hopyard.errors import InvalidInput

from hopyard_sync.calendars.expansion import Occurrence, occurrences
from hopyard_sync.calendars.table import event_id
from hopyard_sync.engine.runner import settings
from hopyard_sync.models import Agenda, Event

#: The longest period that is told at once.
LONGEST: Final = timedelta(days=366)
#: Events of a period that are read, and seconds for reading them.
_MOST_ROWS: Final = 5000
_MOST_TOLD: Final = 2000
_SECONDS: Final = 5.0
#: Years whose days can be counted with, some days before and a year behind them.
_FIRST_YEAR: Final = 1000
_LAST_YEAR: Final = 9000
_DAYS: Final = {"yesterday": -1, "today": 0, "tomorrow": 1}


@dataclass(frozen=True, slots=True)
class Period:
    """From `start` until `end`, in a person's zone; `day` is the word that asked for it, if a word did."""

    start: datetime
    end: datetime
    zone: ZoneInfo
    day: str = ""


async def agenda(person: str | None, day: str, start: str, end: str) -> Agenda:
    """Return the events of a period on the calendars of a person, or on all of them for operators (None).

    Raises `InvalidInput` for a period that is none or longer than a year.
    """
    asked = period(person, day, start, end)
    rows = await _rows(calendars_of(person), asked)
    return await asyncio.to_thread(_told, rows, asked)


async def agenda_of(user: str | None, start: str, end: str) -> Agenda:
    """Return what `agenda` does. Raises `InvalidInput` for somebody who is nobody here, too."""
    known = {*people.known(), *(one.person for one in settings().calendars.values() if one.person)}
    if user is not None and user not in known:
        raise InvalidInput(
            f"user: found {user[:60]!r}, expected one of: {', '.join(sorted(known)) or '(nobody)'}"
        )
    return await agenda(user, "today", start, end)


def zone_of(person: str | None) -> ZoneInfo:
    """Return a person's zone; the installation's for nobody in particular."""
    return ZoneInfo(people.person(person or "").zone)


def calendars_of(person: str | None) -> list[str]:
    """Return the calendars that somebody may read: a person their own, operators (None) all."""
    own = settings().calendars
    return [name for name, one in own.items() if person is None or one.person == person]


def period(person: str | None, day: str, start: str, end: str) -> Period:
    """Return the period that is asked for. Raises `InvalidInput`."""
    zone = zone_of(person)
    if start:
        begins = moment(start, zone, "start")
        ends = moment(end, zone, "end") if end else _midnight(begins.date() + timedelta(days=1), zone)
        if not begins < ends <= begins + LONGEST:
            raise InvalidInput(f"end: found {end}, expected a time behind {start}, at most a year")
        return Period(begins, ends, zone)
    if end:
        raise InvalidInput(f"start: found nothing, expected the start of the period that ends {end[:60]}")
    today = datetime.now(zone).date()
    if day == "week":
        return Period(
            _midnight(today, zone), _midnight(today + timedelta(days=7), zone), zone, "in the next seven days"
        )
    shift = today + timedelta(days=_DAYS[day])
    return Period(_midnight(shift, zone), _midnight(shift + timedelta(days=1), zone), zone, day)


def moment(text: str, zone: ZoneInfo, what: str) -> datetime:
    """Return a time in a zone; a date is its first moment. Raises `InvalidInput`."""
    try:
        found = datetime.fromisoformat(text.strip())
        found = found.replace(tzinfo=zone) if found.tzinfo is None else found.astimezone(zone)
    except (ValueError, OverflowError):
        raise InvalidInput(f"{what}: found {text[:60]!r}, expected a time such as 2026-12-24T18:00") from None
    if not _FIRST_YEAR <= found.year <= _LAST_YEAR:
        raise InvalidInput(f"{what}: found {text[:60]!r}, expected a year from {_FIRST_YEAR} to {_LAST_YEAR}")
    return found


def _midnight(day: date, zone: ZoneInfo) -> datetime:
    return datetime.combine(day, time(), tzinfo=zone)


async def _rows(calendars: Sequence[str], asked: Period) -> Sequence[Mapping[str, Any]]:
    """Return the events that may be in the period, each with all that has its UID, and what it repeats."""
    return await storage.fetch(
        "SELECT e.connection, e.name, e.uid, e.ics, m.ics AS series FROM sync_event e "
        "LEFT JOIN sync_event m ON m.connection = e.connection AND m.name = e.series "
        f"WHERE e.connection {storage.sql().texts('$1')} AND EXISTS (SELECT 1 FROM sync_event c "
        "WHERE c.connection = e.connection AND c.uid = e.uid AND (c.starts IS NULL OR c.starts < $2) "
        "AND (c.ends IS NULL OR c.ends > $3)) "
        f"ORDER BY e.connection, e.uid, e.name LIMIT {_MOST_ROWS + 1}",
        storage.listed(calendars),
        asked.end.astimezone(UTC),
        asked.start.astimezone(UTC),
    )


def _told(rows: Sequence[Mapping[str, Any]], asked: Period) -> Agenda:
    groups: defaultdict[tuple[str, str], list[Mapping[str, Any]]] = defaultdict(list)
    for row in rows[:_MOST_ROWS]:
        groups[row["connection"], row["uid"]].append(row)
    events: list[Event] = []
    left_out: list[str] = []
    if len(rows) > _MOST_ROWS:
        left_out.append(f"there are more than {_MOST_ROWS} events in this period: ask for a shorter one")
    deadline = clock.monotonic() + _SECONDS
    for n, ((calendar, uid), found) in enumerate(groups.items()):
        if clock.monotonic() > deadline:
            left_out.append(f"{len(groups) - n} events: reading them takes longer than {_SECONDS:g} s")
            break
        try:
            told = occurrences([row["ics"] for row in found], asked.start, asked.end, asked.zone)
        except InvalidInput as error:
            left_out.append(f"{calendar}: the event {uid[:100]}: {error}")
        else:
            names = [row["name"] for row in found]
            title = _title_of_series(found)
            events += [_event(calendar, names[0], one, title) for one in told]
    events.sort(key=lambda one: (_moment(one.start, asked.zone), one.title))
    if len(events) > _MOST_TOLD:
        left_out.append(f"{len(events) - _MOST_TOLD} more events: ask for a shorter period")
    return Agenda(
        start=asked.start,
        end=asked.end,
        zone=asked.zone.key,
        events=events[:_MOST_TOLD],
        left_out=left_out[:50],
        day=asked.day,
    )


def _title_of_series(rows: Sequence[Mapping[str, Any]]) -> tuple[str, str]:
    """Return title and place of the event that a row repeats, for rows that have only their times."""
    from hopyard_sync.calendars.expansion import events_of

    for row in rows:
        if row["series"]:
            for event in events_of(row["series"]):
                return str(event.get("SUMMARY", "")), str(event.get("LOCATION", ""))
    return "", ""


def _event(calendar: str, name: str, one: Occurrence, series: tuple[str, str]) -> Event:
    return Event(
        id=event_id(calendar, name),
        calendar=calendar,
        title=one.title or series[0] or "(without a title)",
        start=one.start,
        end=one.end,
        all_day=not isinstance(one.start, datetime),
        location=one.location or series[1],
        notes=one.notes,
        recurring=one.recurring or bool(series[0]),
    )


def _moment(value: datetime | date, zone: ZoneInfo) -> datetime:
    return value if isinstance(value, datetime) else _midnight(value, zone)
