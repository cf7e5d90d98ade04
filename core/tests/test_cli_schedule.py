"""`hopyard schedule` as people type it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from hopyard import current
from hopyard.app import Hopyard
from hopyard.cli import main

HOPFILE = """
from hopyard import Plugin, PluginSettings, Queue, hookimpl, task

@task("site.echo")
async def echo(text: str = "", password: str = "") -> str: return text

class Site(Plugin[PluginSettings]):
    @hookimpl
    def register_queues(self): return [Queue("site")]
    @hookimpl
    def register_tasks(self): return [echo]
"""


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, database_url: str) -> Iterator[None]:
    """A directory with a ledger and a plugin, in Berlin."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "hopfile.py").write_text(HOPFILE)
    (tmp_path / "hopyard.toml").write_text(
        f'database_url = "{database_url}"\nbroker_url = "memory://"\ntime_zone = "Europe/Berlin"\n'
        '[plugins]\nallow = ["site"]\n'
    )
    asyncio.run(Hopyard.load().upgrade())
    yield
    current.set_instance(None)


def run(*words: str) -> Result:
    return CliRunner().invoke(main, ["schedule", *words])


def one(*words: str) -> dict[str, Any]:
    done = run(*words, "--json") if "--" not in words else run(words[0], "--json", *words[1:])
    assert done.exit_code == 0, done.output
    [found] = json.loads(done.stdout)
    return dict(found)


def test_a_schedule_is_added_in_the_zone_of_the_settings() -> None:
    made = one("add", "daily", "site.echo", "--cron", "0 8 * * *", "--", "--text", "12345")
    assert (made["zone"], made["kwargs"]) == ("Europe/Berlin", {"text": "12345"})
    assert one("list") == made
    assert one() == made


def test_one_that_exists_is_refused_unless_it_is_to_be_replaced() -> None:
    one("add", "x", "site.echo", "--every", "1h")
    done = run("add", "x", "site.echo", "--every", "2h")
    assert done.exit_code == 2
    assert done.stderr.count("\n") == 1
    assert "--replace" in done.stderr
    assert one("list")["rule"]["every"] == 3600
    assert one("add", "x", "site.echo", "--every", "2h", "--replace")["rule"]["every"] == 7200


def test_an_edit_keeps_what_it_does_not_name() -> None:
    one("add", "x", "site.echo", "--cron", "0 8 * * *", "--zone", "Asia/Tokyo")
    changed = one("edit", "x", "--cron", "0 9 * * *")
    assert (changed["rule"]["cron"], changed["zone"]) == ("0 9 * * *", "Asia/Tokyo")
    moved = one("edit", "x", "--zone", "UTC")
    assert (moved["rule"]["cron"], moved["zone"]) == ("0 9 * * *", "UTC")
    assert run("edit", "x").exit_code == 2


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--every", "2x"), "'2x'"),
        (("--every", "0"), "from 1 second to 100 years"),
        (("--cron", "61 * * * *"), "cron"),
        (("--cron", "* * *"), "cron"),
        (("--rrule", "FREQ=NEVER"), "rrule"),
        (("--every", "1h", "--zone", "Mars/Olympus"), "Mars/Olympus"),
        (("--every", "1h", "--cron", "@daily"), "one of --every"),
        ((), "say when"),
    ],
)
def test_a_rule_that_is_none_is_a_line_and_status_2(words: tuple[str, ...], told: str) -> None:
    done = run("add", "x", "site.echo", *words)
    assert done.exit_code == 2, done.output
    assert done.stderr.startswith("Error: ")
    assert told in done.stderr
    assert len(done.stderr.splitlines()) <= 2


def test_secrets_among_the_arguments_are_masked() -> None:
    one("add", "x", "site.echo", "--every", "1h", "--", "--password", "hunter22")
    for words in ((), ("list", "--json")):
        assert "hunter22" not in run(*words).output
