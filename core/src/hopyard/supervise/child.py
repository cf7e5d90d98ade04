"""One supervised process: how it is started, and how it is known to have ended."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import IO

from hopyard.supervise.death import die_with_parent
from hopyard.supervise.parent import PARENT_PIPE

FIRST_PAUSE = 0.2
LONGEST_PAUSE = 5.0
#: A child ends with this status where starting it again is of no use before a person has acted.
GIVEN_UP = 2
GIVEN_UP_PAUSE = 60.0
#: Set for a process that is started for the first time: what is wrong with its settings its supervisor says.
FRESH = "HOPYARD_INTERNAL_FRESH"
HEALTHY_AFTER = 10.0
_LOG_LIMIT = 10 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class ChildSpec:
    """A process to be kept running.

    `env` is added to the supervisor's environment. `grace` is how many seconds it has after `stop_signal`
    before it is killed; a function is asked once the process has been started, and may stop everything by an
    error. `log` takes standard output and error, both are inherited without it; a file
    over 10 MB is moved to `NAME.1` at a start. `ready` is asked until it answers True before the next child
    is started, for at most `ready_within` seconds.
    """

    name: str
    argv: Sequence[str]
    env: Mapping[str, str] = field(default_factory=dict)
    cwd: Path | None = None
    stop_signal: int = signal.SIGTERM
    grace: float | Callable[[], float] = 10.0
    log: Path | None = None
    ready: Callable[[], bool] | None = None
    ready_within: float = 30.0
    fds: Sequence[int] = ()
    """Descriptors that it inherits, under the same numbers."""


@dataclass(frozen=True, slots=True)
class ChildStatus:
    """What is known of a child. `pid` and `started` are None while it does not run."""

    name: str
    pid: int | None
    started: datetime | None
    restarts: int
    returncode: int | None
    """How it ended the last time, negative for a signal; None before the first end."""
    memory: int | None
    """Its largest resident memory in bytes until that end."""


class Child:
    """A child's process and its restarts. Not thread-safe: the supervisor's main thread owns it."""

    def __init__(self, spec: ChildSpec) -> None:
        self.spec = spec
        self.restarts = 0
        self.returncode: int | None = None
        self.memory: int | None = None
        self.due = 0.0
        self.grace = 0.0
        """In seconds, once the process has been started."""
        self._pause = FIRST_PAUSE
        self._process: subprocess.Popen[bytes] | None = None
        self._started = 0.0
        self._started_at: datetime | None = None

    @property
    def running(self) -> bool:
        return self._process is not None

    @property
    def pid(self) -> int:
        """The process' id, which is its group's too; 0 while it does not run."""
        return self._process.pid if self._process is not None else 0

    def status(self) -> ChildStatus:
        started = self._started_at if self.running else None
        return ChildStatus(
            self.spec.name, self.pid or None, started, self.restarts, self.returncode, self.memory
        )

    def start(self, pipe: int) -> None:
        """Start the process in a session of its own. Raises OSError."""
        spec = self.spec
        with contextlib.ExitStack() as stack:
            log = stack.enter_context(_opened(spec.log)) if spec.log is not None else None
            self._process = subprocess.Popen(
                list(spec.argv),
                env={**os.environ, **spec.env, PARENT_PIPE: str(pipe), FRESH: "" if self._started else "1"},
                cwd=spec.cwd,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                pass_fds=(pipe, *spec.fds),
                start_new_session=True,
                preexec_fn=die_with_parent(spec.stop_signal),
            )
        self._started, self._started_at = time.monotonic(), datetime.now(UTC)
        try:
            self.grace = spec.grace if isinstance(spec.grace, float | int) else spec.grace()
        except BaseException:
            self.kill()
            self._process.wait()
            self._process = None
            raise

    def signal(self, number: int) -> None:
        """Send the process a signal; what it has started is its own affair."""
        if self._process is not None:
            self._process.send_signal(number)

    def kill(self) -> None:
        """Kill the process and its group."""
        if self._process is not None:
            _kill_group(self._process.pid)

    def reap(self) -> bool:
        """Return True if the process has ended: then its group is killed and `returncode` is set."""
        process = self._process
        if process is None or not _ended(process):
            return False
        _kill_group(process.pid)
        if process.returncode is None:  # as `process.wait()`, which does not tell what the process used
            _, status, usage = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
            self.memory = usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024)
        self.returncode = process.returncode
        self._process = None
        return True

    @property
    def given_up(self) -> bool:
        """Whether it has said that another start would be of no use."""
        return not self.running and self.returncode == GIVEN_UP

    def postpone(self) -> float:
        """Set when the next start is due, and return in how many seconds; it doubles with each crash.

        One that has given up is tried now and then: what it lacks may have been mended.
        """
        if self._started and time.monotonic() - self._started >= HEALTHY_AFTER:
            self._pause = FIRST_PAUSE
        pause = GIVEN_UP_PAUSE if self.given_up else self._pause
        self._pause = min(self._pause * 2, LONGEST_PAUSE)
        self.due = time.monotonic() + pause
        return pause


def _opened(log: Path) -> IO[bytes]:
    log.parent.mkdir(parents=True, exist_ok=True)
    if log.exists() and log.stat().st_size > _LOG_LIMIT:
        log.replace(log.with_name(log.name + ".1"))
    return open(log, "ab", opener=lambda path, flags: os.open(path, flags, 0o600))


def _ended(process: subprocess.Popen[bytes]) -> bool:
    """Whether it has ended; it stays a zombie, so that its number still means its group."""
    if not hasattr(os, "waitid"):
        return process.poll() is not None
    return os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None


def _kill_group(group: int) -> None:
    # macOS says PermissionError where only zombies are left.
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(group, signal.SIGKILL)
