"""Measuring this machine, or the part of it that a control group leaves."""

from __future__ import annotations

import math
import os
import socket
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final, NamedTuple

from hopyard_maintenance import control_group
from hopyard_maintenance.models import Disk, ResourceUsage
from hopyard_maintenance.references import new_reference

#: CPU use is measured over so many seconds.
_CPU_SECONDS: Final = 0.3


class _Cpu(NamedTuple):
    percent: float
    processors: int


class _Memory(NamedTuple):
    total: int
    used: int
    percent: float


def measure(disks: Sequence[str]) -> ResourceUsage:
    """Return a sample without what the ledger knows; a disk that is not there says so itself."""
    limits = control_group.limits()
    cpu = _cpu(limits)
    memory = _memory(limits)
    machine_wide = limits.cpus is None and limits.memory is None
    return ResourceUsage(
        reference=new_reference(),
        at=datetime.now(UTC),
        host=host(),
        cpu_percent=cpu.percent,
        cpu_count=cpu.processors,
        load=round(os.getloadavg()[0], 2),
        memory_total=memory.total,
        memory_used=memory.used,
        memory_percent=memory.percent,
        limited=not machine_wide,
        disks=[_disk(path) for path in disks],
        queues={},
        warnings=[],
    )


def host() -> str:
    """Return this machine's name."""
    return socket.gethostname()


def _cpu(limits: control_group.Limits) -> _Cpu:
    import psutil

    machine = psutil.cpu_count() or 1
    if limits.cpus is None or limits.cpus >= machine:
        return _Cpu(psutil.cpu_percent(_CPU_SECONDS), machine)
    before, began = control_group.cpu_seconds(), time.monotonic()
    percent = psutil.cpu_percent(_CPU_SECONDS)
    after, seconds = control_group.cpu_seconds(), time.monotonic() - began
    if before is not None and after is not None:
        percent = round(min(100.0, max(0.0, 100 * (after - before) / (limits.cpus * seconds))), 1)
    return _Cpu(percent, max(1, math.ceil(limits.cpus)))


def _memory(limits: control_group.Limits) -> _Memory:
    import psutil

    machine = psutil.virtual_memory()
    if limits.memory is None or limits.memory_used is None or limits.memory >= machine.total:
        return _Memory(machine.total, machine.used, machine.percent)
    share = round(100 * limits.memory_used / limits.memory, 1)
    return _Memory(limits.memory, limits.memory_used, share)


def _disk(path: str) -> Disk:
    import psutil

    try:
        disk = psutil.disk_usage(path)
    except (OSError, ValueError) as error:  # not mounted, no right to look; no path at all
        problem = getattr(error, "strerror", None) or str(error)
        return Disk(path=path, total=0, used=0, free=0, percent=0.0, problem=problem)
    return Disk(path=path, total=disk.total, used=disk.used, free=disk.free, percent=disk.percent)
