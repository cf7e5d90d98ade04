"""The tasks: health of all plugins, and use of the machine."""

from __future__ import annotations

import base64
import secrets
from datetime import datetime

from hopyard import Job, RetryPolicy, Tool, task
from pydantic import BaseModel

_RETRY = RetryPolicy(max_retries=1, backoff=10)


class Check(BaseModel):
    """One check's answer; `seconds` is how long it took."""

    plugin: str
    name: str
    ok: bool
    detail: str
    seconds: float


class HealthReport(BaseModel):
    """All checks; `ok` only if each is."""

    reference: str
    """A short code of this report, to be quoted with it."""
    ok: bool
    checks: list[Check]
    checked_at: datetime


class Disk(BaseModel):
    """One file system, sizes in bytes."""

    path: str
    total: int
    used: int
    free: int
    percent: float


class ResourceUsage(BaseModel):
    """The machine and the queues at one moment. `load` is the average over a minute."""

    reference: str
    """A short code of this sample, to be quoted with it."""
    at: datetime
    cpu_percent: float
    cpu_count: int
    load: float
    memory_total: int
    memory_used: int
    memory_percent: float
    disks: list[Disk]
    queues: dict[str, int]
    """Live jobs by queue."""
    warnings: list[str]


def new_reference() -> str:
    """Return a code such as `R-7KQ2ZD`, by which people can ask about a report."""
    return "R-" + base64.b32encode(secrets.token_bytes(5)).decode()[:6]


@task("maintenance.system_health_check", retry=_RETRY, time_limit=120, tool=Tool(read_only=True))
async def system_health_check(job: Job) -> HealthReport:
    """Check the health of the system: database, broker, workers, scheduler and every plugin's own checks."""
    from hopyard_maintenance.health import check_all

    return await check_all(job)


@task("maintenance.monitor_resource_usage", retry=_RETRY, time_limit=60, tool=Tool(read_only=True))
async def monitor_resource_usage() -> ResourceUsage:
    """Measure this machine's resource usage: CPU, memory (RAM), disk space usage, jobs that wait."""
    from hopyard_maintenance.usage import sample

    return await sample()
