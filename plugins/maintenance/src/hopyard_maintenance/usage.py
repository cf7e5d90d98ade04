"""Measuring the machine and the queues."""

from __future__ import annotations

import asyncio
import os
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import psutil
from hopyard import jobs, storage

from hopyard_maintenance.state import tell_changes
from hopyard_maintenance.tasks import Disk, ResourceUsage, new_reference

if TYPE_CHECKING:
    from hopyard_maintenance import MaintenanceSettings

#: CPU use is measured over so many seconds.
_CPU_SECONDS = 0.3


async def sample() -> ResourceUsage:
    """Measure, keep the sample, remove old ones, and alert where a threshold was crossed since last time."""
    from hopyard_maintenance import Maintenance

    settings = Maintenance.current().settings
    usage = await asyncio.to_thread(_measure, settings)
    usage.queues = await jobs.queue_depths()
    found = _judge(usage, settings)
    usage.warnings = [detail for ok, detail in found.values() if not ok]
    await _keep(usage, settings.keep_samples_days)
    await tell_changes(found)
    return usage


def _measure(settings: MaintenanceSettings) -> ResourceUsage:
    memory = psutil.virtual_memory()
    disks = []
    for path in settings.disks:
        disk = psutil.disk_usage(path)
        disks.append(Disk(path=path, total=disk.total, used=disk.used, free=disk.free, percent=disk.percent))
    return ResourceUsage(
        reference=new_reference(),
        at=datetime.now(UTC),
        cpu_percent=psutil.cpu_percent(_CPU_SECONDS),
        cpu_count=psutil.cpu_count() or 1,
        load=round(os.getloadavg()[0], 2),
        memory_total=memory.total,
        memory_used=memory.used,
        memory_percent=memory.percent,
        disks=disks,
        queues={},
        warnings=[],
    )


def _judge(usage: ResourceUsage, settings: MaintenanceSettings) -> dict[str, tuple[bool, str]]:
    """Return, by what was judged, whether it is below its threshold, and in words."""
    found = {
        "usage.cpu": (usage.cpu_percent, settings.cpu_percent, "CPU"),
        "usage.memory": (usage.memory_percent, settings.memory_percent, "memory"),
    }
    found |= {
        f"usage.disk:{disk.path}": (disk.percent, settings.disk_percent, f"disk {disk.path}")
        for disk in usage.disks
    }
    judged = {
        name: (value < limit, f"{what} is at {value:g} %, the threshold is {limit:g} %")
        for name, (value, limit, what) in found.items()
    }
    deepest = max(usage.queues, key=lambda name: usage.queues[name], default=None)
    depth = usage.queues[deepest] if deepest else 0
    judged["usage.queues"] = (
        depth < settings.queue_depth,
        f"{depth} jobs in queue {deepest}, the threshold is {settings.queue_depth}",
    )
    return judged


async def _keep(usage: ResourceUsage, days: float) -> None:
    d = storage.sql()
    old = f"{d.plus('at', 'CAST($1 AS double precision) * 86400')} < {d.now}"
    await storage.execute(
        f"INSERT INTO maintenance_sample (at, data) VALUES ({d.now}, $1) ON CONFLICT DO NOTHING",
        usage.model_dump_json(),
    )
    await storage.execute(f"DELETE FROM maintenance_sample WHERE {old}", days)
