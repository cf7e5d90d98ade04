"""Creating, changing and deleting events in the table; the next sync brings them to their calendars."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING, Any, Literal

from hopyard import Unique, storage
from hopyard.errors import InvalidInput
from hopyard.storage import Transaction, derived_id, utcnow

from hopyard_sync.calendars import agenda, compose, expansion, table
from hopyard_sync.calendars.lines import escaped
from hopyard_sync.engine.runner import settings
from hopyard_sync.models import EventChange
from hopyard_sync.tasks import sync_calendar_events

if TYPE_CHECKING:
    from hopyard import Job

_TEXTS = {"title": "SUMMARY", "location": "LOCATION", "notes": "DESCRIPTION"}
_LONGEST = 10_000


async def create(
    job: Job, title: str, start: str, end: str, location: str, notes: str, calendar: str
) -> EventChange:
    """Store a new event. A second attempt of the job finds the first one's. Raises `InvalidInput`."""
    name = _writable(job.person, calendar)
    if not title.strip():
        raise InvalidInput("title: found nothing, expected what the event is about")
    begins, ends = _times(job.person, start, end)
    uid = derived_id("sync.created", job.id)
    now = compose.stamp(utcnow())
    properties = [f"UID:{uid}", f"DTSTAMP:{now}", f"CREATED:{now}", f"LAST-MODIFIED:{now}"]
    properties += [compose.timed("DTSTART", begins), compose.timed("DTEND", ends)]
    given = {"title": title, "location": location, "notes": notes}
    properties += [_text(what, value) for what, value in given.items() if value]
    rows = await table.prepared(name, [table.EventRow(uid, uid, compose.calendar(properties))])
    async with storage.transaction() as tx:
        there = await tx.fetch("SELECT 1 AS n FROM sync_event WHERE connection = $1 AND name = $2", name, uid)
        if not there:
            await table.put(tx, rows)
            await _sync_soon(tx, name)
    return EventChange(id=table.event_id(name, uid), calendar=name, title=title, done="created")


async def change(
    job: Job, event: str, title: str, start: str, end: str, location: str, notes: str
) -> EventChange:
    """Change what is given of an event. Raises `InvalidInput`."""
    row = await _row(job.person, event)
    before = await asyncio.to_thread(expansion.events_of, row["ics"])
    if not before:
        raise InvalidInput(f"event: found {event}, which is a task or a note, expected an event")
    given = {"title": title, "location": location, "notes": notes}
    values: dict[str, str | None] = {
        _TEXTS[what]: _text(what, value)
        for what, value in given.items()
        if value and value != str(before[0].get(_TEXTS[what], ""))
    }
    values |= _new_times(job.person, before, start, end)
    told = title or str(before[0].get("SUMMARY", "")) or "(without a title)"
    changed = EventChange(id=event, calendar=row["connection"], title=told[:500], done="changed")
    if not values:
        return changed.model_copy(update={"done": "unchanged"})
    now = compose.stamp(utcnow())
    values |= {"DTSTAMP": f"DTSTAMP:{now}", "LAST-MODIFIED": f"LAST-MODIFIED:{now}"}
    values["SEQUENCE"] = f"SEQUENCE:{_number(before[0].get('SEQUENCE')) + 1}"
    text = await asyncio.to_thread(compose.changed, row["ics"], values)
    rows = await table.prepared(row["connection"], [table.EventRow(row["name"], row["uid"], text)])
    async with storage.transaction() as tx:
        now_there = await tx.fetch(f"SELECT etag FROM sync_event WHERE id = $1 {tx.sql.for_update}", event)
        if not now_there or now_there[0]["etag"] != row["etag"]:
            raise InvalidInput(f"the event {event} was changed meanwhile: look at it again")
        await table.put(tx, rows)
        await _sync_soon(tx, row["connection"])
    return changed


async def delete(job: Job, event: str) -> EventChange:
    """Delete an event. Raises `InvalidInput` where there is none, unless this job has deleted it before."""
    if "deleted" in job.checkpoint:
        done = EventChange.model_validate(job.checkpoint["deleted"])
    else:
        row = await _row(job.person, event)
        title = await asyncio.to_thread(_title, row["ics"])
        done = EventChange(id=event, calendar=row["connection"], title=title, done="deleted")
        await job.save(deleted=done.model_dump(exclude={"summary"}))
    async with storage.transaction() as tx:
        await tx.execute("DELETE FROM sync_event WHERE id = $1", event)
        await _sync_soon(tx, done.calendar)
    return done


async def _sync_soon(tx: Transaction, calendar: str) -> None:
    unique = Unique(f"after a change of {calendar}", "replace")
    await tx.submit(sync_calendar_events.options(unique=unique), connection=calendar)


def _writable(person: str | None, calendar: str) -> str:
    """Return the calendar that an event is to be put on. Raises `InvalidInput` where that is not plain."""
    own = settings().calendars
    there = [
        name for name in agenda.calendars_of(person) if own[name].kind == "caldav" and own[name].other is None
    ]
    if calendar and calendar in there:
        return calendar
    if not calendar and len(there) == 1:
        return there[0]
    found = repr(calendar[:60]) if calendar else "none named"
    raise InvalidInput(f"calendar: found {found}, expected one of: {', '.join(there) or '(there is none)'}")


async def _row(person: str | None, event: str) -> Mapping[str, Any]:
    """Return an event that somebody may change. Raises `InvalidInput`."""
    rows = []
    if len(event) == 36 and all(letter in "0123456789abcdef-" for letter in event):
        rows = [
            row
            for row in await storage.fetch(
                "SELECT connection, name, uid, etag, ics FROM sync_event WHERE id = $1", event
            )
            if row["connection"] in agenda.calendars_of(person)
        ]
    if not rows:
        raise InvalidInput(f"event: found {event[:60]!r}, expected the id of an event of sync.list_events")
    _writable(person, rows[0]["connection"])
    return rows[0]


Kind = Literal["date", "time"]


def _times(person: str | None, start: str, end: str) -> tuple[datetime | date, datetime | date]:
    """Return when an event begins and ends; of all-day events the end is the first day after."""
    zone = agenda.zone_of(person)
    if not start.strip():
        raise InvalidInput("start: found nothing, expected a time such as 2026-12-24T18:00")
    if _kind(start) == "date":
        if end and _kind(end) != "date":
            raise InvalidInput(f"end: found the time {end[:60]}, expected a date as the start is one")
        first = agenda.moment(start, zone, "start").date()
        last = agenda.moment(end, zone, "end").date() if end else first
        if last < first:
            raise InvalidInput(f"end: found {last}, expected a day from {first} on")
        return first, last + timedelta(days=1)
    begins = agenda.moment(start, zone, "start")
    ends = agenda.moment(end, zone, "end") if end else begins + timedelta(hours=1)
    if ends <= begins:
        raise InvalidInput(f"end: found {end[:60]}, expected a time behind {start[:60]}")
    return begins, ends


def _kind(text: str) -> Kind:
    try:
        date.fromisoformat(text.strip())
    except ValueError:
        return "time"
    return "date"


def _new_times(person: str | None, events: list[Any], start: str, end: str) -> dict[str, str | None]:
    """Return the properties of other times; none where they are as they were."""
    if not start and not end:
        return {}
    if len(events) > 1 or "RRULE" in events[0] or "RDATE" in events[0]:
        raise InvalidInput(
            "the times of a recurring event cannot be changed here, only title, place and notes"
        )
    if not start:
        raise InvalidInput("start: found nothing, expected the new start beside the new end")
    begins, ends = _times(person, start, end)
    if not end and isinstance(begins, datetime):
        ends = begins + expansion.length(events[0])
    lines = {"DTSTART": compose.timed("DTSTART", begins), "DTEND": compose.timed("DTEND", ends)}
    same = expansion.same_times(events[0], begins, ends)
    return {} if same else {**lines, "DURATION": None}


def _text(what: str, value: str) -> str:
    if len(value) > _LONGEST:
        raise InvalidInput(f"{what}: found {len(value):,} characters, expected at most {_LONGEST:,}")
    return f"{_TEXTS[what]}:{escaped(value)}"


def _title(ics: str) -> str:
    try:
        events = expansion.events_of(ics)
    except InvalidInput:
        return "(cannot be read)"
    return str(events[0].get("SUMMARY", ""))[:500] if events else "(without a title)"


def _number(value: Any) -> int:
    try:
        return int(value)
    except (TypeError, ValueError):
        return 0
