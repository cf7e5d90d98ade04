"""Google Calendar into the table: events.list with sync tokens (Calendar API v3).

One way only. Where Google knows the token no more (410), everything is read again and what was not seen is
removed.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime
from typing import Any, Final
from urllib.parse import quote

from hopyard.errors import InvalidInput

from hopyard_sync.calendars import compose, table
from hopyard_sync.calendars.incoming import Incoming, Page, source
from hopyard_sync.calendars.lines import escaped
from hopyard_sync.engine.run import Run
from hopyard_sync.http.oauth import OAuth2
from hopyard_sync.http.session import Session
from hopyard_sync.settings.calendars import CalendarConnection

_URL: Final = "https://www.googleapis.com/calendar/v3"


async def sync(run: Run) -> None:
    """Read what changed."""
    async with open_session(run) as session:
        try:
            await Incoming(run, _Events(session, run.options), source(_path(run.options), run.options)).sync()
        finally:
            run.count_requests(session)


async def check(run: Run) -> None:
    """Ask for one event."""
    async with open_session(run) as session:
        await session.json("GET", _path(run.options), query={"maxResults": "1"})


def open_session(run: Run) -> Session:
    """Return a session with the person's token."""
    settings: CalendarConnection = run.options
    assert settings.oauth is not None  # noqa: S101 - the settings' model sees to it
    return Session(run.name, settings.url or _URL, OAuth2(run.name, settings.oauth))


def _path(settings: CalendarConnection) -> str:
    return f"{(settings.url or _URL).rstrip('/')}/calendars/{quote(settings.calendar, safe='')}/events"


class _Events:
    """The list of events. Positions are page tokens, the cursor is the sync token."""

    def __init__(self, session: Session, settings: CalendarConnection) -> None:
        self._session = session
        self._path = _path(settings)

    async def page(self, cursor: Any, position: Any) -> Page | None:
        """Return a page; None where the token is known no more."""
        query = {"maxResults": "250"}
        if cursor is not None:
            query["syncToken"] = str(cursor)
        if position is not None:
            query["pageToken"] = str(position)
        response = await self._session.request("GET", self._path, query=query, accept=(410,))
        if response.status_code == 410:
            return None
        answer = self._session.decoded(response)
        if not isinstance(answer, Mapping) or not isinstance(answer.get("items", []), list):
            raise InvalidInput("Google: found an answer without items, expected a list of events")
        return Page(answer.get("items", []), answer.get("nextPageToken"), answer.get("nextSyncToken"))

    def read(self, name: str, item: Mapping[str, Any]) -> table.EventRow | None:
        """Return an event; of a cancelled one of a series the exception that takes it out."""
        gone = item.get("status") == "cancelled" and "recurringEventId" not in item
        return None if gone else row(name, item)


def row(name: str, item: Mapping[str, Any]) -> table.EventRow:
    """Return an event as iCalendar. An exception has the UID of its series. Raises `InvalidInput`."""
    series = item.get("recurringEventId")
    # Events of a series share Google's id of the series; not all cancelled ones come with their iCalUID.
    uid = str(series or name)
    lines = [f"UID:{escaped(uid)}"]
    if series is not None:
        lines.append(_time("RECURRENCE-ID", item.get("originalStartTime")))
    if item.get("status") == "cancelled":
        lines += [_time("DTSTART", item.get("originalStartTime")), "STATUS:CANCELLED"]
    else:
        lines += [_time("DTSTART", item.get("start")), _time("DTEND", item.get("end"))]
    texts = {"SUMMARY": "summary", "LOCATION": "location", "DESCRIPTION": "description"}
    lines += [f"{key}:{escaped(str(item[part]))}" for key, part in texts.items() if item.get(part)]
    rules = item.get("recurrence") or []
    if not isinstance(rules, list):
        raise InvalidInput(f"recurrence: found {str(rules)[:60]}, expected a list")
    lines += [_rule(one) for one in rules]
    return table.EventRow(name, uid, compose.calendar(lines))


def _rule(line: Any) -> str:
    """Return a line such as RRULE:… that Google gives as it is in iCalendar."""
    text = str(line)
    if not text.startswith(("RRULE:", "EXRULE:", "RDATE", "EXDATE")) or not text.isprintable():
        raise InvalidInput(f"recurrence: found {text[:60]!r}, expected RRULE, RDATE or EXDATE")
    return text


def _time(name: str, value: Any) -> str:
    """Return a start or an end: a date, or a time with the zone in which it repeats."""
    if not isinstance(value, Mapping):
        raise InvalidInput(f"{name}: found nothing, expected a date or a time")
    try:
        if "date" in value:
            return compose.timed(name, date.fromisoformat(value["date"]))
        moment = datetime.fromisoformat(value["dateTime"])
    except (KeyError, TypeError, ValueError):
        raise InvalidInput(f"{name}: found {str(value)[:100]}, expected a date or a dateTime") from None
    zone = value.get("timeZone")
    if zone is not None and not isinstance(zone, str):
        raise InvalidInput(f"{name}: found the zone {str(zone)[:60]}, expected a text")
    return compose.zoned(name, moment, zone)
