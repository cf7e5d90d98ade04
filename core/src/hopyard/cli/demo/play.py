"""Playing the demo: a stack of its own in an empty directory, requests, and what comes of them."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import tempfile
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from email.message import EmailMessage
from importlib import resources
from pathlib import Path
from typing import Any, Final
from zoneinfo import ZoneInfo

import importlib_metadata

from hopyard.app import Hopyard
from hopyard.cli.demo.checks import missing
from hopyard.cli.demo.listener import Listener
from hopyard.cli.demo.servers import Servers, running
from hopyard.cli.demo.stack import Stack
from hopyard.errors import HopyardError, JobFailed, LedgerError
from hopyard.ledger.read import listing

_DEADLINE: Final = 150.0
_START_SECONDS: Final = 60.0
_MAIL: Final = (
    'in 6 seconds run email.send to dana@demo.example, subject "Lunch", text "I shall be ten minutes late."'
)
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
    """Play the demo; return what it showed: `ok`, `jobs`, `notifications`, `mails`, `missing` and more.

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
    installed = {one.name for one in importlib_metadata.entry_points(group="hopyard")}
    with running(folder, installed) as (servers, left_out):
        config = folder / "hopyard.toml"
        config.write_text(_SETTINGS.format(url=listener.url) + servers.settings)
        hopfile = resources.files("hopyard.cli.demo") / "hopfile.py"
        (folder / "hopfile.py").write_text(hopfile.read_text())
        hopyard = Hopyard.load(config=config, data=folder / "data", role="cli")
        for name in ("ai", "maintenance", "site"):
            hopyard.plugins.get(name)
        tell(f"starting a stack of its own in {folder}")
        for reason in left_out:
            tell(f"left out: {reason}")
        stack = Stack(config, folder)
        try:
            return asyncio.run(_requests(hopyard, listener, servers, stack, tell))
        finally:
            stack.stop()


async def _requests(
    hopyard: Hopyard, listener: Listener, servers: Servers, stack: Stack, tell: Tell
) -> dict[str, Any]:
    await _until_up(hopyard, stack)
    tell("the stack is up: asking")
    asked: dict[str, str] = {}
    try:
        if servers.calendar is not None:
            await _done(hopyard, "sync.sync_calendar_events")
        for what, (person, text) in _texts(servers).items():
            made = await _ask(hopyard, person, text)
            asked[what] = made["request"]["id"]
            tell(f"  {person}: “{text}”\n      {made['sentence']}")
        refused = await _refusal(hopyard)
        tell(f"  alice: “{_REFUSED}”\n      Refused: {refused}")
        report = await _watch(hopyard, listener, servers, stack, asked)
        return report | {"refused": refused}
    finally:
        await hopyard.close()


async def _ask(hopyard: Hopyard, person: str, text: str) -> Any:
    return await _done(hopyard, "ai.create_ai_reminder", text=text, person=person)


async def _done(hopyard: Hopyard, task: str, **arguments: Any) -> Any:
    handle = await hopyard.task(task).submit(**arguments)
    return await hopyard.handle(handle.id).result(timeout=30)


async def _refusal(hopyard: Hopyard) -> str:
    """Ask for something without a time; return why it was refused."""
    try:
        made = await _ask(hopyard, "alice", _REFUSED)
    except JobFailed as error:
        return str(error).partition(f"{error.kind}: ")[2] or str(error)
    raise HopyardError(f"“{_REFUSED}” should have been refused, and became: {made['sentence']}")


async def _approve(stack: Stack, listener: Listener, answered: set[str]) -> None:
    """Answer each message that asks for an approval with the command that it names, as its person would."""
    for message in list(listener.messages):
        for approval in message["data"].get("approvals", ()):
            if approval not in answered:
                answered.add(approval)
                said = await stack.command("ai", "approve", approval, "--user", message["person"])
                listener.tell(f"\n← {message['person']} answers: hopyard ai approve {approval}\n    {said}")


def _texts(servers: Servers) -> dict[str, tuple[str, str]]:
    """Return the requests: what each shows, who asks, and in which words."""
    later = datetime.now(ZoneInfo(_ZONES["alice"])) + timedelta(seconds=14)
    texts = {
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
    if servers.mailbox is not None:
        texts["mail"] = ("alice", _MAIL)
    if servers.calendar is not None:
        texts["calendar"] = ("alice", "in 6 seconds list the events on my calendar today")
    return texts


async def _until_up(hopyard: Hopyard, stack: Stack) -> None:
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
    hopyard: Hopyard, listener: Listener, servers: Servers, stack: Stack, asked: dict[str, str]
) -> dict[str, Any]:
    deadline = time.monotonic() + _DEADLINE
    answered: set[str] = set()
    arrived = 0
    while True:
        stack.check()
        await _approve(stack, listener, answered)
        for mail in servers.mails()[arrived:]:
            arrived += 1
            listener.tell(f"\n✉ {mail['To']} has got a mail: {mail['Subject']}\n    {_text(mail)}")
        jobs = await listing.jobs(hopyard.client().database, listing.JobFilter(), limit=500)
        left = missing(asked, jobs, listener, servers)
        if not left or time.monotonic() > deadline:
            break
        await asyncio.sleep(0.2)
    runs = [job for job in jobs if job["task"] == "ai.act" and job["result"]]
    return {
        "ok": not left,
        "model": next((run["result"]["model"] for run in runs if run["result"]["model"]), None),
        "jobs": jobs,
        "notifications": listener.messages,
        "requests": asked,
        "missing": left,
        "mails": [str(mail) for mail in servers.mails()],
    }


def _text(mail: EmailMessage) -> str:
    body = mail.get_body(("plain",))
    return "" if body is None else str(body.get_content()).strip()


def _received(message: dict[str, Any]) -> str:
    body = str(message["body"])
    text = body if len(body) < 400 else body[:400] + " …"
    return f"\n→ {message['person']} was told: {message['title']}\n    " + text.replace("\n", "\n    ")
