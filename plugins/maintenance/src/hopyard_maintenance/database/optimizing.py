"""`maintenance.optimize_database`: one job at a time, on a connection that waits for nobody long."""

from __future__ import annotations

from hopyard import Hopyard, Job, storage
from hopyard.storage import Upkeep

from hopyard_maintenance.models import OptimizeReport
from hopyard_maintenance.settings import OptimizeSettings
from hopyard_maintenance.turns import turn


async def optimize(job: Job, dry_run: bool) -> OptimizeReport:
    """Do what is worth it, or say what that would be. Raises `TransientError` while another job does."""
    if dry_run:
        return await plan()
    async with turn("optimize_database", job):
        return await _optimize(job, dry_run=False)


async def plan() -> OptimizeReport:
    """Say what is worth doing, and do nothing."""
    return await _optimize(None, dry_run=True)


async def _optimize(job: Job | None, *, dry_run: bool) -> OptimizeReport:
    from hopyard_maintenance import Maintenance

    settings = Maintenance.current().settings.optimize
    async with storage.upkeep(
        lock_seconds=settings.lock_seconds,
        statement_seconds=_longest_statement(settings),
        url=settings.database_url.get_secret_value() if settings.database_url else None,
    ) as connection:
        return await _by_dialect(connection, settings, job, dry_run)


def _longest_statement(settings: OptimizeSettings) -> float:
    """Return how long a statement may take, in seconds; on SQLite it keeps workers from their heartbeats."""
    if storage.sql().name == "postgresql":
        return settings.statement_seconds
    return min(settings.hold_seconds, Hopyard.current().settings.worker.lease / 2)


async def _by_dialect(
    connection: Upkeep, settings: OptimizeSettings, job: Job | None, dry_run: bool
) -> OptimizeReport:
    if connection.sql.name == "postgresql":
        from hopyard_maintenance.database import postgres

        return await postgres.optimize(connection, settings, job, dry_run=dry_run)
    from hopyard_maintenance.database import sqlite

    return await sqlite.optimize(connection, settings, job, dry_run=dry_run)
