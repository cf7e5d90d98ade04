"""Playing the demo: a stack of its own in an empty directory, six requests, and what comes of them."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from importlib import resources
from pathlib import Path
from typing import Any, Final
from zoneinfo import ZoneInfo

from hopyard.app import Hopyard
from hopyard.cli.demo.listener import Listener
from hopyard.errors import HopyardError, JobFailed, LedgerError
from hopyard.ledger import readers
from hopyard.supervise import die_with_parent

_DEADLINE: Final = 150.0
_START_SECONDS: Final = 60.0
_REFUSED: Final = "on 31 February at 9 call Bob"
_WORKERS: Final = "SELECT count(*) AS n FROM worker WHERE stopped IS NULL"
_ZONES: Final = {"alice": "Europe/Berlin", "bob": "America/New_York"}

_SETTINGS: Final = """\
time_zone = "Europe/Berlin"

[people.alice]
zone = "Europe/Berlin"
channels = ["{url}/alice"]

[people.bob]
zone = "America/New_York"
channels = ["{url}/bob"]

[egress]
allow = ["127.0.0.1"]   # where the demo's people and services live

[log]
format = "text"

[plugins.ai.settings]
least_interval = 1   # seconds: a demo is short
"""

Tell = Callable[[str], None]


def play(*, keep: bool, tell: Tell) -> dict[str, Any]:
    """Play the demo; return `ok`, `jobs`, `notifications`, `requests`, `model`, `seconds` and `missing`.

    Raises `HopyardError` where the plugins that it shows are not installed, or the stack does not start.
    """
    started = time.monotonic()
    folder = Path(tempfile.mkdtemp(prefix="hopyard-demo-"))
    listener = Listener(tell, lambda message: tell(_received(message)))
    # The demo is its own installation: only the choice of the model comes from outside.
    for name in [name for name in os.environ if name.startswith("HOPYARD_")]:
        if not name.startswith(("HOPYARD_AI__", "HOPYARD_INTERNAL_")):
            del os.environ[name]
    os.environ["HOPYARD_INTERNAL_DEMO"] = listener.url
    try:
        report = _play(folder, listener, tell)
    finally:
        listener.close()
        if keep:
            tell(f"the demo's directory is {folder}")
        else:
            shutil.rmtree(folder)
    report["seconds"] = round(time.monotonic() - started, 1)
    return report


def _play(folder: Path, listener: Listener, tell: Tell) -> dict[str, Any]:
    config = folder / "hopyard.toml"
    config.write_text(_SETTINGS.format(url=listener.url))
    hopfile = resources.files("hopyard.cli.demo") / "hopfile.py"
    (folder / "hopfile.py").write_text(hopfile.read_text())
    hopyard = Hopyard.load(config=config, data=folder / "data", role="cli")
    for name in ("ai", "maintenance", "site"):
        hopyard.plugins.get(name)
    tell(f"starting a stack of its own in {folder}")
    stack = _Stack(config, folder)
    try:
        return asyncio.run(_requests(hopyard, listener, stack, tell))
    finally:
        stack.stop()


class _Stack:
    """`hopyard up` as a child process."""

    def __init__(self, config: Path, folder: Path) -> None:
        self._log = folder / "up.log"
        self._command = [sys.executable, "-P", "-m", "hopyard.cli"]
        self._command += ["--config", str(config), "--data", str(folder / "data")]
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [*self._command, "up"],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                preexec_fn=die_with_parent(),
            )

    def check(self) -> None:
        """Raise `HopyardError` with what the stack said last if it has ended."""
        if self._process.poll() is not None:
            raise HopyardError(f"the stack did not stay up:\n{self._log.read_text()[-2000:]}")

    async def command(self, *arguments: str) -> str:
        """Run a command of the demo's installation; return the first line of what it says."""
        process = await asyncio.create_subprocess_exec(
            *self._command, *arguments, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
        said, _ = await process.communicate()
        if process.returncode:
            raise HopyardError(f"hopyard {' '.join(arguments)}: {said.decode()[-1000:]}")
        return said.decode().partition("\n")[0]

    def stop(self) -> None:
        """Stop it, and wait until all its processes are gone."""
        self._process.terminate()
        try:
            self._process.wait(timeout=60)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


async def _requests(hopyard: Hopyard, listener: Listener, stack: _Stack, tell: Tell) -> dict[str, Any]:
    await _until_up(hopyard, stack)
    tell("the stack is up: asking")
    asked: dict[str, str] = {}
    try:
        for what, (person, text) in _texts().items():
            made = await _ask(hopyard, person, text)
            asked[what] = made["request"]["id"]
            tell(f"  {person}: “{text}”\n      {made['sentence']}")
        refused = await _refusal(hopyard)
        tell(f"  alice: “{_REFUSED}”\n      Refused: {refused}")
        report = await _watch(hopyard, listener, stack, asked)
        return report | {"refused": refused}
    finally:
        await hopyard.close()


async def _ask(hopyard: Hopyard, person: str, text: str) -> Any:
    handle = await hopyard.task("ai.create_ai_reminder").submit(text=text, person=person)
    return await hopyard.handle(handle.id).result(timeout=30)


async def _refusal(hopyard: Hopyard) -> str:
    """Ask for something without a time; return why it was refused."""
    try:
        made = await _ask(hopyard, "alice", _REFUSED)
    except JobFailed as error:
        return str(error).partition(f"{error.kind}: ")[2] or str(error)
    raise HopyardError(f"“{_REFUSED}” should have been refused, and became: {made['sentence']}")


async def _approve(stack: _Stack, listener: Listener, answered: set[str]) -> None:
    """Answer each message that asks for an approval with the command that it names, as its person would."""
    for message in list(listener.messages):
        for approval in message["data"].get("approvals", ()):
            if approval not in answered:
                answered.add(approval)
                said = await stack.command("ai", "approve", approval, "--user", message["person"])
                listener.tell(f"\n← {message['person']} answers: hopyard ai approve {approval}\n    {said}")


def _texts() -> dict[str, tuple[str, str]]:
    """Return the requests: what each shows, who asks, and in which words."""
    later = datetime.now(ZoneInfo(_ZONES["alice"])) + timedelta(seconds=14)
    return {
        "one-off": ("alice", "in 3 seconds remind me to call Bob about the invoice"),
        "recurring": ("alice", "every 5 seconds tell me the disk usage"),
        "approved": ("bob", "in 4 seconds run site.open_gate for visitors"),
        "two tools": (
            "bob",
            "in 4 seconds check the system health and measure the resource usage of this machine",
        ),
        "postponed": ("alice", f"in 3 seconds check the system health, but not before {later:%H:%M:%S}"),
        "retried": ("bob", "in 5 seconds look up the exchange rate for EUR"),
    }


async def _until_up(hopyard: Hopyard, stack: _Stack) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline:
        stack.check()
        # Workers come once all tables are there; looked at before, a plugin without its tables is withdrawn.
        with contextlib.suppress(LedgerError):
            rows = await hopyard.client().database.fetch(_WORKERS)
            if rows[0]["n"] >= 3:
                await hopyard.check_migrations()
                return
        await asyncio.sleep(0.1)
    raise HopyardError(f"the stack was not up within {_START_SECONDS:g} s")


async def _watch(
    hopyard: Hopyard, listener: Listener, stack: _Stack, asked: dict[str, str]
) -> dict[str, Any]:
    deadline = time.monotonic() + _DEADLINE
    answered: set[str] = set()
    while True:
        stack.check()
        await _approve(stack, listener, answered)
        jobs = await readers.jobs(hopyard.client().database, limit=500)
        missing = _missing(asked, jobs, listener)
        if not missing or time.monotonic() > deadline:
            break
        await asyncio.sleep(0.2)
    runs = [job for job in jobs if job["task"] == "ai.act" and job["result"]]
    return {
        "ok": not missing,
        "model": next((run["result"]["model"] for run in runs if run["result"]["model"]), None),
        "jobs": jobs,
        "notifications": listener.messages,
        "requests": asked,
        "missing": missing,
    }


def _missing(asked: dict[str, str], jobs: list[dict[str, Any]], listener: Listener) -> list[str]:
    """Return what the demo has not shown yet."""
    runs: dict[str, list[dict[str, Any]]] = {what: [] for what in asked}
    for job in jobs:
        if job["task"] == "ai.act" and job["state"] == "succeeded":
            for what, request in asked.items():
                if job["arguments"]["request"] == request:
                    runs[what].append(job["result"])
    done = {what: [run for run in found if run["state"] == "done"] for what, found in runs.items()}
    told = {
        message["data"]["request"] for message in listener.messages if message["data"].get("state") == "done"
    }
    checks = {
        "the one-off was done": bool(done["one-off"]),
        "the recurring one was done twice": len(done["recurring"]) >= 2,
        "two tools were called in one run": any(len(_tools(run)) >= 2 for run in done["two tools"]),
        "one was postponed, then done": bool(done["postponed"])
        and any(r["postponed"] for r in done["postponed"]),
        "a tool failed and was retried": bool(done["retried"])
        and any(job["task"] == "site.exchange_rate" and job["attempt"] > 1 for job in jobs),
        "a call was approved, then made": any(
            job["task"] == "site.open_gate" and job["state"] == "succeeded" for job in jobs
        )
        and bool(done["approved"]),
        "every answer contains what the tools returned": all(
            _quotes(r) for found in done.values() for r in found
        ),
        "everybody was told": told >= set(asked.values()),
    }
    return [what for what, shown in checks.items() if not shown]


def _tools(run: dict[str, Any]) -> set[str]:
    return {call["name"] for call in run["calls"] if call["ok"]}


def _quotes(run: dict[str, Any]) -> bool:
    """Say whether an answer has the fresh reference of each tool result."""
    import json

    results = [json.loads(call["result"]) for call in run["calls"] if call["ok"]]
    references = [result.get("reference", "") for result in results if isinstance(result, dict)]
    return all(reference in run["answer"] for reference in references)


def _received(message: dict[str, Any]) -> str:
    body = str(message["body"])
    text = body if len(body) < 400 else body[:400] + " …"
    return f"\n→ {message['person']} was told: {message['title']}\n    " + text.replace("\n", "\n    ")
