"""Servers of others that the demo starts where they are installed: one for mail, one for calendars.

Both are plain Python programs (`pip install aiosmtpd radicale`), run as processes of their own in the demo's
directory, on free ports of this machine.
"""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import datetime
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path
from typing import Final
from zoneinfo import ZoneInfo

from hopyard.egress import Egress
from hopyard.errors import HopyardError
from hopyard.supervise import die_with_parent

_START_SECONDS: Final = 30.0
EVENT: Final = "Lunch with Dana"
_RADICALE: Final = """\
[server]
hosts = 127.0.0.1:{port}
[auth]
type = none
[storage]
filesystem_folder = {folder}
"""
_MAIL_SETTINGS: Final = """
[plugins.email.settings.accounts.demo]
host = "127.0.0.1"
port = {port}
security = "none"
sender = "Hopyard <hopyard@demo.example>"
"""
_CALENDAR_SETTINGS: Final = """
[plugins.sync.settings.calendars.alice]
url = "{url}"
user = "alice"
password = "demo"
person = "alice"
"""


@dataclass
class Servers:
    """What runs: `mailbox` is a Maildir with all mail that was sent, `calendar` the address of a calendar."""

    mailbox: Path | None = None
    calendar: str | None = None
    settings: str = ""

    def mails(self) -> list[EmailMessage]:
        """Return the mails that have arrived."""
        if self.mailbox is None:
            return []
        files = sorted((self.mailbox / "new").glob("*"))
        return [message_from_bytes(file.read_bytes(), policy=policy.default) for file in files]


@contextmanager
def running(folder: Path, plugins: set[str]) -> Iterator[tuple[Servers, list[str]]]:
    """Start what is installed, for the plugins that are; give it, and why something is left out."""
    found, left_out = Servers(), []
    with ExitStack() as stack:
        for plugin, name, start in (("email", "aiosmtpd", _mail), ("sync", "radicale", _calendars)):
            path = _program(name)
            if plugin not in plugins:
                left_out.append(f"the plugin {plugin} is not enabled")
            elif path is None:
                left_out.append(f"{name} is not installed: pip install {name}")
            else:
                stack.enter_context(start(path, folder, found))
        yield found, left_out


def _program(name: str) -> Path | None:
    """Return a program of this environment, or of the path."""
    beside = Path(sys.executable).with_name(name)
    found = str(beside) if beside.exists() else shutil.which(name)
    return Path(found) if found else None


@contextmanager
def _mail(path: Path, folder: Path, found: Servers) -> Iterator[None]:
    port, box = _free_port(), folder / "mailbox"
    command = [str(path), "-n", "-l", f"127.0.0.1:{port}", "-c", "aiosmtpd.handlers.Mailbox", str(box)]
    with _process(command, folder / "aiosmtpd.log", port):
        found.mailbox = box
        found.settings += _MAIL_SETTINGS.format(port=port)
        yield


@contextmanager
def _calendars(path: Path, folder: Path, found: Servers) -> Iterator[None]:
    port = _free_port()
    config = folder / "radicale.ini"
    config.write_text(_RADICALE.format(port=port, folder=folder / "calendars"))
    with _process([str(path), "--config", str(config)], folder / "radicale.log", port):
        found.calendar = f"http://127.0.0.1:{port}/alice/calendar/"
        found.settings += _CALENDAR_SETTINGS.format(url=found.calendar)
        asyncio.run(_fill(found.calendar))
        yield


async def _fill(calendar: str) -> None:
    """Make a calendar with one event, today at 12:30 in Berlin."""
    noon = datetime.now(ZoneInfo("Europe/Berlin"))
    day = f"{noon:%Y%m%d}"
    event = (
        "BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:-//Hopyard//demo//EN\r\nBEGIN:VEVENT\r\nUID:demo-lunch\r\n"
        f"DTSTAMP:{day}T000000Z\r\nDTSTART;TZID=Europe/Berlin:{day}T123000\r\n"
        f"DTEND;TZID=Europe/Berlin:{day}T133000\r\nSUMMARY:{EVENT}\r\nEND:VEVENT\r\nEND:VCALENDAR\r\n"
    )
    async with Egress(["127.0.0.1"]).client() as client:
        client.auth = ("alice", "demo")  # whom nobody checks, but whose calendars these are
        made = await client.request("MKCALENDAR", calendar)
        put = await client.put(
            f"{calendar}lunch.ics", content=event.encode(), headers={"Content-Type": "text/calendar"}
        )
    if made.status_code != 201 or put.status_code != 201:
        raise HopyardError(f"the calendar could not be made: {made.status_code}, {put.status_code}")


@contextmanager
def _process(command: list[str], log: Path, port: int) -> Iterator[None]:
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
            preexec_fn=die_with_parent(),
        )
    try:
        _until_listening(process, log, port)
        yield
    finally:
        process.kill()
        process.wait()


def _until_listening(process: subprocess.Popen[bytes], log: Path, port: int) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.05)
    raise HopyardError(f"{log.stem} did not start: {log.read_text()[-500:]}")


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
    return port
