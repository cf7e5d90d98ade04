"""Who may be at work on a repository at the same time: a lock is a small object with a lease.

Backups, checks and restores share a repository; a prune has it for itself. Each puts its own lock first and
looks at those of others then, so that of two at least one sees the other. A lease is measured by the clock of
the place, against the time of one's own lock, so that the clocks of machines need not agree. The lock of a
process that is known to be dead counts for nothing.
"""

from __future__ import annotations

import json
import os
import secrets
import socket
import time
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, Literal

from hopyard_file.backup.engine.errors import Damaged, LeaseLost, RepositoryBusy
from hopyard_file.backup.engine.places import Place

#: Seconds after which a lock that was not renewed is nobody's.
LEASE: Final = 900.0
_RENEWAL: Final = LEASE / 5
_MOST: Final = 64 << 10

Kind = Literal["shared", "alone"]


class Lock:
    """A lock that was taken. Call `keep` now and then: it renews the lease when that is due."""

    def __init__(self, place: Place, kind: Kind, purpose: str) -> None:
        self._place = place
        self._kind = kind
        self._name = secrets.token_hex(12)
        self._content = json.dumps({"kind": kind, "purpose": purpose, **_identity()}).encode()
        self._renewed = _now()

    def __enter__(self) -> Lock:
        """Take it. Raises `RepositoryBusy`."""
        self._put()
        try:
            self._check_others()
        except BaseException:
            self._remove()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._remove()

    def keep(self) -> None:
        """Renew the lease if that is due. Raises `LeaseLost` if it is too late."""
        if _now() - self._renewed > LEASE:
            raise LeaseLost("this run stood still for longer than its lease on the repository")
        if _now() - self._renewed > _RENEWAL:
            self._put()

    def confirm(self) -> None:
        """Raise `LeaseLost` unless the lock is ours still, and renew it: before what cannot be undone."""
        self.keep()
        try:
            self._place.get(self._key, _MOST)
        except FileNotFoundError:
            raise LeaseLost("somebody has removed this run's lock on the repository") from None
        self._put()

    @property
    def _key(self) -> str:
        return f"locks/{self._name}"

    def _put(self) -> None:
        started = _now()
        self._place.put(self._key, self._content)
        self._renewed = started

    def _remove(self) -> None:
        with suppress(OSError):  # whoever comes next sees that this process is gone, or that time is up
            self._place.delete(self._key)

    def _check_others(self) -> None:
        found = {one.name: one.modified for one in self._place.listed("locks")}
        now = found.get(self._name)
        if now is None:
            raise RepositoryBusy("the repository does not list a lock that was just stored in it")
        for name, modified in found.items():
            if name == self._name:
                continue
            other = self._content_of(name)
            if other is None:
                continue
            if now - modified > LEASE or _is_dead(other):
                self._place.delete(f"locks/{name}")
            elif "alone" in (self._kind, other.get("kind")):
                raise RepositoryBusy(
                    f"the repository is in use: {other.get('purpose')} on {other.get('host')}, "
                    f"process {other.get('pid')}"
                )

    def _content_of(self, name: str) -> dict[str, Any] | None:
        try:
            found = json.loads(self._place.get(f"locks/{name}", _MOST))
        except FileNotFoundError:
            return None
        except (ValueError, Damaged):
            return {"purpose": "something unreadable"}
        return found if isinstance(found, dict) else {"purpose": "something unreadable"}


def _now() -> float:
    """Seconds, counted also while the machine sleeps."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def _identity() -> dict[str, Any]:
    return {
        "host": socket.gethostname(),
        "pid": os.getpid(),
        "machine": _machine(),
        "began": _began(os.getpid()),
    }


def _machine() -> str:
    """Return what two processes share that see each other under the same numbers; empty if nobody knows."""
    with suppress(OSError):
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot} {os.readlink('/proc/self/ns/pid')}"
    return ""


def _began(pid: int) -> str | None:
    """Return when a process began, in the kernel's ticks; None if there is none."""
    try:
        # The name of the program, in brackets, may hold anything.
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        return None


def _is_dead(lock: dict[str, Any]) -> bool:
    machine, pid = lock.get("machine"), lock.get("pid")
    if not machine or machine != _machine() or not isinstance(pid, int):
        return False
    began = _began(pid)
    return began is None or began != lock.get("began")
