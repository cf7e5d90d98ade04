"""`hopyard top` and `hopyard web`: what a terminal shows, and keys that are made, listed and revoked."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

from click.testing import CliRunner, Result
from engines import Lab
from hopyard.cli import main
from hopyard.ledger import access, notes
from hopyard.ledger.values import Done, Progress, utcnow
from hopyard.specs import State


async def run(folder: Path, *arguments: str) -> Result:
    """Run `hopyard` with an installation's settings."""
    command = ["--config", str(folder / "hopyard.toml"), *arguments]
    return await asyncio.to_thread(CliRunner().invoke, main, command)


async def test_top_shows_queues_running_jobs_and_failures(lab: Lab, tmp_path: Path) -> None:
    ledger = lab.ledger
    worker = await ledger.worker()
    running = await ledger.running(worker, task="site.add", queue="site")
    told = Progress(running.id, 3, 4, "\x1b[31mthird\x1b[0m of four", utcnow())
    await notes.write_progress(ledger.database, [told])
    await ledger.job(task="site.add", queue="site")
    shown = await run(tmp_path, "top", "--once")
    assert shown.exit_code == 0, shown.output
    assert "queued 1" in shown.output
    assert running.id[-12:-4] in shown.output
    assert "75 %" in shown.output
    assert "\x1b[31m" not in shown.output
    seen = json.loads((await run(tmp_path, "top", "--json")).output)
    assert [job["id"] for job in seen["running"]] == [running.id]
    assert {(one["queue"], one["jobs"]) for one in seen["live"]} == {("site", 1)}


async def test_top_of_nothing(lab: Lab, tmp_path: Path) -> None:
    shown = await run(tmp_path, "top", "--once")
    assert shown.exit_code == 0, shown.output
    assert "no live jobs" in shown.output


async def test_tokens_are_made_listed_and_revoked(lab: Lab, tmp_path: Path) -> None:
    made = await run(tmp_path, "web", "token", "create", "deploy", "--role", "submitter", "--plugin", "site")
    token = made.output.strip()
    database = lab.ledger.database
    found = await access.find(database, token, ["token"])
    assert found is not None
    assert (found.name, found.role, found.plugins) == ("deploy", "submitter", ("site",))
    listed = await run(tmp_path, "web", "token", "list", "--json")
    assert [one["id"] for one in json.loads(listed.output)] == [found.id]
    assert token.split("_", 2)[2] not in listed.output
    assert (await run(tmp_path, "web", "token", "revoke", found.id)).exit_code == 0
    assert await access.find(database, token, ["token"]) is None
    assert (await run(tmp_path, "web", "token", "revoke", found.id)).exit_code == 2


async def test_tokens_that_let_nobody_in_or_hide_their_name_are_not_made(lab: Lab, tmp_path: Path) -> None:
    for words in (("x", "--plugin", "nothing"), ("a\u202eb",), ("x", "--person", " ada")):
        refused = await run(tmp_path, "web", "token", "create", *words)
        assert refused.exit_code != 0, words
        assert "expected" in refused.output + refused.stderr
    assert await access.listed(lab.ledger.database) == []


async def test_a_secret_of_the_arguments_is_shown_nowhere_in_a_job(
    lab: Lab, ledger: Any, tmp_path: Path
) -> None:
    body = json.dumps([[], {"password": "Zq9xTopSecret"}, None])
    worker = await ledger.worker()
    claim = await ledger.running(worker, task="site.add", body=body)
    done = Done(claim.id, claim.claim, State.SUCCEEDED, '"fine Zq9xTopSecret"', None, None)
    assert await ledger.database.finish([done], worker)
    for more in ((), ("--json",)):
        shown = await run(tmp_path, "jobs", "show", claim.id, *more)
        assert (shown.exit_code, "fine" in shown.output, "Zq9x" in shown.output) == (0, True, False)


async def test_a_login_link_opens_once(lab: Lab, tmp_path: Path) -> None:
    link = (await run(tmp_path, "web", "login", "--role", "operator", "--name", "ada")).output.strip()
    address, _, key = link.partition("/login#")
    assert address.startswith("http://127.0.0.1:")
    database = lab.ledger.database
    spent = await access.spend(database, key)
    assert spent is not None
    assert (spent.name, spent.role) == ("ada", "operator")
    assert await access.spend(database, key) is None
