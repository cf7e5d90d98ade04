"""The tasks. What they do is in modules of its own, which are imported when it is done."""

from __future__ import annotations

from typing import Annotated

from hopyard import Job, RetryPolicy, Tool, task
from pydantic import Field

from hopyard_maintenance.models import (
    Check,
    CleanupReport,
    Disk,
    HealthReport,
    OptimizeReport,
    ResourceUsage,
    RotationReport,
)

__all__ = [
    "TASKS",
    "Check",
    "CleanupReport",
    "Disk",
    "HealthReport",
    "OptimizeReport",
    "ResourceUsage",
    "RotationReport",
]

_RETRY = RetryPolicy(max_retries=1, backoff=10)
#: Another job may be at it for a while.
_PATIENT = RetryPolicy(max_retries=5, backoff=60, max_backoff=600)
_HOUR = 3600.0
_WATCH = "maintenance.watch"
_CLEANS = Tool(destructive=True, idempotent=True, approval=True)

Confirm = Annotated[
    int | None,
    Field(
        ge=0,
        description="The number of all that is due, as a dry run tells it: more than usual may go then.",
    ),
]
Days = Annotated[
    float | None, Field(ge=0, description="Kept for so many days; as the settings say unless given.")
]


@task(
    "maintenance.system_health_check",
    queue=_WATCH,
    retry=_RETRY,
    time_limit=120,
    tool=Tool(read_only=True),
)
async def system_health_check(job: Job) -> HealthReport:
    """Check the health of the system: database, broker, workers, scheduler and every plugin's own checks."""
    from hopyard_maintenance.health import check_all

    return await check_all(job)


@task(
    "maintenance.monitor_resource_usage",
    queue=_WATCH,
    retry=_RETRY,
    time_limit=60,
    tool=Tool(read_only=True),
)
async def monitor_resource_usage() -> ResourceUsage:
    """Measure this machine's resource usage: CPU, memory (RAM), disk space usage, jobs that wait."""
    from hopyard_maintenance.usage import sample

    return await sample()


@task(
    "maintenance.optimize_database",
    retry=_PATIENT,
    time_limit=4 * _HOUR,
    tool=Tool(idempotent=True, approval=True),
)
async def optimize_database(job: Job, dry_run: bool = False) -> OptimizeReport:
    """Optimize the database: vacuum and analyze the tables that need it, and report what it gained."""
    from hopyard_maintenance.database.optimizing import optimize

    return await optimize(job, dry_run)


@task("maintenance.cleanup_old_logs", retry=_PATIENT, time_limit=_HOUR, tool=_CLEANS)
async def cleanup_old_logs(job: Job, dry_run: bool = False, confirm: Confirm = None) -> CleanupReport:
    """Delete old log files in the places that the operator has declared, by age and size."""
    from hopyard_maintenance import cleanup

    return await cleanup.logs(job, dry_run=dry_run, confirm=confirm)


@task("maintenance.cleanup_old_sessions", retry=_PATIENT, time_limit=_HOUR, tool=_CLEANS)
async def cleanup_old_sessions(job: Job, dry_run: bool = False, confirm: Confirm = None) -> CleanupReport:
    """Delete expired sessions: files and rows of tables that the operator has declared, by age and size."""
    from hopyard_maintenance import cleanup

    return await cleanup.sessions(job, dry_run=dry_run, confirm=confirm)


@task("maintenance.cleanup_task_records", retry=_PATIENT, time_limit=4 * _HOUR, tool=_CLEANS)
async def cleanup_task_records(
    job: Job,
    dry_run: bool = False,
    progress_days: Days = None,
    results_days: Days = None,
    confirm: Confirm = None,
) -> CleanupReport:
    """Delete the records of old jobs (results, progress, notifications) that are past their retention."""
    from hopyard_maintenance import records

    if dry_run:
        return await records.plan(progress_days, results_days)
    return await records.clean(job, progress_days=progress_days, results_days=results_days, confirm=confirm)


@task(
    "maintenance.rotate_api_keys",
    retry=_PATIENT,
    time_limit=_HOUR,
    tool=Tool(destructive=True, approval=True),
)
async def rotate_api_keys(
    job: Job, names: list[str] | None = None, force: bool = False, dry_run: bool = False
) -> RotationReport:
    """Rotate the API keys that are due: make a new one, try it, use it, and revoke the old one later."""
    from hopyard_maintenance.keys.managing import rotate

    return await rotate(job, names, force=force, dry_run=dry_run)


@task(
    "maintenance.roll_back_api_key",
    retry=_PATIENT,
    time_limit=_HOUR,
    tool=Tool(destructive=True, approval=True),
)
async def roll_back_api_key(job: Job, name: str) -> str:
    """Take a rotated API key back while its predecessor still works: that one is in use again."""
    from hopyard_maintenance.keys.by_hand import roll_back

    return await roll_back(job, name)


TASKS = (
    system_health_check,
    monitor_resource_usage,
    optimize_database,
    cleanup_old_logs,
    cleanup_old_sessions,
    cleanup_task_records,
    rotate_api_keys,
    roll_back_api_key,
)
