"""Cleaning up old logs and sessions: one place after the other, and each is kept when it is done."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from hopyard import Job, cleaning
from hopyard.cleaning import OldFiles, Plan

from hopyard_maintenance import session_rows
from hopyard_maintenance.machine import host
from hopyard_maintenance.models import CleanupReport, PlaceCleanup, TableCleanup
from hopyard_maintenance.settings import FilePlace, SessionTable
from hopyard_maintenance.state import Finding, Patience, observe

if TYPE_CHECKING:
    from hopyard_maintenance.settings import MaintenanceSettings

_DAY: Final = 86_400.0


async def logs(job: Job | None, *, dry_run: bool, confirm: int | None) -> CleanupReport:
    """Delete old logs, or say which: without a job it is a dry run always."""
    return await _Cleanup("logs", job, dry_run, confirm).run(_settings().logs)


async def sessions(job: Job | None, *, dry_run: bool, confirm: int | None) -> CleanupReport:
    """Delete old session files and rows, or say which: without a job it is a dry run always."""
    return await _Cleanup("sessions", job, dry_run, confirm).run(
        _settings().sessions, tables=_settings().session_tables
    )


def _settings() -> MaintenanceSettings:
    from hopyard_maintenance import Maintenance

    return Maintenance.current().settings


class _Cleanup:
    """One run. What is over is in the checkpoint, so that a run whose worker died goes on behind it."""

    def __init__(self, kind: str, job: Job | None, dry_run: bool, confirm: int | None) -> None:
        self._kind = kind
        self._job = job
        self._confirm = confirm
        self._settings = _settings()
        saved = job.checkpoint if job is not None else {}
        self._confirmed = bool(saved.get("confirmed"))
        self._report = CleanupReport(
            host=host(),
            dry_run=dry_run or job is None,
            places=[PlaceCleanup(**one) for one in saved.get("places", ())],
            tables=[TableCleanup(**one) for one in saved.get("tables", ())],
        )

    async def run(self, places: Sequence[FilePlace], *, tables: Sequence[SessionTable] = ()) -> CleanupReport:
        """Look at all places first, then clean up those that may be."""
        if not places and not tables:
            self._report.note = "No place is declared in the settings, so there is nothing to clean up."
        # By what they are called: the settings may be others since an earlier attempt.
        over = {one.path for one in self._report.places} | {one.table for one in self._report.tables}
        tables = [table for table in tables if table.table not in over]
        plans = [await self._look(place) for place in places if place.path not in over]
        counts = [await session_rows.count(table) for table in tables]
        due = sum(plan.report.due for plan in plans) + sum(one.due for one in counts)
        if self._confirm is not None and due <= self._confirm:
            self._confirmed = True
        for plan in plans:
            await self._clean_place(plan, len(places))
        for table, count in zip(tables, counts, strict=True):
            await self._clean_table(table, count)
        await self._tell_troubles()
        return self._report

    async def _look(self, place: FilePlace) -> Plan[PlaceCleanup]:
        if self._job is not None:
            self._job.progress(len(self._report.places), None, f"looking at {place.path}")
        seconds = None if place.days is None else place.days * _DAY
        files = OldFiles(place.path, place.patterns, seconds, place.max_bytes)
        report, most = PlaceCleanup(path=place.path), self._settings.max_files
        plan = await cleaning.in_thread(lambda stop: cleaning.look(files, report, time.time(), most, stop))
        if not self._confirmed:
            cleaning.refuse_too_much(plan, self._settings.max_share, self._settings.small)
        return plan

    async def _clean_place(self, plan: Plan[PlaceCleanup], total: int) -> None:
        report = plan.report
        if self._confirmed:
            report.refused = None
        if self._job is not None and not self._report.dry_run and report.refused is None:
            self._job.progress(len(self._report.places), total, f"cleaning {report.path}")
            await cleaning.in_thread(
                lambda stop: cleaning.delete(plan, stop, spare_open=self._settings.spare_open)
            )
        self._report.places.append(report)
        await self._save()

    async def _clean_table(self, table: SessionTable, count: TableCleanup) -> None:
        much = count.due > self._settings.small and count.due > self._settings.max_share * count.rows
        if much and not self._confirmed:
            count.refused = (
                f"{count.due} of {count.rows} rows of {count.table} are over, more than "
                f"{100 * self._settings.max_share:g} %: confirm the number of all that is due"
            )
        if self._job is not None and not self._report.dry_run and not (count.refused or count.problem):
            await session_rows.delete(table, count, self._job, self._settings.batch_pause)
        self._report.tables.append(count)
        await self._save()

    async def _save(self) -> None:
        if self._job is not None and not self._report.dry_run:
            await self._job.save(
                confirmed=self._confirmed,
                places=[one.model_dump(exclude={"examples"}) for one in self._report.places],
                tables=[one.model_dump() for one in self._report.tables],
            )

    async def _tell_troubles(self) -> None:
        """Alert once about what is refused or cannot be cleaned up, and once when it can."""
        if self._report.dry_run:
            return
        reports = {one.path: one.refused or one.problem for one in self._report.places}
        reports |= {one.table: one.refused or one.problem for one in self._report.tables}
        found = {
            f"cleanup of {self._kind}: {name} on {self._report.host}": Finding(
                trouble is None, trouble or "it was cleaned up"
            )
            for name, trouble in reports.items()
        }
        if found:
            await observe(found, Patience())
