"""The use of the machine and the queues: samples, kept by host, and alerts where a threshold is crossed."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

from hopyard import jobs, storage

from hopyard_maintenance import machine
from hopyard_maintenance.models import ResourceUsage
from hopyard_maintenance.state import Finding, Patience, observe

if TYPE_CHECKING:
    from hopyard_maintenance.settings import MaintenanceSettings


async def sample() -> ResourceUsage:
    """Measure, keep the sample, remove old ones, and alert where enough samples say that it is too much."""
    from hopyard_maintenance import Maintenance

    settings = Maintenance.current().settings
    usage = await asyncio.to_thread(machine.measure, settings.disks)
    usage.queues = await jobs.queue_depths()
    found = judge(usage, settings)
    usage.warnings = [finding.detail for finding in found.values() if finding.ok is False]
    await _keep(usage, settings.keep_samples_days)
    await observe(found, Patience(settings.alert_after, settings.flapping_changes, settings.flapping_seconds))
    return usage


async def history(host: str | None, limit: int) -> list[dict[str, Any]]:
    """Return the latest samples, of one host or of all, the newest first."""
    rows = await storage.fetch(
        "SELECT data FROM maintenance_sample WHERE CAST($1 AS text) IS NULL OR host = $1 "
        "ORDER BY at DESC LIMIT $2",
        host,
        limit,
    )
    return [json.loads(row["data"]) for row in rows]


def judge(usage: ResourceUsage, settings: MaintenanceSettings) -> dict[str, Finding]:
    """Return, by what was judged, whether it is well: from its threshold on it is not.

    It is well again only below a lower threshold (`clear_share`), and in between neither.
    """
    values = {
        "usage.cpu": (usage.cpu_percent, settings.cpu_percent, "CPU"),
        "usage.memory": (usage.memory_percent, settings.memory_percent, "memory"),
    }
    values |= {
        f"usage.disk:{disk.path}": (disk.percent, settings.disk_percent, f"disk {disk.path}")
        for disk in usage.disks
    }
    found = {
        f"{name} on {usage.host}": Finding(
            _standing(value, limit, settings.clear_share),
            f"{what} is at {value:g} %, the threshold is {limit:g} %",
        )
        for name, (value, limit, what) in values.items()
    }
    for disk in usage.disks:
        if disk.problem is not None:
            told = f"disk {disk.path} cannot be measured: {disk.problem}"
            found[f"usage.disk:{disk.path} on {usage.host}"] = Finding(False, told)
    deepest = max(usage.queues, key=lambda name: usage.queues[name], default="")
    depth = usage.queues.get(deepest, 0)
    found["usage.queues"] = Finding(
        _standing(depth, settings.queue_depth, settings.clear_share),
        f"{depth} jobs in queue {deepest}, the threshold is {settings.queue_depth}"
        if deepest
        else "no jobs wait in any queue",
    )
    return found


def _standing(value: float, limit: float, clear_share: float) -> bool | None:
    if value >= limit:
        return False
    return True if value < limit * clear_share else None


async def _keep(usage: ResourceUsage, days: float) -> None:
    d = storage.sql()
    old = f"{d.plus('at', 'CAST($1 AS double precision) * 86400')} < {d.now}"
    await storage.execute(
        f"INSERT INTO maintenance_sample (at, data, host) VALUES ({d.now}, $1, $2) ON CONFLICT DO NOTHING",
        usage.model_dump_json(),
        usage.host,
    )
    await storage.execute(f"DELETE FROM maintenance_sample WHERE {old}", days)
