"""The tasks: health of all plugins, and use of the machine."""

from __future__ import annotations

import base64
import secrets
from datetime import datetime

from hopyard import Job, RetryPolicy, Tool, task
from pydantic import BaseModel, computed_field

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

    @computed_field  # type: ignore[prop-decorator]
    @property
    def summary(self) -> str:
        """The report in a sentence."""
        wrong = [f"{one.plugin}.{one.name} ({one.detail})" for one in self.checks if not one.ok]
        if not wrong:
            return f"All {len(self.checks)} health checks are in order."
        return f"{len(wrong)} of {len(self.checks)} health checks fail: {', '.join(wrong)}."


class Disk(BaseModel):
    """One file system, sizes in bytes."""

    path: str
    total: int
    used: int
    free: int
    percent: float

    @computed_field  # type: ignore[prop-decorator]
    @property
    def summary(self) -> str:
        """The disk in a sentence."""
        return (
            f"The disk {self.path} is {self.percent:g} % full: {_gigabytes(self.used)} GB used, "
            f"{_gigabytes(self.free)} GB free."
        )


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

    @computed_field  # type: ignore[prop-decorator]
    @property
    def summary(self) -> str:
        """The machine in a sentence or two."""
        disks = "".join(f", the disk {disk.path} is {disk.percent:g} % full" for disk in self.disks)
        return (
            f"CPU is at {self.cpu_percent:g} %, memory at {self.memory_percent:g} % "
            f"({_gigabytes(self.memory_used)} of {_gigabytes(self.memory_total)} GB){disks}."
        )


def _gigabytes(size: int) -> str:
    return f"{size / 1e9:.1f}"


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
