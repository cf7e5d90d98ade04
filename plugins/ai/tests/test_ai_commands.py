"""`hopyard ai …` from a shell: what it prints for people, and for programs with `--json`."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from hopyard import current
from hopyard.cli import main
from hopyard.ledger.values import new_id

CONFIG = """
[people.alice]
zone = "Europe/Berlin"
[plugins]
allow = ["ai"]
"""
REQUEST_KEYS = {
    "id",
    "person",
    "kind",
    "title",
    "instruction",
    "when",
    "zone",
    "state",
    "after",
    "next_times",
    "created",
    "said",
    "expires",
}


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A current folder with settings and a migrated ledger."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "hopyard.toml").write_text(CONFIG)
    assert run("db", "upgrade").exit_code == 0
    yield tmp_path
    current.set_instance(None)


def run(*arguments: str) -> Result:
    return CliRunner().invoke(main, list(arguments), env={"COLUMNS": "250", "USER": "alice"})


def ai(*arguments: str) -> str:
    """Run `hopyard ai …` and return what it prints."""
    result = run("ai", *arguments)
    assert result.exit_code == 0, result.output
    return result.stdout


def data(*arguments: str) -> Any:
    """Run `hopyard ai … --json` and return what it says."""
    return json.loads(ai(*arguments, "--json"))


def sql(statement: str, *values: Any) -> list[Any]:
    with closing(sqlite3.connect(".hopyard/hopyard.db")) as database, database:
        return database.execute(statement, values).fetchall()


def remind(text: str = "every hour tell me the disk usage") -> str:
    id_: str = data("remind", text, "--user", "alice")["request"]["id"]
    return id_


def waiting(request: str, state: str, **values: Any) -> str:
    """Store a run that waits for its person."""
    id_ = new_id()
    sql(
        "INSERT INTO ai_run (id, request_id, due, job_id, state, postponed, pending, started) "
        "VALUES (?, ?, 1, ?, ?, 0, ?, 1)",
        id_,
        request,
        new_id(),
        state,
        json.dumps(values.get("pending", [])),
    )
    return id_


def test_remind_shows_five_times_in_the_persons_zone_across_a_change_of_clocks(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = datetime(2027, 3, 25, 12, 0, tzinfo=UTC)  # Thursday; clocks change on Sunday the 28th
    monkeypatch.setattr("hopyard_ai.manager.utcnow", lambda: now)
    monkeypatch.setattr("hopyard.schedules.utcnow", lambda: now)
    printed = ai("remind", "every weekday at 8:00 tell me the disk usage", "--user", "alice")
    assert "All right: Tell me the disk usage — first on Friday 26 March 2027 at 08:00:00" in printed
    times = [line.removeprefix("  next").strip() for line in printed.splitlines() if " 08:00:00 C" in line]
    assert times == [
        "Fri 2027-03-26 08:00:00 CET (+0100)",
        "Mon 2027-03-29 08:00:00 CEST (+0200)",
        "Tue 2027-03-30 08:00:00 CEST (+0200)",
        "Wed 2027-03-31 08:00:00 CEST (+0200)",
        "Thu 2027-04-01 08:00:00 CEST (+0200)",
    ]


def test_remind_says_what_it_understood() -> None:
    made = data("remind", "every", "weekday", "at", "8:00", "tell me the load", "--user", "alice")
    assert set(made) == {"request", "sentence"}
    request = made["request"]
    assert set(request) == REQUEST_KEYS
    assert (request["person"], request["kind"], request["zone"]) == ("alice", "periodic", "Europe/Berlin")
    assert (request["instruction"], request["state"]) == ("Tell me the load", "active")
    assert len(request["next_times"]) == 5


def test_remind_takes_a_title_a_zone_and_what_it_waits_for() -> None:
    first = data("remind", "in 2 hours call Bob", "--title", "Bob", "--zone", "Asia/Tokyo", "-u", "alice")
    assert (first["request"]["title"], first["request"]["zone"]) == ("Bob", "Asia/Tokyo")
    then = data("remind", "write it down", "--after", first["request"]["id"], "-u", "alice")
    assert (then["request"]["after"], then["request"]["when"]) == (first["request"]["id"], "after “Bob”")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["remind", "call Bob"], "call Bob"),
        (["remind", "at 10:00 on 1 January 2020 call Bob"], "2020"),
        (["remind", "in 5 minutes call Bob", "--zone", "Europe/Atlantis"], "Europe/Atlantis"),
        (["show", "nothing"], "no request nothing"),
        (["pause", "nothing"], "no request nothing"),
    ],
)
def test_what_is_wrong_is_said_without_a_traceback(arguments: list[str], said: str) -> None:
    result = run("ai", *arguments)
    assert result.exit_code != 0
    assert said in result.output
    assert "Traceback" not in result.output
    assert sql("SELECT count(*) FROM ai_request") == [(0,)]


def test_list_shows_whose_requests_are_alive() -> None:
    first, second = remind(), remind("every day at 9:00 tell me the load")
    assert [one["id"] for one in data("list")] == [second, first]
    assert {frozenset(one) for one in data("list")} == {frozenset(REQUEST_KEYS)}
    assert data("list", "--user", "bob") == []
    ai("complete", first)
    assert [one["id"] for one in data("list")] == [second]
    assert {one["id"]: one["state"] for one in data("list", "--all")} == {
        first: "completed",
        second: "active",
    }
    printed = ai("list")
    assert second in printed
    assert "Tell me the load" in printed


def test_show_tells_a_request_and_its_runs() -> None:
    id_ = remind()
    run_ = waiting(id_, "asking")
    shown = data("show", id_[-8:])
    assert set(shown) == {"request", "runs"}
    assert shown["request"]["id"] == id_
    (one,) = shown["runs"]
    assert (one["id"], one["state"]) == (run_, "asking")
    assert {"decision", "calls", "answer", "tokens", "cost", "due", "job"} <= set(one)
    assert "asking" in ai("show", id_)


def test_pause_resume_update_complete_and_delete() -> None:
    id_ = remind()
    assert data("pause", id_)["state"] == "paused"
    assert sql("SELECT enabled, next_due FROM schedule") == [(0, None)]
    assert data("resume", id_)["state"] == "active"
    changed = data("update", id_, "--title", "Disk", "--what", "Tell me", "--when", "every weekday at 9")
    assert (changed["title"], changed["instruction"]) == ("Disk", "Tell me")
    assert all(at[11:16] == "09:00" for at in changed["next_times"])
    assert run("ai", "update", id_).exit_code != 0
    assert data("complete", id_)["state"] == "completed"
    assert ai("delete", id_) == ""
    assert sql("SELECT count(*) FROM schedule WHERE name LIKE 'ai.request.%'") == [(0,)]
    assert run("ai", "show", id_).exit_code != 0


def test_run_submits_a_job_for_the_person() -> None:
    id_ = remind()
    job = data("run", id_)["job"]
    ((task, person, body),) = sql("SELECT task, person, body FROM job_live WHERE id = ?", job)
    assert (task, person) == ("ai.act", "alice")
    assert json.loads(body)[1]["request"] == id_


def test_answer_goes_on_with_the_request() -> None:
    id_ = remind()
    assert "does not wait for an answer" in run("ai", "answer", id_, "yes").output
    waiting(id_, "asking")
    job = data("answer", id_, "the", "big", "one")["job"]
    assert sql("SELECT answers FROM ai_request") == [('["the big one"]',)]
    assert sql("SELECT state, job_id FROM ai_run") == [("running", job)]


@pytest.mark.parametrize(("option", "yes"), [([], True), (["--deny"], False)])
def test_approve_agrees_or_not_to_what_waits(option: list[str], yes: bool) -> None:
    id_ = remind()
    pending = [{"id": "c1", "name": "site.open", "args": {}, "ok": False, "result": ""}]
    waiting(id_, "approval", pending=pending)
    job = data("approve", id_, *option)["job"]
    ((body,),) = sql("SELECT body FROM job_live WHERE id = ?", job)
    assert json.loads(body)[1]["approvals"] == {"c1": yes}


def test_inbox_shows_the_newest_first_with_its_deliveries() -> None:
    for n, created in enumerate((2, 3, 1)):
        sql(
            "INSERT INTO notification (id, person, title, body, data, created) "
            "VALUES (?, 'alice', ?, 'b', '{}', ?)",
            f"{9 - n}{new_id()[1:]}",
            f"title {created}",
            created * 1_000_000,
        )
    newest = sql("SELECT id FROM notification WHERE title = 'title 3'")[0][0]
    sql(
        "INSERT INTO delivery (notification_id, channel, state, attempts, updated) "
        "VALUES (?, '0:https://x', 'delivered', 1, 1)",
        newest,
    )
    found = data("inbox")
    assert [one["title"] for one in found] == ["title 3", "title 2", "title 1"]
    assert set(found[0]) == {"id", "person", "title", "body", "data", "created", "deliveries"}
    assert found[0]["deliveries"] == [
        {"channel": "0:https://x", "state": "delivered", "attempts": 1, "error": None}
    ]
    assert [one["title"] for one in data("inbox", "--limit", "1")] == ["title 3"]
    assert data("inbox", "--user", "bob") == []
    assert "0:https://x: delivered" in ai("inbox")


def test_check_says_whether_the_models_answer() -> None:
    (one,) = data("check")
    assert set(one) == {"model", "ok", "seconds", "detail"}
    assert (one["model"], one["ok"]) == ("local:extractive", True)
    assert "local:extractive" in ai("check")


@pytest.mark.parametrize(
    ("model", "missing"), [("openai:gpt-5-mini", "api_key"), ("compatible:qwen", "base_url")]
)
def test_a_model_without_what_it_needs_is_a_fault_of_the_settings(
    folder: Path, model: str, missing: str
) -> None:
    (folder / "hopyard.toml").write_text(CONFIG + f'[plugins.ai.settings]\nmodel = "{model}"\n')
    result = run("config", "check")
    assert result.exit_code == 2
    assert f"`{missing}` is set, which the model {model} needs" in result.output
    assert run("ai", "check").exit_code != 0


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ('api_key = "sk-aaaaaaaaaaaa\\n"', "without spaces, line breaks"),
        ('base_url = "127.0.0.1:8080/v1"', "such as https://"),
    ],
)
def test_what_no_server_could_take_is_found_by_config_check(folder: Path, line: str, expected: str) -> None:
    (folder / "hopyard.toml").write_text(f"{CONFIG}[plugins.ai.settings]\n{line}\n")
    result = run("config", "check")
    assert result.exit_code == 2
    assert expected in result.output
    assert "aaaaaa" not in result.output


def test_a_channel_that_is_no_address_is_found_by_config_check(folder: Path) -> None:
    (folder / "hopyard.toml").write_text(CONFIG.replace("zone =", 'channels = ["justtext"]\nzone ='))
    result = run("config", "check")
    assert result.exit_code == 2
    assert "people.alice.channels" in result.output


def test_approvals_are_listed_and_the_answer_echoes_the_call() -> None:
    id_ = remind()
    pending = [
        {
            "id": f"c{n}",
            "name": "site.pay",
            "args": {"amount": n},
            "ok": None,
            "result": "",
            "approval": f"aaaaaaa{n}",
        }
        for n in (1, 2)
    ]
    waiting(id_, "approval", pending=pending)
    assert [one["id"] for one in data("approvals")] == ["aaaaaaa1", "aaaaaaa2"]
    assert data("approvals", "--user", "bob") == []
    refused = run("ai", "approve", "--user", "alice")
    assert refused.exit_code != 0
    assert "aaaaaaa1" in refused.output
    assert "aaaaaaa2" in refused.output
    assert run("ai", "approve", "aaaaaaa1", "--user", "bob").exit_code != 0
    said = ai("approve", "aaaaaaa1", "--user", "alice")
    assert 'Agreed to site.pay({"amount": 1})' in said
    assert "1 more of its calls" in said
    assert sql("SELECT count(*) FROM job_live WHERE task = 'ai.act'") == [(0,)]


def test_tasks_shows_what_tools_do(folder: Path) -> None:
    (folder / "hopyard.toml").write_text(CONFIG.replace('allow = ["ai"]', 'allow = ["ai", "maintenance"]'))
    assert run("db", "upgrade").exit_code == 0
    rows = {row["name"]: row for row in json.loads(run("tasks", "--json").stdout)}
    health = rows["maintenance.system_health_check"]
    assert health["tool"] is True
    assert health["annotations"] == {
        "read_only": True,
        "destructive": False,
        "idempotent": False,
        "approval": False,
        "effect": "only reads",
    }
    assert rows["ai.act"]["annotations"] is None
    assert "only reads" in run("tasks").stdout


def test_templates_are_kept_shown_and_withdrawn(folder: Path) -> None:
    (folder / "prompt").write_text("Report on $topic.")
    assert ai("templates", "put", "weekly", "prompt", "--about", "the week").strip() == "weekly@1"
    assert json.loads(ai("templates", "list", "--json"))[0]["variables"] == ["topic"]
    assert ai("templates", "show", "weekly@1").strip() == "Report on $topic."
    ai("templates", "withdraw", "weekly")
    assert run("ai", "templates", "show", "weekly").exit_code == 2


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("process", "binary"), "is no text in UTF-8"),
        (("process", "prompt", "--var", "topic"), "expected NAME=VALUE"),
        (("categories", "--forget", "none"), "there is no taxonomy none"),
        (("collections", "--forget", "none"), "there is no collection none"),
        (("templates", "put", "Weekly", "prompt"), "expected a name"),
    ],
)
def test_what_cannot_be_done_with_texts_says_why(
    folder: Path, arguments: tuple[str, ...], words: str
) -> None:
    (folder / "prompt").write_text("Report.")
    (folder / "binary").write_bytes(b"\xff\xfe\x00")
    result = run("ai", *arguments)
    assert result.exit_code == 2
    assert words in " ".join(result.stderr.split())


def test_nothing_was_spent_kept_or_embedded_yet() -> None:
    for name in ("usage", "categories", "collections"):
        assert json.loads(ai(name, "--json")) == []
