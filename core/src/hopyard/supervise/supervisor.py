"""The supervisor: starts children in order, restarts what ends, stops in reverse order."""

from __future__ import annotations

import contextlib
import logging
import os
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from types import FrameType
from typing import Any

from hopyard.errors import HopyardError
from hopyard.supervise import reaper
from hopyard.supervise.child import Child, ChildSpec, ChildStatus

_log = logging.getLogger(__name__)
_READY_PAUSE = 0.05
_STOP_PAUSE = 1.0

OnExit = Callable[[str, int, int], None]
OnChange = Callable[[list[ChildStatus]], None]


class Supervisor:
    """Keeps processes running until it is told to stop, or until all of them have given up.

    SIGINT, SIGTERM, SIGHUP and `stop` stop the children one after the other, the last first; a second
    signal kills all at once. Each child has a session of its own, so that Ctrl-C reaches only the
    supervisor. Should the supervisor be killed, the children and what they have started end too.

    `on_exit(name, pid, returncode)` is told each end of a process, `on_change(statuses)` each start and end;
    both are called in the main thread, and an error in them stops everything.
    """

    def __init__(
        self,
        children: Sequence[ChildSpec],
        *,
        on_exit: OnExit | None = None,
        on_change: OnChange | None = None,
    ) -> None:
        names = [spec.name for spec in children]
        if len(set(names)) != len(names):
            raise HopyardError(f"children: found the names {', '.join(names)}, expected each name once")
        self._children = [Child(spec) for spec in children]
        self._on_exit = on_exit
        self._on_change = on_change
        self._stops = 0
        self._asked = False
        self._wake_read, self._wake_write = -1, -1
        self._parent_pipe = -1
        self._reaper = _Reaper()

    def status(self) -> list[ChildStatus]:
        """Return what is known of each child, in the order of starting."""
        return [child.status() for child in self._children]

    @property
    def stopping(self) -> bool:
        """Whether the children are being stopped: their ends are no accidents."""
        return self._stops > 0

    @property
    def stopped(self) -> bool:
        """Whether somebody has asked for the end."""
        return self._asked

    def stop(self) -> None:
        """Have `run` stop the children and return; called a second time, have it kill them.

        May be called from any thread and from signal handlers.
        """
        self._stops += 1
        self._asked = True
        if self._wake_write >= 0:
            with contextlib.suppress(BlockingIOError):  # a full pipe wakes as well
                os.write(self._wake_write, b"\0")

    def run(self) -> None:
        """Start the children and keep them running; return after they were stopped.

        Raises HopyardError if a child cannot be started or does not become ready; OSErrors of later starts
        are logged and tried again.
        """
        if threading.current_thread() is not threading.main_thread():
            raise HopyardError("a supervisor runs in the main thread: signals and the kernel's watch need it")
        with self._pipes(), self._signals(), self._reaper:
            try:
                self._start_all()
                while not self._stops and not all(child.given_up for child in self._children):
                    self._wait(self._until_due())
                    self._tick()
            finally:
                self._stop_all()

    def _start_all(self) -> None:
        for child in self._children:
            if self._stops:
                return
            try:
                self._start(child)
            except OSError as error:
                raise HopyardError(f"{child.spec.name} cannot be started: {error}") from error
            self._await_ready(child)

    def _await_ready(self, child: Child) -> None:
        spec = child.spec
        deadline = time.monotonic() + spec.ready_within
        where = f"; its output is in {spec.log}" if spec.log is not None else ""
        while spec.ready is not None and not self._stops and not spec.ready():
            if self._reap(child):
                raise HopyardError(f"{spec.name} ended with {child.returncode} before it was ready{where}")
            if time.monotonic() > deadline:
                raise HopyardError(f"{spec.name} was not ready after {spec.ready_within:g} s{where}")
            self._wait(_READY_PAUSE)

    def _tick(self) -> None:
        self._reaper.check()
        for child in self._children:
            self._reap(child)
            if child.running or self._stops or child.due > time.monotonic():
                continue
            child.restarts += 1
            try:
                self._start(child)
            except OSError as error:
                pause = child.postpone()
                _log.error("%s cannot be started: %s; next try in %.1f s", child.spec.name, error, pause)

    def _start(self, child: Child) -> None:
        child.start(self._parent_pipe)
        self._reaper.watch(child.pid, child.grace)
        self._changed()

    def _reap(self, child: Child) -> bool:
        """Return True if the child has just been found to have ended."""
        pid = child.pid
        if not child.reap():
            return False
        self._reaper.forget(pid)
        name, returncode = child.spec.name, child.returncode or 0
        pause = child.postpone()
        if not self._stops and not (child.given_up and len(self._children) == 1):
            _log.warning("%s (pid %d) ended with %s; restart in %.1f s", name, pid, _how(returncode), pause)
        if self._on_exit is not None:
            self._on_exit(name, pid, returncode)
        self._changed()
        return True

    def _stop_all(self) -> None:
        self._stops = max(self._stops, 1)
        for child in reversed(self._children):
            if not child.running:
                continue
            child.signal(child.spec.stop_signal)
            self._await_end(child, child.grace)
            if child.running:
                _log.warning("%s (pid %d) is killed", child.spec.name, child.pid)
                child.kill()
                self._await_end(child, None)

    def _await_end(self, child: Child, grace: float | None) -> None:
        """Wait until the child has ended; for `grace` seconds, or until a second signal, if it is given."""
        deadline = time.monotonic() + (grace or 0.0)
        while child.running and (grace is None or (self._stops < 2 and time.monotonic() < deadline)):
            self._wait(_STOP_PAUSE if grace is None else deadline - time.monotonic())
            for other in self._children:
                self._reap(other)

    def _changed(self) -> None:
        if self._on_change is not None:
            self._on_change(self.status())

    def _until_due(self) -> float | None:
        due = [child.due for child in self._children if not child.running]
        return max(min(due) - time.monotonic(), 0.0) if due else None

    def _wait(self, seconds: float | None) -> None:
        """Sleep until a signal, a child's end, `stop`, or for `seconds`."""
        limit = None if seconds is None else max(seconds, 0.0)
        if select.select([self._wake_read], [], [], limit)[0]:
            with contextlib.suppress(BlockingIOError):
                os.read(self._wake_read, 4096)

    @contextlib.contextmanager
    def _pipes(self) -> Iterator[None]:
        self._wake_read, self._wake_write = os.pipe()
        os.set_blocking(self._wake_read, False)
        os.set_blocking(self._wake_write, False)
        self._parent_pipe, held = os.pipe()
        try:
            yield
        finally:
            fds = (self._wake_read, self._wake_write, self._parent_pipe, held)
            self._wake_read = self._wake_write = self._parent_pipe = -1
            for fd in fds:
                os.close(fd)

    @contextlib.contextmanager
    def _signals(self) -> Iterator[None]:
        handlers: dict[int, Any] = {}

        def stop(number: int, frame: FrameType | None) -> None:
            self.stop()

        woken = signal.set_wakeup_fd(self._wake_write, warn_on_full_buffer=False)
        numbers: tuple[int, ...] = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
        for number in numbers:
            if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN:  # nohup
                handlers[number] = signal.signal(number, stop)
        handlers[signal.SIGCHLD] = signal.signal(signal.SIGCHLD, lambda number, frame: None)
        try:
            yield
        finally:
            signal.set_wakeup_fd(woken)
            for number, handler in handlers.items():
                signal.signal(number, handler)


def _how(returncode: int) -> str:
    return f"signal {-returncode}" if returncode < 0 else f"status {returncode}"


class _Reaper:
    """The process of `reaper.py`, told of each group; started again should it be killed."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._groups: dict[int, float] = {}

    def __enter__(self) -> None:
        self._begin()

    def __exit__(self, *_: object) -> None:
        process = self._process
        if process is not None and process.stdin is not None:
            with contextlib.suppress(BrokenPipeError):
                process.stdin.close()
            process.wait()
        self._process = None

    def watch(self, group: int, grace: float) -> None:
        self._groups[group] = grace
        self._tell(f"+{group} {grace}\n")

    def forget(self, group: int) -> None:
        self._groups.pop(group, None)
        self._tell(f"-{group}\n")

    def _begin(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-S", reaper.__file__],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd="/",
            bufsize=0,
            start_new_session=True,
        )
        for group, grace in self._groups.items():
            self._write(f"+{group} {grace}\n")

    def check(self) -> None:
        """Start it again if it has ended."""
        if self._process is None or self._process.poll() is not None:
            self._begin()

    def _tell(self, line: str) -> None:
        try:
            self._write(line)
        except BrokenPipeError:
            self._begin()

    def _write(self, line: str) -> None:
        if self._process is not None and self._process.stdin is not None:
            self._process.stdin.write(line.encode())
