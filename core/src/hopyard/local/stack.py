"""Which stack runs in a data directory: a lock, and `run.json` for whoever wants to use the stack."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from hopyard import files
from hopyard.errors import HopyardError
from hopyard.local.directory import prepare, take_lock, write_private

__all__ = ["StackFile", "StackInfo", "StackProcess", "find"]

_FILE = "run.json"
_LOCK = "stack.lock"


@dataclass(frozen=True, slots=True)
class StackProcess:
    """A process of the stack; `pid` is None while it does not run."""

    name: str
    pid: int | None


@dataclass(frozen=True, slots=True)
class StackInfo:
    """A running stack. The URLs may hold passwords: not to be printed."""

    pid: int
    started: datetime
    birth: str
    """Tells the process from a later one with the same number."""
    broker_url: str
    database_url: str
    processes: tuple[StackProcess, ...] = ()

    def __repr__(self) -> str:
        return f"StackInfo(pid={self.pid}, started={self.started.isoformat()}, processes={self.processes})"


class StackFile:
    """What a supervisor keeps of its stack in the data directory.

    Entering takes the lock, and raises HopyardError with the other's process number if a stack runs in the
    same directory. Leaving removes `run.json` and gives the lock back.
    """

    def __init__(self, data: Path) -> None:
        self._data = data
        self._lock = -1
        self._info: StackInfo | None = None

    def __enter__(self) -> Self:
        self._data = prepare(self._data)
        lock = take_lock(self._data / _LOCK)
        if lock is None:
            pid = files.read_text(self._data / _LOCK, files.MAX_VALUE).strip() or "unknown"
            raise HopyardError(
                f"a stack already runs in {self._data} (pid {pid}): stop it first, or choose another "
                "directory with --data"
            )
        os.ftruncate(lock, 0)
        os.write(lock, f"{os.getpid()}\n".encode())
        self._lock = lock
        (self._data / _FILE).unlink(missing_ok=True)  # left by a stack that was killed
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        (self._data / _FILE).unlink(missing_ok=True)
        os.ftruncate(self._lock, 0)
        os.close(self._lock)
        self._lock = -1

    def write(
        self, *, broker_url: str, database_url: str, processes: Sequence[StackProcess] = ()
    ) -> StackInfo:
        """Write `run.json` for this process, and return what stands in it."""
        pid = os.getpid()
        self._info = StackInfo(
            pid=pid,
            started=datetime.now(UTC),
            birth=_birth(pid) or "",
            broker_url=broker_url,
            database_url=database_url,
            processes=tuple(processes),
        )
        return self._save(self._info)

    def update(self, processes: Sequence[StackProcess]) -> StackInfo:
        """Write the processes anew. Raises HopyardError before the first `write`."""
        if self._info is None:
            raise HopyardError(f"{_FILE} was not written yet: `write` comes before `update`")
        return self._save(replace(self._info, processes=tuple(processes)))

    def _save(self, info: StackInfo) -> StackInfo:
        if self._lock < 0:
            raise HopyardError(f"{_FILE} is written only while the lock is held: use `with StackFile(...)`")
        self._info = info
        values = asdict(info) | {"started": info.started.isoformat()}
        write_private(self._data / _FILE, json.dumps(values, indent=2) + "\n")
        return info


def find(data: Path) -> StackInfo | None:
    """Return the stack that runs in a data directory, None if none does.

    Raises HopyardError for a file that no stack has written.
    """
    file = Path(data) / _FILE
    try:
        text = files.read_text(file, files.MAX_VALUE)
    except (FileNotFoundError, NotADirectoryError):
        return None
    info = _parsed(file, text)
    return info if info.birth and _birth(info.pid) == info.birth else None


def _parsed(file: Path, text: str) -> StackInfo:
    try:
        found: dict[str, Any] = json.loads(text)
        processes = tuple(StackProcess(item["name"], item["pid"]) for item in found["processes"])
        started = datetime.fromisoformat(found["started"])
        return StackInfo(**(found | {"started": started, "processes": processes}))
    except (ValueError, KeyError, TypeError) as error:
        raise HopyardError(f"{file}: expected what `hopyard up` writes; delete the file") from error


def _birth(pid: int) -> str | None:
    """When the process was born, in the system's own terms; None if there is no such process.

    On Linux in clock ticks since the start of the system, which do not move when the clock is set.
    """
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except FileNotFoundError:
        return _birth_elsewhere(pid) if not Path("/proc/self/stat").exists() else None
    except ProcessLookupError:
        return None
    fields = stat.rpartition(")")[2].split()
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    return None if fields[0] == "Z" else f"{boot}:{fields[19]}"


def _birth_elsewhere(pid: int) -> str | None:
    import psutil

    try:
        return f"{psutil.Process(pid).create_time():.2f}"
    except psutil.NoSuchProcess:
        return None
