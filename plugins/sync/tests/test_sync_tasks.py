"""Tasks as jobs: schedules, tools, people, a stranger's connector, commands."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from click.testing import CliRunner
from hopyard import Plugin, PluginSettings, hookimpl, schedules
from hopyard.cli import main
from hopyard.errors import AuthenticationError, JobFailed
from hopyard.testing import Hop
from hopyard_sync import Connector, Record, Run, Sync
from hopyard_sync.models import Agenda
from hopyard_sync.tasks import (
    change_event,
    create_event,
    delete_event,
    list_events,
    sync_connection,
    sync_third_party_api,
)
from paged_api import Scripted
from pydantic import BaseModel, SecretStr


class Shelf(BaseModel):
    """Options of a stranger's kind of connection."""

    size: int
    key: SecretStr


async def read_shelf(run: Run) -> None:
    """Store as many things as the shelf has."""
    state = await run.stream("things")
    rows = [Record(str(n), {"n": n}) for n in range(run.options.size)]
    await run.store(state.done(cursor=None), rows, completed=True)


async def check_shelf(run: Run) -> None:
    """Refuse all keys but one."""
    if run.options.key.get_secret_value() != "right-key":
        raise AuthenticationError("the shelf is locked")


class Library(Plugin[PluginSettings]):
    """A stranger's plugin."""

    requires = ("sync",)

    @hookimpl
    def register_connectors(self) -> list[Connector]:
        return [Connector("shelf", read_shelf, check_shelf, Shelf)]


def shelf(**options: Any) -> dict[str, Any]:
    return {"kind": "shelf", "options": options, "secrets": {"key": "right-key"}}


@pytest.fixture
def api() -> Iterator[Scripted]:
    with Scripted(lambda *_: (200, {}, [{"id": 1}, {"id": 2}])) as made:
        yield made


def hop_in(folder: Path, settings: Mapping[str, Any], *plugins: Any) -> Hop:
    given = {
        "plugins.sync.settings": settings,
        "egress.allow": ["127.0.0.1"],
        "people.alice": {"zone": "Europe/Berlin"},
        "people.bob": {"zone": "Europe/Berlin"},
    }
    return Hop(Sync, *plugins, folder=folder, settings=given)


def test_a_strangers_connector_is_used_by_its_kind(tmp_path: Path) -> None:
    settings = {"others": {"books": shelf(size=3), "odd": shelf(size="many"), "none": {"kind": "nothing"}}}
    with hop_in(tmp_path, settings, {"library": Library}) as hop:
        assert hop.run(sync_connection, "books").result().added == 3
        assert [row["key"] for row in hop.fetch("SELECT key FROM sync_record ORDER BY key")] == [
            "0",
            "1",
            "2",
        ]
        with pytest.raises(JobFailed, match="options: size: Input should be a valid integer"):
            hop.run(sync_connection, "odd").result()
        with pytest.raises(
            JobFailed, match="expected one of: caldav, google, imap, microsoft, notion, rest, shelf"
        ):
            hop.run(sync_connection, "none").result()


def test_a_real_worker_runs_it(tmp_path: Path) -> None:
    with hop_in(tmp_path, {"others": {"books": shelf(size=3)}}, {"library": Library}) as hop, hop.worker():
        report = sync_connection.sync.submit("books").sync.result(timeout=60)
        assert report.summary == "books: added 3, changed 0, removed 0."


def test_each_connection_has_a_schedule_at_its_own_pace(tmp_path: Path, api: Scripted) -> None:
    settings = {
        "calendars": {"work": {"url": api.url}},
        "notion": {"wiki": {"token": "t-123456"}},
        "mailboxes": {"post": {"host": "h", "user": "u", "password": "p-123456", "enabled": False}},
        "apis": {"shop": {"url": api.url, "streams": {"things": {"path": "/t"}}, "every": 60}},
    }
    with hop_in(tmp_path, settings) as hop:
        start = datetime(2027, 1, 1, tzinfo=UTC)
        due = {
            name: len(hop.due_between(f"sync.{name}", start, start + timedelta(hours=4)))
            for name in ("work", "wiki", "shop")
        }
        assert due == {"work": 4, "wiki": 2, "shop": 240}
        assert not hop.hopyard.plugins.schedules["sync.post"].enabled
        (report,) = hop.fire("sync.shop").result()
        assert report.added == 2
        assert schedules.describe(hop.hopyard.plugins.schedules["sync.work"].rule) == "every hour"


def test_all_of_a_kind_go_on_where_one_fails(tmp_path: Path, api: Scripted) -> None:
    good = {"url": api.url, "streams": {"things": {"path": "/t"}}}
    bad = {"url": api.url, "streams": {"things": {"path": "/t", "rows": "nowhere"}}}
    with hop_in(tmp_path, {"apis": {"bad": bad, "good": good}}) as hop:
        reports = {one.connection: one for one in hop.run(sync_third_party_api).result()}
        assert (reports["bad"].state, reports["good"].state) == ("failed", "ok")
        assert "expected a list of rows" in reports["bad"].summary
        with pytest.raises(JobFailed, match="expected one of: bad, good"):
            hop.run(sync_third_party_api, "godo").result()


#: A server that knows no such calendars, so that the syncs that follow changes end at once.
NOWHERE = Scripted(lambda *_: (404, {}, {}))
CALENDARS = {
    "calendars": {
        "alices": {"url": f"{NOWHERE.url}/a/", "person": "alice"},
        "bobs": {"url": f"{NOWHERE.url}/b/", "person": "bob"},
    }
}


def test_a_person_keeps_their_calendar_by_tools(tmp_path: Path) -> None:
    with hop_in(tmp_path, CALENDARS) as hop:
        alice = create_event.options(person="alice")
        made = hop.run(
            alice, "Lunch, with Bob", "2027-03-01T12:30", location="Café", notes="bring; the book"
        ).result()
        assert made.summary == "“Lunch, with Bob” in the calendar alices: created."
        whole = hop.run(alice, "Holiday", "2027-03-02", "2027-03-03").result()
        assert {job["task"] for job in hop.jobs("sync.sync_calendar_events")} == {"sync.sync_calendar_events"}

        def day(date: str) -> Agenda:
            return hop.run(list_events.options(person="alice"), start=date).result()

        (lunch,) = day("2027-03-01").events
        assert (lunch.title, lunch.location, lunch.notes) == ("Lunch, with Bob", "Café", "bring; the book")
        assert lunch.start.isoformat() == "2027-03-01T12:30:00+01:00"
        assert lunch.end.isoformat() == "2027-03-01T13:30:00+01:00"
        assert [one.title for one in day("2027-03-03").events] == ["Holiday"]
        assert day("2027-03-04").events == []

        change = change_event.options(person="alice")
        assert hop.run(change, lunch.id, start="2027-03-01T14:00").result().done == "changed"
        assert hop.run(change, lunch.id, start="2027-03-01T14:00").result().done == "unchanged"
        (lunch,) = day("2027-03-01").events
        assert (lunch.start.isoformat(), lunch.title) == ("2027-03-01T14:00:00+01:00", "Lunch, with Bob")

        # Another person's calendar is closed, whatever is known of it.
        for task, arguments in ((change_event, {"title": "x"}), (delete_event, {})):
            with pytest.raises(JobFailed, match="expected the id of an event"):
                hop.run(task.options(person="bob"), lunch.id, **arguments).result()
        assert hop.run(list_events.options(person="bob"), start="2027-03-01").result().events == []
        with pytest.raises(JobFailed, match=r"calendar: found 'alices', expected one of: bobs"):
            hop.run(create_event.options(person="bob"), "X", "2027-03-01", calendar="alices").result()

        delete = delete_event.options(person="alice")
        assert hop.run(delete, whole.id).result().title == "Holiday"
        assert day("2027-03-03").events == []


def test_a_model_answers_from_the_calendar(tmp_path: Path) -> None:
    """By the ai plugin's offline model, which is given the tool by its name."""
    ai = pytest.importorskip("hopyard_ai")
    with hop_in(tmp_path, CALENDARS, ai.AI) as hop:
        tomorrow = (datetime.now(ZoneInfo("Europe/Berlin")) + timedelta(days=1)).date()
        hop.run(create_event.options(person="alice"), "Dentist", f"{tomorrow}T10:00").result()
        asked = "in 1 second tell me what is on my calendar tomorrow"
        assert hop.run("ai.create_ai_reminder", text=asked, person="alice").ok
        hop.pass_time(5)
        assert hop.notifications[-1]["body"] == "Tomorrow: 10:00–11:00 Dentist."


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        ({"title": " ", "start": "2027-01-01"}, "title: found nothing"),
        ({"title": "X", "start": "soon"}, "expected a time"),
        ({"title": "X", "start": "2027-01-02T10:00", "end": "2027-01-02T09:00"}, "expected a time behind"),
        ({"title": "X", "start": "2027-01-02", "end": "2027-01-01"}, "expected a day from"),
        ({"title": "X", "start": "2027-01-02", "end": "2027-01-02T10:00"}, "expected a date"),
        ({"title": "X" * 20_000, "start": "2027-01-02"}, "at most 10,000"),
        ({"title": "X", "start": "2027-01-02", "calendar": "nobodys"}, "expected one of: alices"),
    ],
)
def test_what_is_no_event_is_refused(tmp_path: Path, arguments: dict[str, str], match: str) -> None:
    with hop_in(tmp_path, CALENDARS) as hop, pytest.raises(JobFailed, match=match):
        hop.run(create_event.options(person="alice"), **arguments).result()


def test_tools_say_what_they_do() -> None:
    marks = {task.name: task.tool for task in (list_events, create_event, change_event, delete_event)}
    assert all(mark is not None for mark in marks.values())
    assert list_events.tool is not None
    assert list_events.tool.read_only
    assert all(mark.approval for name, mark in marks.items() if mark and name != "sync.list_events")


def test_a_day_is_told_in_a_sentence() -> None:
    start = datetime(2027, 3, 1, tzinfo=UTC)
    nothing = Agenda(start=start, end=start, zone="UTC", events=[], day="tomorrow")
    assert nothing.summary == "Tomorrow there is nothing on the calendar."


CONFIG = """
data = "{folder}/data"
[egress]
allow = ["127.0.0.1"]
[plugins.sync.settings.apis.shop]
url = "{url}"
auth = {{ kind = "bearer", token = "canary-4711-secret" }}
[plugins.sync.settings.apis.shop.streams.things]
path = "/t"
"""


@pytest.fixture
def config(tmp_path: Path, api: Scripted) -> Path:
    file = tmp_path / "hopyard.toml"
    file.write_text(CONFIG.format(folder=tmp_path, url=api.url))
    ran = CliRunner().invoke(main, ["--config", str(file), "db", "upgrade"], catch_exceptions=False)
    assert ran.exit_code == 0, ran.output
    return file


def command(config: Path, *words: str, status: int = 0) -> str:
    ran = CliRunner().invoke(main, ["--config", str(config), *words])
    assert ran.exit_code == status, (ran.output, ran.exception)
    return ran.output


def test_commands(config: Path) -> None:
    (status,) = json.loads(command(config, "sync", "status", "--json"))
    assert (status["connection"], status["kind"], status["state"]) == ("shop", "rest", "never")
    assert "shop" in command(config, "sync", "status", "shop")
    assert "is connected again" in command(config, "sync", "reconnect", "shop")
    assert json.loads(command(config, "sync", "problems", "shop", "--json")) == []
    assert json.loads(command(config, "sync", "events", "--json"))["events"] == []
    queued = json.loads(command(config, "sync", "run", "shop", "--wait", "0", "--json"))
    again = json.loads(command(config, "sync", "run", "shop", "--wait", "0", "--json"))
    assert queued["job"] == again["job"]
    assert "expected one of: shop" in command(config, "sync", "status", "shpo", status=2)
    assert "canary" not in command(config, "config", "show")


def test_nothing_secret_is_written_down(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    auth = {"kind": "query", "name": "api_key", "key": "canary-4711-secret"}
    with Scripted(lambda *_: (418, {}, {"you sent": "canary-4711-secret"})) as api:
        settings = {"apis": {"shop": {"url": api.url, "auth": auth, "streams": {"things": {"path": "/t"}}}}}
        with hop_in(tmp_path, settings) as hop:
            outcome = hop.run(sync_third_party_api, "shop")
            assert not outcome.ok
            kept = [
                dict(row)
                for table in ("sync_connection", "sync_set_aside")
                for row in hop.fetch(f"SELECT * FROM {table}")
            ]
            texts = json.dumps([outcome.error, outcome.log, kept], default=str) + caplog.text
    assert "canary-4711" not in texts
