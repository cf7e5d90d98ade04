"""`hopyard maintenance …` from a shell: what it prints for people, and for programs with `--json`."""

from __future__ import annotations

import json
import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from hopyard import current
from hopyard.cli import main
from sites import site_in

MASTER, OTHER = "A" * 43 + "=", "B" * 42 + "A="
SETTINGS = """
[plugins.maintenance.settings]
master_keys = ["{master}"]
logs = [{{ path = "{logs}", patterns = ["*.log"], days = 30 }}]
session_tables = [{{ table = "web_session", column = "expires", holds = "seconds" }}]
[plugins.maintenance.settings.keys.own]
provider = "random"
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A current folder with settings, old logs, a table of sessions and a migrated ledger."""
    monkeypatch.chdir(tmp_path)
    logs = tmp_path / "logs"
    logs.mkdir()
    for name, days in (("old.log", 40), ("new.log", 1)):
        (logs / name).write_text("x" * 1000)
        os.utime(logs / name, (time.time() - days * 86_400,) * 2)
    write_settings(tmp_path, MASTER)
    assert run("db", "upgrade").exit_code == 0
    with closing(sqlite3.connect(tmp_path / ".hopyard" / "hopyard.db", isolation_level=None)) as database:
        database.execute("CREATE TABLE web_session (expires real)")
        database.execute("INSERT INTO web_session VALUES (1), (?)", (time.time() + 1000,))
    yield tmp_path
    current.set_instance(None)


def write_settings(folder: Path, master: str) -> None:
    text = '[plugins]\nallow = ["maintenance"]\n' + SETTINGS.format(logs=folder / "logs", master=master)
    (folder / "hopyard.toml").write_text(text)


def run(*arguments: str, given: str | bytes | None = None) -> Result:
    return CliRunner().invoke(
        main, list(arguments), env={"COLUMNS": "250", "USER": "ada"}, input=given, catch_exceptions=False
    )


def said(*arguments: str, status: int = 0, given: str | bytes | None = None) -> str:
    """Run `hopyard maintenance …` and return what it prints."""
    result = run("maintenance", *arguments, given=given)
    assert result.exit_code == status, result.output
    return result.stdout


def test_dry_runs_need_no_worker(folder: Path) -> None:
    logs = said("clean", "logs", "--dry-run")
    assert "1 files (0.0 MB) would be deleted." in logs
    assert str(folder / "logs") in logs
    assert "1 rows would be deleted." in said("clean", "sessions", "--dry-run")
    assert "Nothing is due." in said("clean", "records", "--dry-run")
    assert "would be done to the database (SQLite)" in said("optimize", "--dry-run")
    assert len([*(folder / "logs").iterdir()]) == 2
    found = json.loads(said("clean", "logs", "--dry-run", "--json"))
    assert (found["due"], found["places"][0]["examples"]) == (1, ["old.log"])
    assert json.loads(said("optimize", "--dry-run", "--json"))["dry_run"] is True


def test_a_cleanup_that_cannot_work_ends_with_status_1(folder: Path) -> None:
    (folder / "logs").rename(folder / "elsewhere")
    assert "Not cleaned up: " in said("clean", "logs", "--dry-run", status=1)


def test_what_is_mistyped_is_refused(folder: Path) -> None:
    for days in ("nan", "inf", "-1"):
        assert run("maintenance", "clean", "records", "--dry-run", "--results-days", days).exit_code == 2
    history = run("maintenance", "keys", "history", "nosuch")
    assert history.exit_code != 0
    assert "the settings have no key `nosuch`; there are: own" in history.output
    assert json.loads(said("keys", "history", "own", "--json")) == []


def test_a_dry_run_of_a_rotation_needs_no_worker(folder: Path) -> None:
    assert said("keys", "rotate", "--dry-run") == "own: random would make a new key.\n"


def test_days_are_for_records(folder: Path) -> None:
    result = run("maintenance", "clean", "logs", "--results-days", "3")
    assert result.exit_code == 2
    assert "are for records, not for logs" in result.output
    assert "Nothing is due." in said("clean", "records", "--results-days", "0", "--dry-run")


def test_keys_without_a_worker(folder: Path) -> None:
    assert "none" in said("keys", "list")
    adopted = said("keys", "adopt", "own", "--id", "of-before", given="CANARY-of-before\n")
    assert adopted == "The key own is kept; its first rotation revokes it.\n"
    (listed,) = json.loads(said("keys", "list", "--json"))
    assert (listed["id"], listed["state"], listed["provider"]) == ("of-before", "current", "random")
    (event,) = json.loads(said("keys", "history", "--json"))
    assert (event["step"], event["person"], event["ok"]) == ("adopt", "ada", True)
    assert "of-before is in use" in said("keys", "history", "own")
    refused = run("maintenance", "keys", "resolve", "own")
    assert refused.exit_code != 0
    assert "is not unknown" in refused.output
    assert run("maintenance", "keys", "rotate", "--force").exit_code == 2
    unknown = run("maintenance", "keys", "adopt", "other", "--id", "x", given="CANARY-x\n")
    assert "the settings have no key `other`; there are: own" in unknown.output
    everything = adopted + said("keys", "list") + said("keys", "history") + unknown.output
    assert "CANARY" not in everything
    data = (folder / ".hopyard" / "hopyard.db").read_bytes()
    assert b"CANARY" not in data


def test_a_key_of_several_lines_is_taken_whole(folder: Path) -> None:
    from hopyard_maintenance.keys import by_hand

    with pytest.MonkeyPatch.context() as patched:
        taken = list[str]()

        async def adopt(name: str, id_: str, secret: Any, person: str | None) -> None:
            taken.append(secret.get_secret_value())

        patched.setattr(by_hand, "adopt", adopt)
        for given in ("-----BEGIN-----\nAAAA\n-----END-----\n", "AAAABBBB\r\n", "two\n\n"):
            said("keys", "adopt", "own", "--id", "k", given=given)
    assert taken == ["-----BEGIN-----\nAAAA\n-----END-----", "AAAABBBB", "two\n"]


@pytest.mark.parametrize("given", [b"CANARY-\xff\xfe", b"CANARY-\0-nul", b"   \n \n", b"", b"x" * 400_001])
def test_what_is_no_key_is_refused(folder: Path, given: bytes) -> None:
    result = run("maintenance", "keys", "adopt", "own", "--id", "k", given=given)
    assert result.exit_code in (1, 2), result.output
    assert "CANARY" not in result.output
    assert json.loads(said("keys", "history", "--json")) == []


def test_a_rotation_is_ended_by_hand(folder: Path) -> None:
    refused = run("maintenance", "keys", "abandon", "own")
    assert refused.exit_code != 0
    assert "no rotation of the key `own` is open" in refused.output


def test_master_keys_are_made_and_changed(folder: Path) -> None:
    made = said("keys", "master").strip()
    assert len(made) == 44
    assert made != said("keys", "master").strip()
    said("keys", "adopt", "own", "--id", "k", given="CANARY-of-before\n")
    assert "0 keys are encrypted anew" in said("keys", "reseal")
    write_settings(folder, f'{made}", "{MASTER}')
    current.set_instance(None)
    assert json.loads(said("keys", "reseal", "--json")) == {"resealed": 1, "unreadable": []}
    write_settings(folder, MASTER)
    current.set_instance(None)
    assert json.loads(said("keys", "reseal", "--json", status=1)) == {"resealed": 0, "unreadable": ["own"]}


@pytest.mark.parametrize("wrong", ["short", "B" * 43, "B" * 44, "B" * 42 + "!="])
def test_a_wrong_master_key_is_not_shown(folder: Path, wrong: str) -> None:
    write_settings(folder, wrong)
    current.set_instance(None)
    result = run("config", "check")
    assert result.exit_code != 0
    assert "32 bytes in URL-safe base64" in result.output
    assert wrong not in result.output


def test_histories_are_empty_at_first(folder: Path) -> None:
    assert json.loads(said("health", "--history", "--json")) == {"results": [], "changes": []}
    assert json.loads(said("usage", "--history", "--json")) == []


async def test_with_a_worker(tmp_path: Path, valkey_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What changes something is done by a worker, and waited for."""
    place = tmp_path / "site"
    database = f"sqlite:///{tmp_path / '.hopyard' / 'hopyard.db'}"
    extra = '[plugins]\nallow = ["maintenance"]\n' + SETTINGS.format(logs=tmp_path / "logs", master=MASTER)
    with site_in(place, broker=valkey_url, database=database, extra=extra) as site:
        try:
            await site.worker("--queues", "maintenance,maintenance.watch", stock=False)

            def ask(*arguments: str, status: int = 0) -> Any:
                import subprocess
                import sys

                ran = subprocess.run(
                    [str(Path(sys.executable).parent / "hopyard"), "maintenance", *arguments, "--json"],
                    cwd=place,
                    env=site.environment,
                    capture_output=True,
                    timeout=60,
                    check=False,
                )
                assert ran.returncode == status, f"{arguments}: {ran.stdout!r}{ran.stderr!r}\n{site.logs()}"
                assert b"it goes on without this command" in ran.stderr or "--history" in arguments
                return json.loads(ran.stdout)

            assert ask("clean", "logs")["places"][0]["deleted"] == 1
            assert [file.name for file in (tmp_path / "logs").iterdir()] == ["new.log"]
            assert ask("clean", "sessions")["tables"][0]["deleted"] == 1
            assert ask("clean", "records", "--results-days", "0", "--confirm", "99")["dry_run"] is False
            assert ask("optimize")["database"] == "SQLite"
            assert ask("keys", "rotate")["done"] == {"own": "the first key is in use"}
            assert "works until" in ask("keys", "rotate", "own", "--force")["done"]["own"]
            back = ask("keys", "rollback", "own", "--by", "grace")
            assert back["state"] == "rolled back: a person took it back"
            rows = await site.rows("SELECT step, person FROM maintenance_key_event")
            audit = [(row["step"], row["person"]) for row in rows]
            assert ("rolled back", "grace") in audit
            assert ask("usage")["host"]
            report = ask("health", status=1)  # no scheduler runs here
            assert "hopyard.scheduler" in report["changed"]
            assert len(ask("usage", "--history")) == 1
            assert [one["ok"] for one in ask("health", "--history")["results"]] == [False]
        finally:
            await site.hopyard.close()
