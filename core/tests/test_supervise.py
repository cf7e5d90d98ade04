"""Supervision with real processes: restarts, orderly stops, and ends that nobody could arrange."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import psutil
import pytest
from hopyard.errors import HopyardError
from hopyard.supervise import GIVEN_UP, ChildSpec, Supervisor
from hopyard.supervise.child import Child

# Runs a supervisor over the children that a JSON file describes; tells what happens in files beside it.
PROGRAM = """
import json, logging, os, sys
from pathlib import Path
from hopyard.supervise import ChildSpec, Supervisor

folder = Path(sys.argv[1])
logging.basicConfig(filename=folder / "log", format="%(message)s")

def changed(statuses):
    new = folder / "status.new"
    new.write_text(json.dumps({s.name: [s.pid, s.restarts, s.returncode] for s in statuses}))
    new.replace(folder / "status")

def ended(name, pid, returncode):
    with open(folder / "exits", "a") as file:
        file.write(f"{name} {pid} {returncode}\\n")

specs = []
for entry in json.loads((folder / "children").read_text()):
    file = entry.pop("ready_file", None)
    ready = Path(file).exists if file else None
    specs.append(ChildSpec(**entry, ready=ready))
Supervisor(specs, on_exit=ended, on_change=changed).run()
"""
SLEEPER = "import signal; signal.pause()"
STUBBORN = "import signal; [signal.signal(s, signal.SIG_IGN) for s in (signal.SIGTERM, signal.SIGHUP)]"
ANNOUNCE = "; import os, pathlib; pathlib.Path({0!r}).write_text(str(os.getpid())); "


def until(condition: Callable[[], Any], seconds: float = 60) -> Any:
    """Wait for the condition to become true and return its value."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        value = condition()
        if value:
            return value
        time.sleep(0.02)
    raise AssertionError(f"not within {seconds} s: {condition}")


def gone(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def text(path: Path) -> str:
    return path.read_text() if path.exists() else ""


def written(path: Path) -> int:
    """The number in the file, as soon as it is there."""
    return int(until(partial(text, path)))


def python(code: str) -> list[str]:
    return [sys.executable, "-c", code]


class Stack:
    """A supervisor in a process of its own, in a session of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def start(self, children: Sequence[dict[str, Any]]) -> None:
        (self.folder / "children").write_text(json.dumps(children))
        self.process = subprocess.Popen(
            [*python(PROGRAM), str(self.folder)], start_new_session=True, stderr=subprocess.PIPE
        )

    def status(self) -> dict[str, list[int | None]]:
        """For each child its number, how often it was restarted and how it ended last."""
        found: dict[str, list[int | None]] = json.loads(text(self.folder / "status") or "{}")
        return found

    def restarts(self, name: str) -> int:
        return self.status().get(name, [None, 0])[1] or 0

    def pid(self, name: str) -> int:
        """The process' number, as soon as it runs."""
        return int(until(lambda: self.status().get(name, [None])[0]))

    def exits(self) -> list[list[str]]:
        return [line.split() for line in text(self.folder / "exits").splitlines()]

    def descendants(self) -> list[psutil.Process]:
        return psutil.Process(self.process.pid).children(recursive=True)

    def clean_up(self) -> None:
        left = self.descendants() if self.process.poll() is None else []
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        for process in left:
            if process.is_running():
                process.kill()
        if self.process.stderr is not None:
            self.process.stderr.close()


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[Stack]:
    running = Stack(tmp_path)
    yield running
    running.clean_up()


def test_a_killed_child_is_started_again_and_the_others_are_left_alone(stack: Stack) -> None:
    stack.start([{"name": name, "argv": python(SLEEPER)} for name in ("one", "two")])
    one, two = stack.pid("one"), stack.pid("two")
    os.kill(one, signal.SIGKILL)
    until(lambda: stack.status()["one"][1] == 1 and stack.status()["one"][0])
    assert stack.pid("one") != one
    assert stack.status()["one"][2] == -signal.SIGKILL
    assert stack.status()["two"] == [two, 0, None]
    assert stack.exits() == [["one", str(one), "-9"]]


def test_what_a_dead_child_left_in_its_group_is_killed(stack: Stack, tmp_path: Path) -> None:
    note = str(tmp_path / "grandchild")
    grandchild = STUBBORN + ANNOUNCE.format(note) + SLEEPER
    argv = python(f"import subprocess, sys; subprocess.Popen([sys.executable, '-c', {grandchild!r}]).wait()")
    stack.start([{"name": "one", "argv": argv}])
    left = written(Path(note))
    os.kill(stack.pid("one"), signal.SIGKILL)
    until(lambda: gone(left))


def test_killing_the_supervisor_ends_children_and_grandchildren(stack: Stack, tmp_path: Path) -> None:
    """Also those that ignore signals, and each gets its chance to stop cleanly first."""
    notes = [str(tmp_path / f"pid{n}") for n in range(3)]
    grandchild = STUBBORN + ANNOUNCE.format(notes[0]) + SLEEPER
    stubborn = (
        STUBBORN
        + ANNOUNCE.format(notes[1])
        + f"import subprocess, sys; subprocess.Popen([sys.executable, '-c', {grandchild!r}]).wait()"
    )
    polite = (
        "import signal, sys, pathlib\n"
        f"def bye(*_): pathlib.Path({str(tmp_path / 'bye')!r}).write_text('bye'); sys.exit()\n"
        "signal.signal(signal.SIGTERM, bye)" + ANNOUNCE.format(notes[2]) + SLEEPER
    )
    stack.start(
        [
            {"name": "stubborn", "argv": python(stubborn), "grace": 0.5},
            {"name": "polite", "argv": python(polite)},
        ]
    )
    pids = [written(Path(note)) for note in notes]
    everything = stack.descendants()
    assert len(everything) == 4  # and the reaper
    stack.process.kill()
    stack.process.wait()
    for pid in (*pids, *(process.pid for process in everything)):
        until(partial(gone, pid))
    if sys.platform == "linux":
        assert text(tmp_path / "bye") == "bye"


def asleep(process: psutil.Process) -> bool:
    return bool(process.status() == psutil.STATUS_SLEEPING)


def test_the_reaper_is_started_again_and_still_knows_the_groups(stack: Stack, tmp_path: Path) -> None:
    note = str(tmp_path / "pid")
    stack.start([{"name": "one", "argv": python(STUBBORN + ANNOUNCE.format(note) + SLEEPER), "grace": 0.2}])
    child = written(Path(note))
    first = next(process for process in stack.descendants() if process.pid != child)
    first.kill()

    def second() -> bool:
        """Another one has started, and waits: it was told of the groups as soon as it was there."""
        others = [p for p in stack.descendants() if not gone(p.pid) and p.pid not in (child, first.pid)]
        return any(p.cmdline()[-1:] and p.cmdline()[-1].endswith("reaper.py") and asleep(p) for p in others)

    until(second)
    stack.process.kill()
    stack.process.wait()
    until(lambda: gone(child))


def test_ctrl_c_stops_in_reverse_order(stack: Stack, tmp_path: Path) -> None:
    order = tmp_path / "order"
    code = (
        "import signal, sys, time, pathlib\n"
        "def stop(*_):\n"
        "    time.sleep(0.1)\n"
        f"    open({str(order)!r}, 'a').write(sys.argv[1] + ' '); sys.exit(0)\n"
        "signal.signal(signal.SIGTERM, stop)\n"
        "pathlib.Path(sys.argv[2]).touch()\n" + SLEEPER
    )
    children = []
    for name in ("broker", "worker", "web"):
        file = str(tmp_path / f"ready-{name}")
        children.append({"name": name, "argv": [*python(code), name, file], "ready_file": file})
    stack.start(children)
    pids = [stack.pid(name) for name in ("broker", "worker", "web")]
    assert all(os.getsid(pid) == pid for pid in pids), "Ctrl-C must not reach the children"
    until((tmp_path / "ready-web").exists)
    os.killpg(stack.process.pid, signal.SIGINT)
    assert stack.process.wait(20) == 0
    assert order.read_text().split() == ["web", "worker", "broker"]
    assert [(name, code) for name, _, code in stack.exits()] == [
        ("web", "0"),
        ("worker", "0"),
        ("broker", "0"),
    ]
    assert all(gone(pid) for pid in pids)


def test_a_child_that_ignores_the_signal_is_killed_after_its_grace(stack: Stack, tmp_path: Path) -> None:
    note = str(tmp_path / "pid")
    stack.start([{"name": "one", "argv": python(STUBBORN + ANNOUNCE.format(note) + SLEEPER), "grace": 0.2}])
    pid = written(Path(note))
    stack.process.terminate()
    assert stack.process.wait(20) == 0
    assert stack.exits() == [["one", str(pid), "-9"]]


def test_a_second_ctrl_c_does_not_wait_for_the_grace(stack: Stack, tmp_path: Path) -> None:
    notes = [tmp_path / f"pid{n}" for n in range(2)]
    stack.start(
        [
            {"name": note.name, "argv": python(STUBBORN + ANNOUNCE.format(str(note)) + SLEEPER), "grace": 600}
            for note in notes
        ]
    )
    pids = [written(note) for note in notes]
    stack.process.send_signal(signal.SIGINT)
    with pytest.raises(subprocess.TimeoutExpired):
        stack.process.wait(0.3)
    stack.process.send_signal(signal.SIGINT)
    assert stack.process.wait(20) == 0
    assert all(gone(pid) for pid in pids)


def test_another_stop_signal_can_be_asked_for(stack: Stack, tmp_path: Path) -> None:
    code = (
        STUBBORN + "; signal.signal(signal.SIGQUIT, signal.SIG_DFL)" + ANNOUNCE.format(str(tmp_path / "pid"))
    )
    stack.start(
        [{"name": "one", "argv": python(code + SLEEPER), "stop_signal": signal.SIGQUIT, "grace": 600}]
    )
    until(lambda: text(tmp_path / "pid"))
    stack.process.terminate()
    assert stack.process.wait(20) == 0
    assert [code for _, _, code in stack.exits()] == [str(-signal.SIGQUIT)]


def test_a_crash_looping_child_backs_off_and_costs_nothing(stack: Stack, tmp_path: Path) -> None:
    stack.start([{"name": "broken", "argv": ["false"]}, {"name": "whole", "argv": python(SLEEPER)}])
    until(lambda: stack.restarts("broken") >= 3)
    pauses = [line.rpartition("restart in ")[2] for line in text(tmp_path / "log").splitlines()]
    assert pauses[:3] == ["0.2 s", "0.4 s", "0.8 s"]
    used = psutil.Process(stack.process.pid).cpu_times()
    until(lambda: stack.restarts("broken") >= 4)
    now = psutil.Process(stack.process.pid).cpu_times()
    assert (now.user + now.system) - (used.user + used.system) < 0.2
    assert stack.status()["whole"][1] == 0


def test_the_pause_doubles_up_to_five_seconds_and_starts_anew_after_health() -> None:
    child = Child(ChildSpec("one", ["true"]))
    assert [child.postpone() for _ in range(7)] == [0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0]
    child._started = time.monotonic() - 11
    assert child.postpone() == 0.2
    child._started = time.monotonic() - 1
    assert child.postpone() == 0.4


def given_up(path: Path) -> list[str]:
    return python(f"import sys; open({str(path)!r}, 'a').write('x'); sys.exit({GIVEN_UP})")


def test_a_supervisor_whose_children_have_all_given_up_ends(stack: Stack, tmp_path: Path) -> None:
    """They have said that a person must act: starting them again would only say it again."""
    stack.start([{"name": name, "argv": given_up(tmp_path / name)} for name in ("one", "two")])
    assert stack.process.wait(60) == 0
    assert [text(tmp_path / name) for name in ("one", "two")] == ["x", "x"]


def test_one_that_has_given_up_is_left_alone_and_the_others_go_on(stack: Stack, tmp_path: Path) -> None:
    poor = {"name": "poor", "argv": given_up(tmp_path / "poor")}
    stack.start([poor, {"name": "fine", "argv": python(SLEEPER)}])
    until(lambda: "restart in 60.0 s" in text(stack.folder / "log"))
    assert stack.process.poll() is None
    assert text(tmp_path / "poor") == "x"


def test_a_child_inherits_the_descriptors_that_it_is_given(tmp_path: Path) -> None:
    with (tmp_path / "file").open("wb") as file:
        code = f"import os; os.write({file.fileno()}, b'hello'); raise SystemExit(2)"
        Supervisor([ChildSpec("one", python(code), fds=[file.fileno()])]).run()
    assert text(tmp_path / "file") == "hello"


def test_a_child_waits_until_the_one_before_it_is_ready(stack: Stack, tmp_path: Path) -> None:
    flag = tmp_path / "flag"
    stack.start(
        [
            {"name": "broker", "argv": python(SLEEPER), "ready_file": str(flag)},
            {"name": "worker", "argv": python(SLEEPER)},
        ]
    )
    stack.pid("broker")
    assert stack.status()["worker"] == [None, 0, None]
    flag.touch()
    assert stack.pid("worker")


@pytest.mark.parametrize(
    ("argv", "within", "message"),
    [
        (["false"], 20.0, "broker ended with 1 before it was ready"),
        (python(SLEEPER), 0.1, "broker was not ready after 0.1 s"),
        (["/nonexistent/valkey"], 20.0, "broker cannot be started"),
    ],
)
def test_a_first_start_that_fails_ends_everything_with_the_reason(
    stack: Stack, tmp_path: Path, argv: list[str], within: float, message: str
) -> None:
    broker = {"name": "broker", "argv": argv, "ready_file": str(tmp_path / "never"), "ready_within": within}
    stack.start([{"name": "first", "argv": python(SLEEPER)}, broker])
    _, error = stack.process.communicate(timeout=20)
    assert message in error.decode()
    [[_, pid, _]] = [entry for entry in stack.exits() if entry[0] == "first"]
    assert gone(int(pid))


def test_a_child_ends_where_its_grace_cannot_be_told() -> None:
    before, pids = {*psutil.Process().children()}, list[int]()

    def grace() -> float:
        pids.extend(one.pid for one in {*psutil.Process().children()} - before)
        raise HopyardError("faulty settings")

    with pytest.raises(HopyardError, match="faulty settings"):
        Supervisor([ChildSpec("one", python(SLEEPER), grace=grace)]).run()
    assert pids
    assert all(gone(pid) for pid in pids)


def test_output_goes_to_a_private_log_that_is_turned_over(tmp_path: Path) -> None:
    log = tmp_path / "logs" / "one.log"
    log.parent.mkdir()
    log.write_bytes(b"x" * (10 * 1024 * 1024 + 1))
    code = "import sys; print('out', flush=True); print('err', file=sys.stderr, flush=True); " + SLEEPER
    spec = ChildSpec("one", python(code), log=log)
    child = Child(spec)
    pipe, other = os.pipe()
    child.start(pipe)
    until(lambda: text(log).split() == ["out", "err"])
    child.kill()
    until(child.reap)
    os.close(pipe)
    os.close(other)
    assert log.stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "logs" / "one.log.1").stat().st_size > 10 * 1024 * 1024


def test_stop_may_be_called_from_another_thread_and_handlers_are_put_back() -> None:
    before = signal.getsignal(signal.SIGINT)
    seen: list[int | None] = []
    supervisor = Supervisor(
        [ChildSpec("one", python(SLEEPER))], on_change=lambda statuses: seen.append(statuses[0].pid)
    )

    def stop_when_it_runs() -> None:
        until(lambda: seen)
        supervisor.stop()

    stopper = threading.Thread(target=stop_when_it_runs)
    stopper.start()
    supervisor.run()
    stopper.join()
    assert seen[0]
    assert seen[-1] is None
    assert supervisor.status()[0].returncode == -signal.SIGTERM
    assert signal.getsignal(signal.SIGINT) is before


def test_an_error_in_a_callback_stops_everything() -> None:
    def fail(*_: object) -> None:
        raise LookupError("callback")

    supervisor = Supervisor([ChildSpec("one", ["false"])], on_exit=fail)
    with pytest.raises(LookupError):
        supervisor.run()


def test_only_the_main_thread_may_supervise() -> None:
    errors: list[str] = []

    def run() -> None:
        try:
            Supervisor([]).run()
        except HopyardError as error:
            errors.append(str(error))

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert "main thread" in errors[0]


def test_names_are_given_once() -> None:
    with pytest.raises(HopyardError, match="each name once"):
        Supervisor([ChildSpec("one", ["true"]), ChildSpec("one", ["true"])])
