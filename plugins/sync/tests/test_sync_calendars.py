"""Calendars: what survives a sync, what people see, what they may change, and what is refused."""

from __future__ import annotations

from datetime import date, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from dav_calendars import DavCalendar, event
from hopyard import storage
from hopyard.errors import EgressRefused, InvalidInput
from hopyard_sync.caldav import xml
from hopyard_sync.caldav.collection import Collection
from hopyard_sync.calendars import compose, expansion, lines, merge, table
from hopyard_sync.calendars.agenda import agenda
from hopyard_sync.errors import TooManyDeletions
from paged_api import Scripted
from servers import fresh_database
from sync_servers import Dav
from sync_sites import sync_site

BERLIN = ZoneInfo("Europe/Berlin")

RICH = """BEGIN:VCALENDAR
VERSION:2.0
PRODID:-//Somebody//Else//EN
BEGIN:VTIMEZONE
TZID:Europe/Berlin
BEGIN:STANDARD
DTSTART:19961027T030000
RRULE:FREQ=YEARLY;BYMONTH=10;BYDAY=-1SU
TZOFFSETFROM:+0200
TZOFFSETTO:+0100
TZNAME:CET
END:STANDARD
BEGIN:DAYLIGHT
DTSTART:19810329T020000
RRULE:FREQ=YEARLY;BYMONTH=3;BYDAY=-1SU
TZOFFSETFROM:+0100
TZOFFSETTO:+0200
TZNAME:CEST
END:DAYLIGHT
END:VTIMEZONE
BEGIN:VEVENT
UID:rich@example.org
DTSTAMP:20260101T000000Z
DTSTART;TZID=Europe/Berlin:20260302T090000
DTEND;TZID=Europe/Berlin:20260302T093000
RRULE:FREQ=WEEKLY;BYDAY=MO;COUNT=30
EXDATE;TZID=Europe/Berlin:20260309T090000
SUMMARY:Stand-up\\, weekly
X-ODD-PROPERTY;X-PARAM="a;b:c":kept as it is
ATTENDEE;CN="Müller, Jörg";PARTSTAT=ACCEPTED:mailto:j@example.org
BEGIN:VALARM
ACTION:DISPLAY
TRIGGER:-PT15M
DESCRIPTION:Soon
END:VALARM
END:VEVENT
BEGIN:VEVENT
UID:rich@example.org
RECURRENCE-ID;TZID=Europe/Berlin:20260330T090000
DTSTAMP:20260101T000000Z
DTSTART;TZID=Europe/Berlin:20260330T140000
DTEND;TZID=Europe/Berlin:20260330T143000
SUMMARY:Stand-up in the afternoon
END:VEVENT
END:VCALENDAR
""".replace("\n", "\r\n")

ALL_DAY = (
    event("day@example.org", "Holiday")
    .replace("DTSTART:20261201T090000Z", "DTSTART;VALUE=DATE:20261224")
    .replace("DTEND:20261201T100000Z", "DTEND;VALUE=DATE:20261227")
)
LONG = event("long@example.org", "Long", more="DESCRIPTION:" + "word " * 200)


def calendar_of(server: Dav, calendar: DavCalendar, **more: Any) -> dict[str, Any]:
    return {"calendars": {"work": {**server.settings, "url": calendar.url, "person": "alice", **more}}}


async def put(connection: str, *texts: str) -> None:
    rows = await table.prepared(
        connection, [table.EventRow(lines.look(t).uid, lines.look(t).uid, t) for t in texts]
    )
    async with storage.transaction() as tx:
        await table.put(tx, rows)


@pytest.mark.parametrize("text", [RICH, ALL_DAY, LONG], ids=["rich", "all-day", "long"])
async def test_everything_in_an_event_survives_both_ways(
    tmp_path: Path, radicale: Dav, xandikos: Dav, text: str
) -> None:
    """From one server to the table, to another server, back to the first: nothing is lost."""
    name = str(abs(hash((str(tmp_path), text))))
    a, b = DavCalendar(radicale, f"r{name}"), DavCalendar(xandikos, f"x{name}")
    a.put("one.ics", text)
    other = {**xandikos.settings, "url": b.url}
    async with sync_site(tmp_path, calendar_of(radicale, a, other=other)) as site:
        assert (await site.sync("work")).added == 1
        (there,) = b.texts().values()
        assert lines.look(there).mark == lines.look(text).mark
    async with sync_site(tmp_path / "table", calendar_of(xandikos, b)) as site:
        await site.sync("work")
        (row,) = await storage.fetch("SELECT ics, uid FROM sync_event")
        assert lines.look(row["ics"]).mark == lines.look(text).mark
        changed = compose.changed(row["ics"], {"SUMMARY": "SUMMARY:Another title"})
        await put("work", changed)
        assert (await site.sync("work")).changed == 1
        (there,) = b.texts().values()
        wanted = text.replace("SUMMARY:Stand-up\\, weekly", "SUMMARY:Another title")
        wanted = wanted.replace("SUMMARY:Holiday", "SUMMARY:Another title")
        wanted = wanted.replace("SUMMARY:Long", "SUMMARY:Another title")
        assert lines.look(there).mark == lines.look(wanted).mark


async def test_a_side_is_not_emptied(tmp_path: Path, radicale: Dav) -> None:
    from hopyard import people

    calendar = DavCalendar(radicale, "guarded")
    for n in range(12):
        calendar.put(f"{n}.ics", event(f"{n}@example.org", f"Event {n}"))
    async with sync_site(tmp_path, calendar_of(radicale, calendar)) as site:
        await site.sync("work")
        await storage.execute("DELETE FROM sync_event")
        preview = await site.sync("work", dry_run=True)
        assert (preview.removed, len(calendar.texts())) == (12, 12)
        for _ in range(2):
            with pytest.raises(TooManyDeletions, match="12 of 12 would be deleted on side a"):
                await site.sync("work")
        assert len(calendar.texts()) == 12
        (told,) = await people.inbox("alice")
        assert "--force" in told["body"]
        assert (await site.sync("work", force=True)).removed == 12
        assert calendar.texts() == {}


async def test_a_few_deletions_are_no_matter(tmp_path: Path, xandikos: Dav) -> None:
    calendar = DavCalendar(xandikos, "few")
    for n in range(6):
        calendar.put(f"{n}.ics", event(f"{n}@example.org", f"Event {n}"))
    async with sync_site(tmp_path, calendar_of(xandikos, calendar, most_deletions=0.1)) as site:
        await site.sync("work")
        calendar.delete("1.ics")
        calendar.delete("2.ics")
        assert (await site.sync("work")).removed == 2


@pytest.mark.parametrize("side", ["radicale", "xandikos"])
async def test_what_changes_in_the_middle_is_looked_at_anew(
    tmp_path: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, side: str
) -> None:
    """Somebody changes an event on the server between our look and our write: their change is not lost."""
    server = request.getfixturevalue(side)
    calendar = DavCalendar(server, "middle")
    calendar.put("one.ics", event("one@example.org", "Old"))
    write, late = Collection.write, event("one@example.org", "Theirs", stamp="20260109T000000Z")

    async def write_late(self: Collection, changes: Any) -> Any:
        if calendar.texts()["one.ics"].find("Theirs") < 0:
            calendar.put("one.ics", late)
            calendar.put("two.ics", event("two@example.org", "New there"))
        return await write(self, changes)

    async with sync_site(tmp_path, calendar_of(server, calendar, conflicts="newest")) as site:
        await site.sync("work")
        await put("work", event("one@example.org", "Ours", stamp="20260102T000000Z"))
        await put("work", event("two@example.org", "New here"))
        monkeypatch.setattr(Collection, "write", write_late)
        await site.sync("work")
        rows = await storage.fetch("SELECT name, ics FROM sync_event ORDER BY name")
        assert [lines.look(row["ics"]).mark for row in rows] == [
            lines.look(one).mark for one in (late, event("two@example.org", "New there"))
        ]
        again = await site.sync("work")
        assert (again.added, again.changed, again.removed) == (0, 0, 0)


async def test_a_wrong_address_is_answered_with_the_right_ones(tmp_path: Path, radicale: Dav) -> None:
    from hopyard_sync.engine import runner

    calendar = DavCalendar(radicale, "found")
    wrong = {"calendars": {"work": {**radicale.settings, "url": radicale.home}}}
    async with sync_site(tmp_path, wrong):
        with pytest.raises(InvalidInput, match=r"is no calendar; expected one of: .*found/"):
            await runner.reconnect("work")
    async with sync_site(tmp_path / "right", calendar_of(radicale, calendar)):
        await runner.reconnect("work")


async def test_a_resource_that_cannot_be_read_is_set_aside(tmp_path: Path) -> None:
    good, odd = event("good@example.org", "Good"), "BEGIN:VCALENDAR\r\nBEGIN:VEVENT\r\nEND:VCALENDAR\r\n"
    with Scripted(collection({"good.ics": good, "odd.ics": odd})) as server:
        async with sync_site(tmp_path, {"calendars": {"work": {"url": f"{server.url}/cal/"}}}) as site:
            report = await site.sync("work")
            assert (report.added, report.set_aside) == (1, 1)
            assert [row["uid"] for row in await storage.fetch("SELECT uid FROM sync_event")] == [
                "good@example.org"
            ]


def collection(texts: dict[str, str]) -> Any:
    """A CalDAV server that can only be read."""

    def answer(
        method: str, path: str, headers: dict[str, str], body: bytes
    ) -> tuple[int, dict[str, str], bytes]:
        if method == "REPORT" and b"sync-collection" in body:
            return 501, {}, b""
        found = "".join(
            f'<d:response><d:href>/cal/{name}</d:href><d:propstat><d:prop><d:getetag>"1"</d:getetag>'
            f"<c:calendar-data>{text}</c:calendar-data></d:prop><d:status>HTTP/1.1 200 OK</d:status>"
            "</d:propstat></d:response>"
            for name, text in texts.items()
        )
        return (
            207,
            {},
            f'<d:multistatus xmlns:d="DAV:" xmlns:c="{xml.CALDAV}">{found}</d:multistatus>'.encode(),
        )

    return answer


BOMB = b'<!DOCTYPE x [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;&a;">]><multistatus xmlns="DAV:">&b;</multistatus>'


@pytest.mark.parametrize(
    ("answer", "error", "match"),
    [
        ((207, {}, BOMB), InvalidInput, "document type"),
        ((207, {}, BOMB.decode().encode("utf-16")), InvalidInput, "document type"),
        ((207, {}, b"<a>" * 100 + b"</a>" * 100), InvalidInput, "levels"),
        ((207, {}, b"no xml"), InvalidInput, "no XML"),
        ((207, {}, b"<html/>"), InvalidInput, "expected a multistatus"),
        ((301, {"Location": "http://169.254.169.254/cal/"}, b""), InvalidInput, "nothing was asked there"),
        (
            (
                207,
                {},
                b'<multistatus xmlns="DAV:"><response><href>http://evil.example/x</href></response></multistatus>',
            ),
            InvalidInput,
            "nothing was asked there",
        ),
        (
            (
                207,
                {},
                b'<multistatus xmlns="DAV:"><response><href>/other/x.ics</href></response></multistatus>',
            ),
            InvalidInput,
            "which is not in it",
        ),
    ],
)
async def test_hostile_servers(
    tmp_path: Path, answer: tuple[int, dict[str, str], bytes], error: type[Exception], match: str
) -> None:
    with Scripted(lambda *_: answer) as server:
        async with sync_site(tmp_path, {"calendars": {"work": {"url": f"{server.url}/cal/"}}}) as site:
            with pytest.raises(error, match=match):
                await site.sync("work")


async def test_private_addresses_are_refused(tmp_path: Path, radicale: Dav) -> None:
    settings = {"calendars": {"work": radicale.settings}}
    async with sync_site(tmp_path, settings, egress='"203.0.113.1"') as site:
        with pytest.raises(EgressRefused):
            await site.sync("work")


# --- what people see


def seen(texts: list[str], start: datetime, end: datetime) -> list[tuple[str, str]]:
    found = expansion.occurrences(texts, start, end, BERLIN)
    return sorted((one.start.isoformat(), one.title) for one in found)


def at(*parts: int) -> datetime:
    return datetime(*parts, tzinfo=BERLIN)  # type: ignore[misc,arg-type]  # year, month, day and more


def test_occurrences_exceptions_and_clock_changes() -> None:
    assert seen([RICH], at(2026, 3, 1), at(2026, 4, 10)) == [
        ("2026-03-02T09:00:00+01:00", "Stand-up, weekly"),
        ("2026-03-16T09:00:00+01:00", "Stand-up, weekly"),
        ("2026-03-23T09:00:00+01:00", "Stand-up, weekly"),
        ("2026-03-30T14:00:00+02:00", "Stand-up in the afternoon"),
        ("2026-04-06T09:00:00+02:00", "Stand-up, weekly"),
    ]


def recurring(rule: str, start: str = "20260101T090000Z", more: str = "") -> str:
    text = event("r@example.org", "Again", more=f"RRULE:{rule}\n{more}".strip())
    return text.replace("DTSTART:20261201T090000Z", f"DTSTART:{start}").replace(
        "DTEND:20261201T100000Z\r\n", ""
    )


@pytest.mark.parametrize(
    ("text", "days"),
    [
        (recurring("FREQ=DAILY;UNTIL=20260104T090000Z"), [1, 2, 3, 4]),
        (recurring("FREQ=DAILY;COUNT=3", more="RDATE:20260110T090000Z"), [1, 2, 3, 10]),
        (recurring("FREQ=WEEKLY;BYDAY=SA"), [1, 3, 10, 17, 24, 31]),
        (recurring("FREQ=YEARLY", start="16040105T090000Z"), [5]),
        (recurring("FREQ=DAILY;COUNT=3", more="STATUS:CANCELLED"), []),
        (recurring("FREQ=MONTHLY;BYMONTHDAY=-1"), [1, 31]),
    ],
)
def test_rules(text: str, days: list[int]) -> None:
    found = expansion.occurrences([text], at(2026, 1, 1), at(2026, 2, 1), ZoneInfo("UTC"))
    assert sorted(one.start.day for one in found) == days


def test_all_later_ones_may_be_changed_at_once() -> None:
    exception = recurring("FREQ=DAILY").replace(
        "RRULE:FREQ=DAILY", "RECURRENCE-ID;RANGE=THISANDFUTURE:20260103T090000Z"
    )
    exception = exception.replace("DTSTART:20260101T090000Z", "DTSTART:20260103T110000Z").replace(
        "Again", "Later"
    )
    found = expansion.occurrences(
        [recurring("FREQ=DAILY;COUNT=4"), exception], at(2026, 1, 1), at(2026, 1, 9), ZoneInfo("UTC")
    )
    assert sorted(
        (one.start.day, one.start.hour, one.title) for one in found if isinstance(one.start, datetime)
    ) == [
        (1, 9, "Again"),
        (2, 9, "Again"),
        (3, 11, "Later"),
        (4, 11, "Later"),
    ]


@pytest.mark.parametrize(
    "rule",
    [
        "FREQ=SECONDLY",
        "FREQ=SECONDLY;COUNT=1000000",
        "FREQ=MINUTELY;INTERVAL=1",
        "FREQ=DAILY;BYHOUR=0,1,2,3,4,5,6,7,8,9,10,11,12;BYMINUTE=0,1,2,3,4,5,6,7,8,9,10,11,12,13,14",
        "FREQ=DAILY;BYMONTH=2;BYMONTHDAY=30",
        "FREQ=YEARLY;BYDAY=" + ",".join(f"{n}MO" for n in range(1, 53)) + ";BYSECOND=99",
        "FREQ=NEVER",
    ],
)
@pytest.mark.timeout(20)
def test_a_million_occurrences_are_refused_in_bounded_time(rule: str) -> None:
    with pytest.raises(InvalidInput, match=r"more than|cannot be counted|cannot be read|no iCalendar"):
        expansion.occurrences(
            [recurring(rule, start="19700101T000000Z")], at(2026, 1, 1), at(2026, 12, 31), BERLIN
        )


def test_a_resource_of_ten_thousand_lines_is_read_and_a_larger_one_refused() -> None:
    text = event(
        "big@example.org", "Big", more="\n".join(f"ATTENDEE:mailto:{n}@example.org" for n in range(10_000))
    )
    assert lines.look(text).uid == "big@example.org"
    with pytest.raises(InvalidInput, match="lines"):
        lines.parse("X:1\r\n" * 60_000)
    with pytest.raises(InvalidInput, match="characters"):
        lines.parse("X" * 3_000_000)
    with pytest.raises(InvalidInput, match="deeper"):
        lines.parse("BEGIN:VCALENDAR\r\n" * 20)


@pytest.mark.parametrize("database", ["sqlite", "postgresql"])
async def test_the_agenda_tells_what_it_cannot_tell(tmp_path: Path, postgres_url: str, database: str) -> None:
    url = fresh_database(postgres_url) if database == "postgresql" else None
    settings = {"calendars": {"work": {"url": "http://127.0.0.1:9/", "person": "alice"}}}
    async with sync_site(tmp_path, settings, database=url):
        bad = recurring("FREQ=SECONDLY").replace("r@example.org", "bad@example.org")
        await put("work", RICH, ALL_DAY, bad)
        found = await agenda("alice", "today", "2026-12-24", "2026-12-31")
        assert [(one.title, one.start, one.end) for one in found.events] == [
            ("Holiday", date(2026, 12, 24), date(2026, 12, 27))
        ]
        assert found.zone == "Europe/Berlin"
        assert len(found.left_out) == 1
        assert "more than" in found.left_out[0]
        assert (await agenda("bob", "today", "2026-12-24", "2026-12-31")).events == []
        assert len((await agenda(None, "today", "2026-12-24", "2026-12-31")).events) == 1
        with pytest.raises(InvalidInput, match="at most a year"):
            await agenda("alice", "today", "2026-01-01", "2028-01-01")
        with pytest.raises(InvalidInput, match="expected a time"):
            await agenda("alice", "today", "soon", "")


# --- single properties


def test_only_what_is_changed_is_changed() -> None:
    text = compose.changed(RICH, {"SUMMARY": "SUMMARY:New", "LOCATION": "LOCATION:Room 5"})
    before, after = RICH.split("\r\n"), text.split("\r\n")
    assert [line for line in after if line not in before] == ["SUMMARY:New", "LOCATION:Room 5"]
    assert [line for line in before if line not in after] == ["SUMMARY:Stand-up\\, weekly"]


def test_text_cannot_end_its_line() -> None:
    odd = "a\r\nATTENDEE:mailto:x@y\r\n\0;,\\"
    assert lines.escaped(odd) == "a\\nATTENDEE:mailto:x@y\\n\\;\\,\\\\"
    made = compose.calendar([f"SUMMARY:{lines.escaped(odd * 30)}", "UID:1"])
    assert all(len(line.encode()) <= 75 for line in made.split("\r\n"))
    (only,) = expansion.events_of(made)
    assert "ATTENDEE" not in only


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("X;A=1;B=2:v", "x;b=2;A=1:v", True),
        ('X;A="1":v', "X;A=1:v", True),
        ("X:v", "X:w", False),
        ("RRULE:FREQ=DAILY;COUNT=2", "RRULE:COUNT=2;FREQ=DAILY", True),
        ("X;A=1:v", "X;A=2:v", False),
    ],
)
def test_fingerprints(one: str, other: str, same: bool) -> None:
    marks = [lines.look(event("u", "t", more=more)).mark for more in (one, other)]
    assert (marks[0] == marks[1]) == same


def version(etag: str, title: str | None = None, stamp: str = "20260101T000000Z") -> merge.Version:
    text = None if title is None else event("u", title, stamp=stamp)
    return merge.Version("name", etag, text, lines.look(text) if text else None)


PAIR = {"u": merge.Pair("u", version("1"), version("1"))}


@pytest.mark.parametrize(
    ("a", "b", "policy", "kinds"),
    [
        (version("1"), version("1"), "a", []),
        (version("2", "new"), version("1"), "b", [(merge.Copy, "b")]),
        (None, version("1"), "newest", [(merge.Remove, "b")]),
        (None, None, "a", [(merge.Forget, None)]),
        (version("2", "x"), version("2", "x"), "a", [(merge.Agree, None)]),
        (version("2", "x"), version("2", "y"), "a", [(merge.Copy, "b")]),
        (version("2", "x"), version("2", "y"), "b", [(merge.Copy, "a")]),
        (version("2", "x"), version("2", "y", "20260102T000000Z"), "newest", [(merge.Copy, "a")]),
        (version("2", "x"), version("2", "y"), "newest", [(merge.Copy, "b")]),
        (version("2", "x"), version("2", "y"), "both", [(merge.Fork, None)]),
        (None, version("2", "y"), "a", [(merge.Remove, "b")]),
        (None, version("2", "y"), "b", [(merge.Copy, "a")]),
        (None, version("2", "y"), "newest", [(merge.Copy, "a")]),
        (version("2", "x"), None, "both", [(merge.Copy, "b")]),
    ],
)
def test_plans(a: Any, b: Any, policy: Any, kinds: list[tuple[type, str | None]]) -> None:
    sides = [{"u": one} if one is not None else {} for one in (a, b)]
    made = merge.plan(PAIR, sides[0], sides[1], policy)
    found = [(type(one), getattr(one, "to", getattr(one, "of", None))) for one in made]
    assert found == kinds
