"""Events that no reader expects: whatever one is, it costs itself only, and it is not taken for gone."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Any

import pytest
from dav_calendars import event
from hopyard import storage
from hopyard.errors import InvalidInput, JobFailed
from hopyard.testing import Hop
from hopyard_sync import Sync
from hopyard_sync.calendars import agenda, google, lines, microsoft, table
from hopyard_sync.calendars.incoming import Incoming, Page
from hopyard_sync.engine import runner
from hopyard_sync.engine.run import Run
from hopyard_sync.errors import TooManyDeletions
from hopyard_sync.tasks import create_event, list_events
from hopyard_sync.texts import storable
from hypothesis import given, settings
from hypothesis import strategies as st
from paged_api import Scripted
from sync_sites import sync_site

GOOGLE = {
    "id": "good",
    "status": "confirmed",
    "summary": "Good",
    "start": {"dateTime": "2026-12-01T10:00:00+01:00", "timeZone": "Europe/Berlin"},
    "end": {"dateTime": "2026-12-01T11:00:00+01:00", "timeZone": "Europe/Berlin"},
    "recurrence": ["RRULE:FREQ=DAILY;COUNT=2"],
}
MICROSOFT = {
    "id": "good",
    "subject": "Good",
    "type": "singleInstance",
    "isAllDay": False,
    "location": {"displayName": "Room"},
    "start": {"dateTime": "2026-12-01T10:00:00.0000000", "timeZone": "UTC"},
    "end": {"dateTime": "2026-12-01T11:00:00.0000000", "timeZone": "UTC"},
}
ODD_TEXTS = st.sampled_from(
    [
        "", "garbage", "RDATE:garbage", "RRULE:FREQ=NEVER", "RDATE;VALUE=PERIOD:x/y", "cancelled", "UTC",
        "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00", "0000-00-00", "../../etc/passwd",
        "A" * 5000, "\0", "\ud800", "a\r\nb", "PT1H",
    ]
)  # fmt: skip
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20) | ODD_TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


@st.composite
def mutated(draw: st.DrawFn, good: dict[str, Any]) -> Any:
    """An item with some of what is in it replaced by anything."""
    item = {**good, "id": "odd"}
    keys = ["id", "recurringEventId", "originalStartTime", "seriesMasterId", "@removed", *good]
    for key in draw(st.lists(st.sampled_from(keys), min_size=1, max_size=3)):
        inner = item.get(key)
        if isinstance(inner, dict) and inner and draw(st.booleans()):
            item[key] = {**inner, draw(st.sampled_from(sorted(inner))): draw(JSON)}
        else:
            item[key] = draw(JSON)
    return draw(st.sampled_from([item, item, item, draw(JSON)]))


def has_name(item: Any) -> bool:
    name = item.get("id") if isinstance(item, dict) else None
    return isinstance(name, str) and name != "" and name == storable(name)


class Given:
    """A delta that reads items as a provider's does."""

    def __init__(self, read: Any) -> None:
        self._read = read

    async def page(self, cursor: Any, position: Any) -> Page | None:
        raise NotImplementedError

    def read(self, name: str, item: Any) -> table.EventRow | None:
        row: table.EventRow | None = self._read(name, item)
        return row


@pytest.mark.parametrize(
    ("good", "read"),
    [
        (GOOGLE, lambda name, item: google._Events.read(None, name, item)),  # type: ignore[arg-type]
        (MICROSOFT, lambda name, item: microsoft._View.read(None, name, item)),  # type: ignore[arg-type]
    ],
    ids=["google", "microsoft"],
)
def test_whatever_an_item_is_the_others_go_on(good: dict[str, Any], read: Any) -> None:
    incoming = Incoming(Run("work", "google", None), Given(read), "source")

    @settings(deadline=None, max_examples=300)
    @given(st.lists(mutated(good), min_size=1, max_size=3))
    def check(odd: list[Any]) -> None:
        items = [*odd, good]
        found = incoming._sort(items)
        assert "good" in found.rows
        named = [one for one in items if has_name(one)]
        assert found.names == {one["id"] for one in named}
        assert len(found.unnamed) == len(items) - len(named)
        for row in found.rows.values():
            assert all("\0" not in value for value in row if isinstance(value, str))

    check()


VALUES = st.sampled_from(
    [
        "garbage", "20261201T090000Z", "00000101T000000Z", "99991231T235959Z", "20261201", "PT1H",
        "P99999999999D", "-PT1H", "20261201T090000Z/PT1H", "x/y", "FREQ=DAILY", "FREQ=SECONDLY", "",
        "20261201T090000Z,20261202",
        "CANCELLED",
    ]
)  # fmt: skip
NAMES = st.sampled_from(
    ["DTSTART", "DTEND", "DURATION", "RDATE", "EXDATE", "RRULE", "RECURRENCE-ID", "STATUS", "X-A"]
)
PARAMETERS = st.sampled_from(
    [
        "",
        "",
        ";VALUE=DATE",
        ";VALUE=PERIOD",
        ";VALUE=TIME",
        f";TZID={'A' * 300}",
        ";TZID=Europe/Berlin",
        ';X="',
        ";=",
    ]
)


@settings(deadline=None, max_examples=400)
@given(st.lists(st.tuples(NAMES, PARAMETERS, VALUES), max_size=5))
def test_whatever_an_event_says_it_is_read_or_refused(given_: list[tuple[str, str, str]]) -> None:
    more = "\n".join(f"{name}{parameters}:{value}" for name, parameters, value in given_)
    text = event("odd", "Odd", more=more)
    if any(name == "DTSTART" for name, _, _ in given_):
        text = text.replace("DTSTART:20261201T090000Z\r\n", "")
    assert lines.look(text).uid == "odd"
    try:
        row = table.values("work", table.EventRow("odd", "odd", text))
    except InvalidInput:
        return
    assert row[7] is None or row[7].tzinfo is not None


@pytest.mark.parametrize("name", ["", "x" * 1001, "\u8a00" * 400, "a\0b"])
def test_names_that_no_index_holds_are_refused(name: str) -> None:
    with pytest.raises(InvalidInput):
        table.values("work", table.EventRow(name, "uid", event("uid", "Title")))
    with pytest.raises(InvalidInput):
        table.values("work", table.EventRow("name", name, event("uid", "Title")))


def google_site(folder: Path, url: str) -> Any:
    oauth = {"token_url": f"{url}/token", "client_id": "c", "client_secret": "s-123456"}
    return sync_site(folder, {"calendars": {"work": {"kind": "google", "url": url, "oauth": oauth}}})


class Provider:
    """All events, each time."""

    def __init__(self, *items: Any) -> None:
        self.items = [*items]

    def answer(self, method: str, path: str, headers: dict[str, str], body: bytes) -> Any:
        if path.startswith("/token"):
            return 200, {}, {"access_token": "abc"}
        return (
            (410, {}, {}) if "syncToken" in path else (200, {}, {"items": self.items, "nextSyncToken": "s"})
        )


async def names() -> set[str]:
    return {row["name"] for row in await storage.fetch("SELECT name FROM sync_event")}


async def test_what_cannot_be_read_now_is_not_taken_for_gone(tmp_path: Path) -> None:
    good = [{**GOOGLE, "id": f"e{n}"} for n in range(6)]
    provider = Provider(*good)
    with Scripted(provider.answer) as server:
        async with google_site(tmp_path, server.url) as site:
            await site.sync("work")
            provider.items = [*good[:4], {**good[4], "start": 5}]
            preview = await site.sync("work", dry_run=True, full=True)
            report = await site.sync("work")
            assert (preview.removed, report.removed, report.set_aside) == (1, 1, 1)
            assert await names() == {f"e{n}" for n in range(5)}
            provider.items = [*good[:4], "what is this"]
            assert (await site.sync("work")).removed == 0
            assert await names() == {f"e{n}" for n in range(5)}
            provider.items = good
            report = await site.sync("work")
            assert (report.added, report.removed) == (1, 0)
            (left,) = await storage.fetch("SELECT what FROM sync_set_aside")
            assert left["what"] == "what is this"


async def test_another_account_begins_anew(tmp_path: Path) -> None:
    provider = Provider(*({**GOOGLE, "id": f"e{n}"} for n in range(6)))
    with Scripted(provider.answer) as server:
        async with google_site(tmp_path, server.url) as site:
            await site.sync("work")
            provider.items = [{**GOOGLE, "id": "other"}]
            object.__setattr__(runner.settings().calendars["work"], "calendar", "another")
            with pytest.raises(TooManyDeletions):
                await site.sync("work")
            assert (await site.sync("work", force=True)).removed == 6


# --- what people ask for


async def test_periods_that_are_none(tmp_path: Path) -> None:
    async with sync_site(
        tmp_path, {"calendars": {"work": {"url": "http://127.0.0.1:9/", "person": "carol"}}}
    ):
        for start in ("9999-12-31", "0001-01-01", "9001-01-01"):
            with pytest.raises(InvalidInput, match="expected a year from 1000 to 9000"):
                await agenda.agenda(None, "today", start, "")
        with pytest.raises(InvalidInput, match="start: found nothing"):
            await agenda.agenda(None, "today", "", "2026-12-24")
        with pytest.raises(InvalidInput, match="expected one of: alice, carol"):
            await agenda.agenda_of("nobody", "", "")
        for user in ("alice", "carol", None):
            assert (await agenda.agenda_of(user, "9000-12-31", "")).events == []


DAYS = {"calendars": {"alices": {"url": "http://127.0.0.1:9/", "person": "alice"}}}


def test_a_date_is_a_day_however_it_is_written(tmp_path: Path) -> None:
    given = {"plugins.sync.settings": DAYS, "people.alice": {"zone": "Europe/Berlin"}}
    with Hop(Sync, folder=tmp_path, settings=given) as hop:
        hop.run(create_event.options(person="alice"), "Day", "20261201").result()
        (found,) = hop.run(list_events.options(person="alice"), start="2026-12-01").result().events
        assert (found.all_day, found.start, found.end) == (True, date(2026, 12, 1), date(2026, 12, 2))
        for start in ("0001-01-01", "9999-12-31", "9999-12-31T23:00"):
            with pytest.raises(JobFailed, match="expected a year"):
                hop.run(create_event.options(person="alice"), "Day", start).result()


def test_a_kept_version_has_alarms_of_its_own() -> None:
    alarm = "BEGIN:VALARM\nUID:alarm\nACTION:DISPLAY\nTRIGGER:-PT5M\nEND:VALARM"
    text = event("long-" * 30, "Title", more=alarm)
    text = text.replace(f"UID:{'long-' * 30}", lines.folded(f"UID:{'long-' * 30}"))
    made = lines.with_uid(text, "kept")
    assert lines.look(made).uid == "kept"
    assert made.count("UID:alarm") == 1
    assert lines.look(lines.with_uid(made, "long-" * 30)).mark == lines.look(text).mark
