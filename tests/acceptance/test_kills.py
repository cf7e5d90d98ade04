"""Kill any process of the stack, as often as you like: each due time is acted on, once, and told.

Runs the real `hopyard up` in an empty folder, with the embedded broker, SQLite and the offline model, and
one person whose channel is a web hook to a real listener on this machine.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import psutil
import pytest
from hopyard.specs import State

SECONDS = 3
KILLS = 12
_FIRE = "SELECT f.due, f.job_id, f.fired FROM schedule_fire f WHERE f.schedule = ? ORDER BY f.due"


class Listener:
    """The other end of alice's web hook."""

    def __init__(self) -> None:
        self.messages: list[dict[str, Any]] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                outer.messages.append(json.loads(body))
                self.send_response(204)
                self.end_headers()

            def log_message(self, *args: Any) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()
        self.place = f"127.0.0.1:{self._server.server_port}"

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class Stack:
    """`hopyard up` in a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.process: subprocess.Popen[bytes] | None = None

    def up(self) -> None:
        with (self.folder / "up.log").open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "hopyard.cli", "up", "--no-web"],
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self.wait(lambda: self.complete(), "the stack is up")

    @property
    def supervisor(self) -> subprocess.Popen[bytes]:
        assert self.process is not None
        return self.process

    def processes(self) -> dict[str, int | None]:
        """The processes of `run.json` by name; none while there is no such file."""
        try:
            info = json.loads((self.folder / ".hopyard" / "run.json").read_text())
        except FileNotFoundError:
            return {}
        if self.process is None or info["pid"] != self.process.pid:
            return {}
        return {one["name"]: one["pid"] for one in info["processes"]}

    def complete(self) -> bool:
        found = self.processes()
        return "scheduler" in found and all(pid and psutil.pid_exists(pid) for pid in found.values())

    def wait(self, condition: Callable[[], Any], what: str, within: float = 40) -> Any:
        """Wait until a condition is true and return it."""
        deadline = time.monotonic() + within
        while not (value := condition()):
            assert time.monotonic() < deadline, f"not within {within:g} s: {what}\n{self.logs()}"
            time.sleep(0.05)
        return value

    def kill(self, name: str) -> None:
        """Kill a process of the stack as soon as it runs, and wait until it is back."""
        pid = self.wait(lambda: self.processes().get(name), f"{name} runs")
        os.kill(pid, signal.SIGKILL)
        self.wait(lambda: self.processes().get(name) not in (None, pid), f"{name} is back")

    def logs(self) -> str:
        """What to look at where the stack did not do what it should."""
        live = self.rows("SELECT id, task, state, attempt, worker, claim, started, reason FROM job_live")
        workers = self.rows("SELECT id, name, pid, beat, stopped FROM worker ORDER BY id")
        runs = self.rows("SELECT job_id, due, state FROM ai_run WHERE state <> 'done'")
        rows = "\n".join(map(str, ["live:", *live, "workers:", *workers, "runs:", *runs]))
        files = [self.folder / "up.log", *sorted((self.folder / ".hopyard" / "logs").glob("*.log"))]
        return rows + "\n".join(
            f"\n== {file.name}\n{file.read_text()[-1500:]}" for file in files if file.exists()
        )

    def command(self, *arguments: str) -> Any:
        done = subprocess.run(
            [sys.executable, "-m", "hopyard.cli", *arguments, "--json"],
            cwd=self.folder,
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def rows(self, sql: str, *parameters: Any) -> list[Any]:
        with closing(sqlite3.connect(self.folder / ".hopyard" / "hopyard.db", timeout=30)) as database:
            return database.execute(sql, parameters).fetchall()

    def family(self) -> dict[int, psutil.Process]:
        """The supervisor and all that descends from it."""
        own = psutil.Process(self.supervisor.pid)
        return {one.pid: one for one in [own, *own.children(recursive=True)]}

    def close(self) -> None:
        """Leave nothing behind, whatever the test did."""
        if self.process is not None and self.process.poll() is None:
            left = self.family()
            self.process.kill()
            self.process.wait()
            _, alive = psutil.wait_procs(left.values(), timeout=15)
            for one in alive:
                one.kill()


@pytest.fixture
def listener() -> Iterator[Listener]:
    made = Listener()
    yield made
    made.close()


@pytest.fixture
def stack(tmp_path: Path, listener: Listener, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stack]:
    for name in [name for name in os.environ if name.startswith("HOPYARD_")]:
        monkeypatch.delenv(name)
    (tmp_path / "hopyard.toml").write_text(
        f'[people.alice]\nzone = "Europe/Berlin"\nchannels = ["http://{listener.place}/hook"]\n'
        f'[egress]\nallow = ["{listener.place}"]\n'
        '[worker]\nlease = 3.0\n[plugins]\nallow = ["ai", "maintenance"]\n'
    )
    made = Stack(tmp_path)
    try:
        made.up()
        yield made
    finally:
        made.close()


def remind(stack: Stack) -> str:
    made = stack.command("ai", "remind", f"every {SECONDS} seconds tell me the disk usage", "--user", "alice")
    id_: str = made["request"]["id"]
    return id_


def at(micros: int) -> datetime:
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=micros)


def done_runs(stack: Stack, request: str) -> int:
    return int(
        stack.rows("SELECT count(*) FROM ai_run WHERE request_id = ? AND state = 'done'", request)[0][0]
    )


def settle(stack: Stack, request: str) -> None:
    """Let nothing more fall due, and wait until everything that had fired is over."""
    stack.command("schedule", "disable", f"ai.request.{request}")

    def quiet() -> bool:
        live = stack.rows(
            "SELECT (SELECT count(*) FROM job_live WHERE task IN ('ai.act', 'hopyard.deliver')) + "
            "(SELECT count(*) FROM ai_run WHERE state = 'running') + "
            "(SELECT count(*) FROM schedule_fire f WHERE f.schedule = ? AND NOT EXISTS "
            " (SELECT 1 FROM ai_run r JOIN job_history h ON h.id = r.job_id WHERE r.job_id = f.job_id))",
            f"ai.request.{request}",
        )
        return bool(live[0][0] == 0)

    stack.wait(quiet, "everything that fired is over", within=60)


def judge(stack: Stack, listener: Listener, request: str, away: int = 0) -> Counter[str]:
    """Every due time fired once, every fire was acted on once, everything was told."""
    fires = stack.rows(_FIRE, f"ai.request.{request}")
    due = [row[0] for row in fires]
    assert len(due) == len(set(due))
    merged = 0
    for earlier, later, fired in zip(due, due[1:], [row[2] for row in fires][1:], strict=False):
        gap = (later - earlier) / 1e6
        assert gap % SECONDS == pytest.approx(0, abs=1e-3)
        missed = round(gap / SECONDS) - 1
        merged += missed
        # Due times are merged into the latest only where nobody was there to fire the earlier ones.
        assert missed == 0 or (fired - earlier) / 1e6 > SECONDS * (missed + 1)
    assert merged == 0 or away, "due times were passed over although the scheduler was never away"

    runs = stack.rows("SELECT due, job_id, state, answer, calls FROM ai_run WHERE request_id = ?", request)
    assert Counter(row[0] for row in runs) == Counter(due)
    assert {row[1] for row in runs} == {row[1] for row in fires}
    assert {row[2] for row in runs} == {"done"}
    for row in runs:
        assert row[3]
        assert [call["name"] for call in json.loads(row[4])] == ["maintenance.monitor_resource_usage"]

    told = stack.rows("SELECT id, data FROM notification WHERE person = 'alice'")
    assert Counter(json.loads(data)["due"] for _, data in told) == Counter(at(one).isoformat() for one in due)
    states = stack.rows("SELECT notification_id, state FROM delivery")
    assert dict(states) == {id_: "delivered" for id_, _ in told}
    assert {one["id"] for one in listener.messages} == {id_ for id_, _ in told}
    plain = Counter(one["id"] for one in listener.messages if not one["repeat"])
    assert not plain or max(plain.values()) == 1
    assert stack.rows(f"SELECT count(*) FROM job_history WHERE state = {State.DEAD:d}") == [(0,)]
    repeats = sum(one["repeat"] for one in listener.messages)
    return Counter(fires=len(fires), merged=merged, repeats=repeats, told=len(told))


@pytest.mark.slow
@pytest.mark.timeout(150)
def test_any_process_may_be_killed_at_any_time(
    stack: Stack, listener: Listener, record_property: Callable[[str, object], None]
) -> None:
    request = remind(stack)
    stack.wait(lambda: done_runs(stack, request) >= 1, "the first due time is acted on")
    rng = random.Random(20270328)
    names = sorted(stack.processes())
    assert names == ["broker", "scheduler", "worker-ai", "worker-hopyard", "worker-maintenance"]
    victims = names * 2 + rng.choices(names, k=KILLS - 2 * len(names))
    rng.shuffle(victims)
    # The last one is the broker: then every worker has to go on over a connection that it lost.
    victims.append(victims.pop(victims.index("broker")))
    for name in victims:
        time.sleep(rng.uniform(0, SECONDS))  # at any moment of a run
        stack.kill(name)
    before = done_runs(stack, request)
    stack.wait(lambda: done_runs(stack, request) >= before + 3, "it goes on after all kills")
    assert stack.supervisor.poll() is None
    settle(stack, request)
    counted = judge(stack, listener, request, away=victims.count("scheduler"))
    for what, number in counted.items():
        record_property(what, number)
    print(dict(counted))  # noqa: T201 - with `-rP`: how much was merged and repeated


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_nothing_survives_the_supervisor_and_the_next_one_goes_on(stack: Stack, listener: Listener) -> None:
    request = remind(stack)
    stack.wait(lambda: done_runs(stack, request) >= 1, "the first due time is acted on")
    family = stack.family()
    assert {pid for pid in stack.processes().values() if pid} <= family.keys()
    stack.supervisor.kill()
    stack.supervisor.wait()
    _, alive = psutil.wait_procs(family.values(), timeout=30)
    assert alive == []

    before = done_runs(stack, request)
    stack.up()
    stack.wait(lambda: done_runs(stack, request) >= before + 2, "the request goes on")
    settle(stack, request)
    judge(stack, listener, request, away=1)


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_ctrl_c_stops_everything_and_loses_nothing(stack: Stack, listener: Listener) -> None:
    request = remind(stack)
    stack.wait(lambda: done_runs(stack, request) >= 1, "the first due time is acted on")
    family = stack.family()
    stack.supervisor.send_signal(signal.SIGINT)
    assert stack.supervisor.wait(60) == 0
    _, alive = psutil.wait_procs(family.values(), timeout=10)
    assert alive == []
    assert not (stack.folder / ".hopyard" / "run.json").exists()
    assert "Traceback" not in stack.logs()
    assert stack.rows(f"SELECT count(*) FROM job_live WHERE state = {State.RUNNING:d}") == [(0,)]

    before = done_runs(stack, request)
    stack.up()
    stack.wait(lambda: done_runs(stack, request) >= before + 1, "the request goes on")
    settle(stack, request)
    judge(stack, listener, request, away=1)
