"""`maintenance.cleanup_task_records`: what is past its retention in the core's tables, in small batches.

The leading worker does the same each minute. This is for people: to see first what would go, to have it go at
once, and to have more go than usual, which is refused where it is too much of a table.
"""

from __future__ import annotations

import asyncio
from collections import Counter

from hopyard import Job, jobs

from hopyard_maintenance.machine import host
from hopyard_maintenance.models import CleanupReport, TableCleanup
from hopyard_maintenance.turns import turn


async def plan(progress_days: float | None, results_days: float | None) -> CleanupReport:
    """Count what is due, and delete nothing; tables without anything due are not told of."""
    from hopyard_maintenance import Maintenance

    settings = Maintenance.current().settings
    due = await jobs.records_due(progress_days=progress_days, results_days=results_days)
    report = CleanupReport(host=host(), dry_run=True)
    for table, (count, rows) in due.items():
        if not count:
            continue
        one = TableCleanup(table=table, rows=rows, due=count)
        if count > settings.small and count > settings.max_share * rows:
            one.refused = (
                f"{count} of {rows} rows of {table} are past their retention, more than "
                f"{100 * settings.max_share:g} %: confirm the number of all that is due"
            )
        report.tables.append(one)
    return report


async def clean(
    job: Job, *, progress_days: float | None, results_days: float | None, confirm: int | None
) -> CleanupReport:
    """Delete what is due, or nothing at all where it is too much of a table and nobody has confirmed it."""
    async with turn("cleanup_task_records", job):
        saved = job.checkpoint.get("report")
        report = CleanupReport(**saved) if saved else await plan(progress_days, results_days)
        if saved is None:
            report.dry_run = False
            if confirm is not None and report.due <= confirm:
                for one in report.tables:
                    one.refused = None
            await job.save(report=report.model_dump(exclude={"due", "summary"}), gone={})
        if not any(one.refused for one in report.tables):
            await _delete(job, report, progress_days, results_days)
        return report


async def _delete(
    job: Job, report: CleanupReport, progress_days: float | None, results_days: float | None
) -> None:
    from hopyard_maintenance import Maintenance

    pause = Maintenance.current().settings.batch_pause
    gone, more = Counter[str](job.checkpoint.get("gone", {})), job.checkpoint.get("more", True)
    while more:
        batch, more = await jobs.prune(progress_days=progress_days, results_days=results_days)
        gone.update(batch)
        # One save a batch: it also ends an attempt whose job was given to another worker.
        await job.save(gone=dict(gone), more=more)
        job.progress(gone.total(), None, f"{gone.total()} rows are deleted")
        if more:
            await asyncio.sleep(pause)
    known = {one.table: one for one in report.tables}
    for table, count in (+gone).items():
        if table not in known:
            known[table] = TableCleanup(table=table, rows=count, due=count)
            report.tables.append(known[table])
        known[table].deleted = count
