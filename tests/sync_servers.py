"""Real servers that the sync plugin talks to: CalDAV, IMAP, a REST API, and a judge of Notion's protocol.

Each context manager starts one on a free port of 127.0.0.1, in a folder of its own; it ends with the tests.
A test whose server is not installed is skipped; where the environment has `CI=true`, it fails.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hopyard.supervise import die_with_parent
from servers import free_port

ROOT = Path(__file__).parents[1]
NODE = Path(__file__).parent / "node" / "node_modules"
_PYTHON = ROOT / ".servers" / "bin"
_PATIENCE = 60.0


@dataclass(frozen=True)
class Dav:
    """A CalDAV server with an empty calendar for one user; `folder` has the server's own files."""

    url: str
    user: str | None
    password: str | None
    kind: str
    home: str
    """The address below which `new_calendar` makes others."""

    @property
    def settings(self) -> dict[str, Any]:
        """What a connection of the plugin needs."""
        login = {"user": self.user, "password": self.password} if self.user else {}
        return {"url": self.url, **login}


@contextmanager
def running_radicale() -> Iterator[Dav]:
    """Radicale with a user and a password."""
    program = needed(_PYTHON / "radicale")
    with folder() as place:
        port = free_port()
        (place / "users").write_text("alice:secret-of-alice\n")
        (place / "config").write_text(
            f"[server]\nhosts = 127.0.0.1:{port}\n"
            f"[auth]\ntype = htpasswd\nhtpasswd_filename = {place}/users\n"
            "htpasswd_encryption = plain\ndelay = 0\n"
            f"[rights]\ntype = owner_only\n[storage]\nfilesystem_folder = {place}/collections\n"
            "[logging]\nlevel = warning\n"
        )
        with server([str(program), "--config", str(place / "config")], place, listens(port)):
            home = f"http://127.0.0.1:{port}/alice/"
            yield Dav(f"{home}calendar/", "alice", "secret-of-alice", "radicale", home)


@contextmanager
def running_xandikos() -> Iterator[Dav]:
    """Xandikos, which knows no passwords and has a calendar from the start."""
    program = needed(_PYTHON / "xandikos")
    with folder() as place:
        port = free_port()
        command = [str(program), "serve", "--defaults", "-d", str(place / "data"), "-l", "127.0.0.1"]
        command += ["-p", str(port), "--current-user-principal", "/alice/", "--autocreate"]
        with server(command, place, listens(port)):
            home = f"http://127.0.0.1:{port}/alice/calendars/"
            yield Dav(f"{home}calendar/", None, None, "xandikos", home)


@contextmanager
def running_json_server(data: Mapping[str, Any]) -> Iterator[str]:
    """A REST API (json-server) with this data; gives its address."""
    program = needed(NODE / ".bin" / "json-server")
    with folder() as place:
        port = free_port()
        (place / "db.json").write_text(json.dumps(data))
        command = [
            str(program),
            "--host",
            "127.0.0.1",
            "--port",
            str(port),
            "--quiet",
            str(place / "db.json"),
        ]
        with server(command, place, listens(port)):
            yield f"http://127.0.0.1:{port}"


@contextmanager
def running_prism(upstream: str) -> Iterator[str]:
    """Prism before a Notion of one's own: it answers 422 or 500 to what Notion's OpenAPI document forbids."""
    program = needed(NODE / ".bin" / "prism")
    document = needed(NODE / "@notionhq" / "notion-mcp-server" / "scripts" / "notion-openapi.json")
    with folder() as place:
        port = free_port()
        command = [
            str(program),
            "proxy",
            "--errors",
            "-h",
            "127.0.0.1",
            "-p",
            str(port),
            str(document),
            upstream,
        ]
        with server(command, place, listens(port)):
            yield f"http://127.0.0.1:{port}"


@dataclass(frozen=True)
class Dovecot:
    """An IMAP server: TLS at `port`, STARTTLS at `plain_port`; `ca_file` is to be trusted."""

    port: int
    plain_port: int
    ca_file: str
    user: str
    password: str
    folder: Path

    @property
    def settings(self) -> dict[str, Any]:
        """What a connection of the plugin needs."""
        return {
            "host": "localhost",
            "port": self.port,
            "ca_file": self.ca_file,
            "user": self.user,
            "password": self.password,
        }


_DOVECOT = """
base_dir = {place}/run
state_dir = {place}/state
log_path = {place}/dovecot.log
protocols = imap
listen = 127.0.0.1
ssl = yes
ssl_cert = <{place}/cert.pem
ssl_key = <{place}/key.pem
disable_plaintext_auth = yes
auth_mechanisms = plain login
mail_location = maildir:{place}/mail/%u/Maildir
mail_uid = {owner}
mail_gid = {owner}
first_valid_uid = 1
mail_max_userip_connections = 100
passdb {{
  driver = passwd-file
  args = {place}/users
}}
userdb {{
  driver = static
  args = uid={owner} gid={owner} home={place}/mail/%u
}}
service imap-login {{
  inet_listener imap {{
    port = {plain}
  }}
  inet_listener imaps {{
    port = {port}
    ssl = yes
  }}
}}
namespace inbox {{
  inbox = yes
  separator = /
}}
"""


@contextmanager
def running_dovecot() -> Iterator[Dovecot]:
    """Dovecot with one account, and a certificate of its own for localhost."""
    program = needed(
        Path(shutil.which("dovecot", path=f"{os.environ['PATH']}:/usr/sbin") or "/usr/sbin/dovecot")
    )
    if os.geteuid() != 0:
        pytest.skip("Dovecot is started as root here")
    with folder() as place:
        port, plain = free_port(), free_port()
        owner = "mail"
        for name in ("run", "state", "mail"):
            (place / name).mkdir()
        shutil.chown(place / "mail", owner, owner)
        (place / "users").write_text("alice@example.test:{PLAIN}secret-of-alice\n")
        certificate(place)
        (place / "dovecot.conf").write_text(_DOVECOT.format(place=place, owner=owner, plain=plain, port=port))
        with server([program_text(program), "-F", "-c", str(place / "dovecot.conf")], place, listens(port)):
            yield Dovecot(
                port, plain, str(place / "cert.pem"), "alice@example.test", "secret-of-alice", place
            )


def program_text(program: Path) -> str:
    """Return a program's path as text."""
    return str(program)


def certificate(place: Path) -> None:
    """Make `cert.pem` and `key.pem` for localhost."""
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "30"]
    command += ["-keyout", str(place / "key.pem"), "-out", str(place / "cert.pem"), "-subj", "/CN=localhost"]
    command += ["-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"]
    subprocess.run(command, check=True, capture_output=True, timeout=60)


@contextmanager
def folder() -> Iterator[Path]:
    """A folder that other users may enter, unlike pytest's."""
    made = Path(tempfile.mkdtemp(prefix="hopyard-sync-servers-"))
    made.chmod(0o755)
    try:
        yield made
    finally:
        shutil.rmtree(made, ignore_errors=True)


@contextmanager
def server(argv: Sequence[str], place: Path, ready: Callable[[], bool]) -> Iterator[None]:
    """Run a server until the end of the block; it ends too when this process is killed."""
    with (place / "server.log").open("ab") as output:
        process = subprocess.Popen(
            argv,
            cwd=place,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
            preexec_fn=die_with_parent(signal.SIGTERM),
        )
    try:
        deadline = time.monotonic() + _PATIENCE
        while not ready():
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"{argv[0]} does not run:\n{(place / 'server.log').read_text()[-4000:]}")
            time.sleep(0.05)
        yield
    finally:
        process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(10)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def listens(port: int) -> Callable[[], bool]:
    """Return a check whether somebody listens on a port."""

    def check() -> bool:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return True
        return False

    return check


def needed(program: Path) -> Path:
    """Return a file that is there; without it skip, or in CI fail, the test that asks."""
    if program.exists():
        return program
    text = f"{program.name}: not found (`make setup-test-servers`)"
    if os.environ.get("CI") == "true":
        pytest.fail(text, pytrace=False)
    pytest.skip(text)
