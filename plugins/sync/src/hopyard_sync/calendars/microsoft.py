"""Microsoft's calendars into the table: calendarView/delta of Microsoft Graph v1.0.

One way only. Graph expands series itself within a period; it moves on with a new delta once half of what lay
ahead is over. Where Graph knows the delta no more (410), everything is read again.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from urllib.parse import quote

from hopyard.errors import InvalidInput
from hopyard.storage import utcnow

from hopyard_sync.calendars import compose, table
from hopyard_sync.calendars.incoming import Incoming, Page, source
from hopyard_sync.calendars.lines import escaped
from hopyard_sync.engine.run import Run
from hopyard_sync.http.oauth import OAuth2
from hopyard_sync.http.session import Session
from hopyard_sync.settings.calendars import CalendarConnection

_URL: Final = "https://graph.microsoft.com/v1.0"
_PREFER: Final = {"Prefer": 'odata.maxpagesize=200, outlook.timezone="UTC"'}


async def sync(run: Run) -> None:
    """Read what changed."""
    async with open_session(run) as session:
        try:
            await Incoming(run, _View(session, run.options), source(_base(run.options), run.options)).sync()
        finally:
            run.count_requests(session)


async def check(run: Run) -> None:
    """Ask for one event."""
    settings: CalendarConnection = run.options
    async with open_session(run) as session:
        await session.json("GET", f"{_base(settings)}/events", query={"$top": "1", "$select": "id"})


def open_session(run: Run) -> Session:
    """Return a session with the person's token."""
    settings: CalendarConnection = run.options
    assert settings.oauth is not None  # noqa: S101 - the settings' model sees to it
    return Session(run.name, settings.url or _URL, OAuth2(run.name, settings.oauth))


def _base(settings: CalendarConnection) -> str:
    root = (settings.url or _URL).rstrip("/")
    if settings.calendar == "primary":
        return f"{root}/me/calendar"
    return f"{root}/me/calendars/{quote(settings.calendar, safe='')}"


class _View:
    """The period that is watched. Cursor and positions are `{"link": …, "until": …}`."""

    def __init__(self, session: Session, settings: CalendarConnection) -> None:
        self._session = session
        self._settings = settings

    async def page(self, cursor: Any, position: Any) -> Page | None:
        """Return a page; None where the delta is known no more, or its period nearly over."""
        if cursor is not None and self._over(cursor["until"]):
            return None
        here = position or cursor
        query: dict[str, str] = {}
        if here is None:
            now = utcnow()
            until = _text(now + timedelta(days=self._settings.days_ahead))
            here = {"link": f"{_base(self._settings)}View/delta", "until": until}
            query = {
                "startDateTime": _text(now - timedelta(days=self._settings.days_back)),
                "endDateTime": until,
            }
        url, until = here["link"], here["until"]
        response = await self._session.request("GET", url, query=query, headers=_PREFER, accept=(410,))
        if response.status_code == 410:
            return None
        return self._read(self._session.decoded(response), until)

    def _over(self, until: str) -> bool:
        ahead = datetime.fromisoformat(until) - utcnow()
        return ahead < timedelta(days=self._settings.days_ahead) / 2

    def _read(self, answer: Any, until: str) -> Page:
        if not isinstance(answer, Mapping) or not isinstance(answer.get("value"), list):
            raise InvalidInput("Microsoft: found an answer without value, expected a list of events")
        following, link = answer.get("@odata.nextLink"), answer.get("@odata.deltaLink")
        if following is None and link is None:
            raise InvalidInput("Microsoft: found neither a nextLink nor a deltaLink")
        return Page(
            answer["value"],
            following=None if following is None else {"link": following, "until": until},
            cursor={"link": link, "until": until},
        )

    def read(self, name: str, item: Mapping[str, Any]) -> table.EventRow | None:
        """Return an event, None for one that is removed."""
        return None if "@removed" in item else row(name, item)


def row(name: str, item: Mapping[str, Any]) -> table.EventRow:
    """Return an event as iCalendar; occurrences have only their times, and the id of their series.

    The master of a series is no event of the view: it is kept for its title. Raises `InvalidInput`.
    """
    lines = [f"UID:{escaped(name)}"]
    texts = {
        "SUMMARY": item.get("subject"),
        "LOCATION": _inner(item, "location", "displayName"),
        "DESCRIPTION": item.get("bodyPreview"),
    }
    lines += [f"{key}:{escaped(str(value))}" for key, value in texts.items() if value]
    if item.get("isCancelled") or item.get("type") == "seriesMaster":
        lines.append("STATUS:CANCELLED")
    all_day = bool(item.get("isAllDay"))
    lines += [_time(key, item.get(part), all_day) for key, part in (("DTSTART", "start"), ("DTEND", "end"))]
    series = item.get("seriesMasterId")
    return table.EventRow(name, name, compose.calendar(lines), str(series) if series else None)


def _inner(item: Mapping[str, Any], name: str, inner: str) -> Any:
    value = item.get(name)
    return value.get(inner) if isinstance(value, Mapping) else None


def _time(name: str, value: Any, all_day: bool) -> str:
    try:
        # Graph writes seven digits of a second.
        moment = datetime.fromisoformat(str(value["dateTime"])[:19])
        zone = str(value.get("timeZone") or "UTC")
    except (KeyError, TypeError, ValueError):
        raise InvalidInput(f"{name}: found {str(value)[:100]}, expected a dateTime") from None
    if all_day:
        return compose.timed(name, moment.date())
    return compose.zoned(name, moment.replace(tzinfo=UTC) if zone == "UTC" else moment, zone)


def _text(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="seconds")
