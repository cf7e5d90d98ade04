"""Google Calendar and Microsoft Graph: contract tests.

No such server can be had here. What is answered has the shapes of their documentation (events.list of the
Calendar API v3; event: delta of Graph v1.0), served by a server of these tests; nobody has run this plugin
against the real ones.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from hopyard import storage
from hopyard.errors import AuthenticationError, InvalidInput, RateLimited
from hopyard_sync.calendars import google, microsoft
from hopyard_sync.calendars.agenda import agenda
from paged_api import Scripted
from servers import fresh_database
from sync_sites import sync_site

Answer = tuple[int, dict[str, str], Any]


def google_event(
    id_: str, title: str, start: dict[str, str], end: dict[str, str], **more: Any
) -> dict[str, Any]:
    return {
        "kind": "calendar#event",
        "etag": '"3181161784712000"',
        "id": id_,
        "status": "confirmed",
        "htmlLink": "https://www.google.com/calendar/event?eid=x",
        "created": "2026-01-01T10:00:00.000Z",
        "updated": "2026-01-01T10:00:00.000Z",
        "summary": title,
        "creator": {"email": "alice@example.org", "self": True},
        "start": start,
        "end": end,
        "iCalUID": f"{id_}@google.com",
        "sequence": 0,
        "eventType": "default",
        **more,
    }


def wall(text: str) -> dict[str, str]:
    return {"dateTime": text, "timeZone": "Europe/Berlin"}


SERIES = google_event(
    "series1",
    "Stand-up",
    wall("2026-03-02T09:00:00+01:00"),
    wall("2026-03-02T09:30:00+01:00"),
    recurrence=["RRULE:FREQ=WEEKLY;BYDAY=MO"],
)
MOVED = google_event(
    "series1_20260330T070000Z",
    "Stand-up, later",
    wall("2026-03-30T14:00:00+02:00"),
    wall("2026-03-30T14:30:00+02:00"),
    recurringEventId="series1",
    originalStartTime=wall("2026-03-30T09:00:00+02:00"),
)
CANCELLED = {
    "kind": "calendar#event",
    "id": "series1_20260309T080000Z",
    "status": "cancelled",
    "recurringEventId": "series1",
    "originalStartTime": wall("2026-03-09T09:00:00+01:00"),
}
HOLIDAY = google_event("holiday", "Holiday", {"date": "2026-03-05"}, {"date": "2026-03-07"}, location="Home")


class Google:
    """events.list in two pages, then deltas by sync token."""

    def __init__(self) -> None:
        self.delta: list[dict[str, Any]] = []
        self.valid = "sync-1"
        self.all = [SERIES, MOVED, CANCELLED, HOLIDAY]
        self.status: Answer | None = None

    def answer(self, method: str, path: str, headers: dict[str, str], body: bytes) -> Answer:
        parts = urlsplit(path)
        query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        if parts.path == "/token":
            return 200, {}, {"access_token": "ya29.token", "expires_in": 3599, "token_type": "Bearer"}
        assert parts.path == "/calendars/primary/events"
        assert headers["authorization"] == "Bearer ya29.token"
        if self.status is not None:
            return self.status
        listed: dict[str, Any] = {"kind": "calendar#events", "summary": "alice", "timeZone": "Europe/Berlin"}
        if "syncToken" in query:
            if query["syncToken"] != self.valid:
                error = {"code": 410, "message": "Sync token is no longer valid, a full sync is required."}
                return 410, {}, {"error": error}
            return 200, {}, {**listed, "items": self.delta, "nextSyncToken": self.valid}
        if "pageToken" in query:
            return 200, {}, {**listed, "items": self.all[2:], "nextSyncToken": self.valid}
        return 200, {}, {**listed, "items": self.all[:2], "nextPageToken": "page-2"}


def google_settings(url: str) -> dict[str, Any]:
    oauth = {
        "token_url": f"{url}/token",
        "client_id": "c",
        "client_secret": "s-123456",
        "refresh_token": "r-123456",
    }
    return {"calendars": {"work": {"kind": "google", "url": url, "person": "alice", "oauth": oauth}}}


async def told(start: str, end: str) -> list[tuple[str, str]]:
    found = await agenda("alice", "today", start, end)
    assert found.left_out == []
    return [(one.start.isoformat(), one.title) for one in found.events]


async def test_google_series_exceptions_and_days(tmp_path: Path) -> None:
    provider = Google()
    with Scripted(provider.answer) as server:
        async with sync_site(tmp_path, google_settings(server.url)) as site:
            assert (await site.sync("work", dry_run=True)).added == 4
            assert (await site.sync("work")).added == 4
            assert await told("2026-03-01", "2026-04-07") == [
                ("2026-03-02T09:00:00+01:00", "Stand-up"),
                ("2026-03-05", "Holiday"),
                ("2026-03-16T09:00:00+01:00", "Stand-up"),
                ("2026-03-23T09:00:00+01:00", "Stand-up"),
                ("2026-03-30T14:00:00+02:00", "Stand-up, later"),
                ("2026-04-06T09:00:00+02:00", "Stand-up"),
            ]
            provider.delta = [
                {"kind": "calendar#event", "id": "holiday", "status": "cancelled"},
                google_event(
                    "new", "New", wall("2026-03-20T10:00:00+01:00"), wall("2026-03-20T11:00:00+01:00")
                ),
                {"id": "odd"},
            ]
            report = await site.sync("work")
            assert (report.added, report.changed, report.removed, report.set_aside) == (1, 0, 1, 1)


@pytest.mark.parametrize("database", ["sqlite", "postgresql"])
async def test_google_begins_anew_when_its_token_is_known_no_more(
    tmp_path: Path, postgres_url: str, database: str
) -> None:
    provider = Google()
    url = fresh_database(postgres_url) if database == "postgresql" else None
    with Scripted(provider.answer) as server:
        async with sync_site(tmp_path, google_settings(server.url), database=url) as site:
            await site.sync("work")
            provider.valid = "sync-2"
            provider.all = [SERIES, MOVED, CANCELLED]
            report = await site.sync("work")
            assert (report.added, report.removed) == (0, 1)
            assert any("everything was read again" in note for note in report.notes)
            assert {row["name"] for row in await storage.fetch("SELECT name FROM sync_event")} == {
                one["id"] for one in provider.all
            }


async def test_googles_limits_are_told_from_refusals(tmp_path: Path) -> None:
    provider = Google()
    with Scripted(provider.answer) as server:
        async with sync_site(tmp_path, google_settings(server.url)) as site:
            reasons = [{"domain": "usageLimits", "reason": "userRateLimitExceeded"}]
            provider.status = (403, {"Retry-After": "100"}, {"error": {"errors": reasons, "code": 403}})
            with pytest.raises(RateLimited):
                await site.sync("work")
            provider.status = (403, {}, {"error": {"errors": [{"reason": "forbidden"}], "code": 403}})
            with pytest.raises(AuthenticationError):
                await site.sync("work")


async def test_a_withdrawn_consent_needs_a_person(tmp_path: Path) -> None:
    refused: Answer = (
        400,
        {},
        {"error": "invalid_grant", "error_description": "Token has been expired or revoked."},
    )
    with Scripted(lambda *_: refused) as server:
        async with sync_site(tmp_path, google_settings(server.url)) as site:
            with pytest.raises(AuthenticationError, match="invalid_grant"):
                await site.sync("work")
            assert (await site.sync("work")).state == "reconnect"


@pytest.mark.parametrize(
    "change",
    [
        {"start": {}},
        {"start": {"dateTime": "soon"}},
        {"start": {"dateTime": "2026-01-01T10:00:00", "timeZone": "Mars/Olympus"}},
        {"recurrence": ["RRULE:FREQ=DAILY\r\nATTENDEE:mailto:x@y"]},
        {"recurrence": ["BEGIN:VALARM"]},
    ],
)
def test_odd_events_of_google_are_refused(change: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput):
        google.row("holiday", {**HOLIDAY, **change})


def graph_event(id_: str, start: datetime, **more: Any) -> dict[str, Any]:
    def utc(moment: datetime) -> dict[str, str]:
        return {"dateTime": moment.strftime("%Y-%m-%dT%H:%M:%S.0000000"), "timeZone": "UTC"}

    return {"id": id_, "start": utc(start), "end": utc(start + timedelta(hours=1)), **more}


START = (datetime.now(UTC) + timedelta(days=2)).replace(hour=9, minute=0, second=0, microsecond=0)
MASTER = graph_event(
    "AAMkMaster",
    START,
    type="seriesMaster",
    subject="Review",
    location={"displayName": "Room 5"},
    isAllDay=False,
)
VIEW = [
    MASTER,
    graph_event("AAMkOcc1", START, type="occurrence", seriesMasterId="AAMkMaster"),
    graph_event("AAMkOcc2", START + timedelta(days=1), type="occurrence", seriesMasterId="AAMkMaster"),
    graph_event(
        "AAMkSingle", START + timedelta(hours=3), type="singleInstance", subject="Lunch", isAllDay=False
    ),
]


class Graph:
    """calendarView/delta in two pages."""

    def __init__(self) -> None:
        self.delta: list[dict[str, Any]] = []
        self.url = ""
        self.gone = False
        self.begun: list[dict[str, str]] = []

    def answer(self, method: str, path: str, headers: dict[str, str], body: bytes) -> Answer:
        parts = urlsplit(path)
        query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        if parts.path == "/token":
            return 200, {}, {"access_token": "eyJ0", "refresh_token": "r-another", "expires_in": 3599}
        assert parts.path == "/me/calendarView/delta"
        assert headers["prefer"] == 'odata.maxpagesize=200, outlook.timezone="UTC"'
        place = f"{self.url}/me/calendarView/delta"
        if "$deltatoken" in query:
            if self.gone:
                self.gone = False
                return 410, {}, {"error": {"code": "SyncStateNotFound"}}
            return 200, {}, {"value": self.delta, "@odata.deltaLink": f"{place}?$deltatoken=d2"}
        if "$skiptoken" in query:
            return 200, {}, {"value": VIEW[2:], "@odata.deltaLink": f"{place}?$deltatoken=d1"}
        self.begun.append(query)
        return 200, {}, {"value": VIEW[:2], "@odata.nextLink": f"{place}?$skiptoken=s1"}


def graph_settings(url: str, **more: Any) -> dict[str, Any]:
    oauth = {"token_url": f"{url}/token", "client_id": "c", "refresh_token": "r-123456"}
    return {
        "calendars": {"office": {"kind": "microsoft", "url": url, "person": "alice", "oauth": oauth, **more}}
    }


async def test_microsofts_view(tmp_path: Path) -> None:
    provider = Graph()
    with Scripted(provider.answer) as server:
        provider.url = server.url
        async with sync_site(tmp_path, graph_settings(server.url, days_back=1, days_ahead=10)) as site:
            assert (await site.sync("office")).added == 4
            asked = {name: datetime.fromisoformat(text) for name, text in provider.begun[0].items()}
            assert asked["endDateTime"] - asked["startDateTime"] == timedelta(days=11)
            until = (START + timedelta(days=5)).isoformat()
            found = await agenda("alice", "today", START.date().isoformat(), until)
            assert [(one.title, one.location) for one in found.events] == [
                ("Review", "Room 5"),
                ("Lunch", ""),
                ("Review", "Room 5"),
            ]
            provider.delta = [{"id": "AAMkOcc2", "@removed": {"reason": "deleted"}}, {"no": "id"}]
            report = await site.sync("office")
            assert (report.removed, report.set_aside) == (1, 1)
            assert len(provider.begun) == 1
            provider.gone = True
            report = await site.sync("office")
            assert (report.added, len(provider.begun)) == (1, 2)


async def test_microsofts_period_moves_on(tmp_path: Path) -> None:
    provider = Graph()
    with Scripted(provider.answer) as server:
        provider.url = server.url
        async with sync_site(tmp_path, graph_settings(server.url, days_ahead=10)) as site:
            await site.sync("office")
            soon = (datetime.now(UTC) + timedelta(days=4)).isoformat()
            (row,) = await storage.fetch("SELECT cursor FROM sync_stream")
            import json

            cursor = json.dumps({**json.loads(row["cursor"]), "until": soon})
            await storage.execute("UPDATE sync_stream SET cursor = $1", cursor)
            await site.sync("office")
            assert len(provider.begun) == 2


async def test_links_of_microsoft_lead_nowhere_else(tmp_path: Path) -> None:
    provider = Graph()
    with Scripted(provider.answer) as server:
        provider.url = "https://evil.example"
        async with sync_site(tmp_path, graph_settings(server.url)) as site:
            with pytest.raises(InvalidInput, match="nothing was asked there"):
                await site.sync("office")


@pytest.mark.parametrize("change", [{"start": None}, {"start": {"dateTime": "soon"}}, {"end": {}}])
def test_odd_events_of_microsoft_are_refused(change: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput):
        microsoft.row("single", {**VIEW[3], **change})
