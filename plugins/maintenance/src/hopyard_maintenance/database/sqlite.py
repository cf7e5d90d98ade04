"""SQLite: statistics, an empty log, and a file without free pages.

All of it holds the only write lock while it works, and workers must write to keep their leases. So each
step has a few seconds; what cannot be done within them is rolled back, and said.
"""

from __future__ import annotations

import os
import shutil
from typing import Final

from hopyard import Job
from hopyard.errors import LedgerError
from hopyard.storage import Upkeep

from hopyard_maintenance.models import OptimizeReport
from hopyard_maintenance.settings import OptimizeSettings

#: Rows of each index that `ANALYZE` looks at.
_ANALYSIS_LIMIT: Final = 1000
#: Pages that one step of incremental vacuum frees.
_STEP: Final = 2000
#: Fewer free bytes are not worth rewriting a file for.
_LITTLE: Final = 2**20
_INCREMENTAL: Final = 2


async def optimize(
    connection: Upkeep, settings: OptimizeSettings, job: Job | None, *, dry_run: bool
) -> OptimizeReport:
    """Do what is worth it. Raises `LedgerUnavailable` where the file cannot be read."""
    before = _bytes(connection)
    report = OptimizeReport(database="SQLite", dry_run=dry_run, bytes_before=before, bytes_after=before)
    for n, step in enumerate((_check, _analyze, _give_back, _empty_log)):
        if job is not None:
            job.progress(n, 4, "optimizing the database")
        await step(connection, settings, report)
    report.bytes_after = _bytes(connection)
    return report


async def _check(connection: Upkeep, settings: OptimizeSettings, report: OptimizeReport) -> None:
    if not settings.integrity_check:
        return
    if report.dry_run:
        report.done.append("check the file")
        return
    try:
        rows = await connection.fetch("PRAGMA quick_check(10)")
    except LedgerError as error:
        report.left.append(f"the file was not checked: {error}")
        return
    found = [str(row[0]) for row in rows]  # type: ignore[index]  # a row is a tuple as well
    if found != ["ok"]:
        raise LedgerError(
            f"the database file is damaged, restore it from a backup: {'; '.join(found)[:1000]}"
        )
    report.done.append("check the file: in order")


async def _analyze(connection: Upkeep, settings: OptimizeSettings, report: OptimizeReport) -> None:
    if not report.dry_run:
        try:
            await connection.execute(f"PRAGMA analysis_limit = {_ANALYSIS_LIMIT}")
            await connection.execute("ANALYZE")
        except LedgerError as error:
            report.left.append(f"the statistics are those of before: {error}")
            return
    report.done.append("analyze")


async def _give_back(connection: Upkeep, settings: OptimizeSettings, report: OptimizeReport) -> None:
    """Free what pages are free: in steps where the file allows it, else by writing the file anew."""
    free, pages, size = [
        await _pragma(connection, name) for name in ("freelist_count", "page_count", "page_size")
    ]
    if free * size < _LITTLE or free < settings.vacuum_share * pages:
        return
    share = f"{100 * free / pages:.0f} % of its pages are free"
    reason = None
    if await _pragma(connection, "auto_vacuum") == _INCREMENTAL:
        what, statements = (
            "give back free pages",
            [f"PRAGMA incremental_vacuum({_STEP})"] * (free // _STEP + 1),
        )
    else:
        what, statements = "vacuum", ["VACUUM"]
        reason = _no_vacuum(connection, pages * size, (pages - free) * size, settings)
    if reason is not None:
        report.left.append(f"{share}, but {reason}")
        return
    try:
        for statement in () if report.dry_run else statements:
            await connection.execute(statement)
    except LedgerError as error:
        report.left.append(f"{share}, but they could not be given back: {error}")
        return
    report.done.append(f"{what}: {share}")


def _no_vacuum(connection: Upkeep, size: int, kept: int, settings: OptimizeSettings) -> str | None:
    """Say why the file is not written anew; None: it may be."""
    if size > settings.vacuum_max_bytes:
        return (
            f"it has {size} bytes, and more than {settings.vacuum_max_bytes} (`vacuum_max_bytes`) are not "
            "rewritten while workers run: stop them, and run VACUUM by hand"
        )
    # Once for the copy, once more for the log through which it comes back into the file.
    room = shutil.disk_usage(os.path.dirname(os.path.abspath(_file(connection)))).free
    if room < 2 * kept + _LITTLE:
        return f"rewriting it takes {2 * kept} bytes of disk, and {room} are free"
    return None


async def _empty_log(connection: Upkeep, settings: OptimizeSettings, report: OptimizeReport) -> None:
    log = f"{_file(connection)}-wal"
    size = os.path.getsize(log) if os.path.exists(log) else 0
    if not size:
        return
    if not report.dry_run:
        try:
            (row,) = await connection.fetch("PRAGMA wal_checkpoint(TRUNCATE)")
        except LedgerError as error:
            report.left.append(f"the log ({size} bytes) stays: {error}")
            return
        if row["busy"]:
            report.left.append(f"the log ({size} bytes) stays: somebody reads it")
            return
    report.done.append("empty the log")


async def _pragma(connection: Upkeep, name: str) -> int:
    (row,) = await connection.fetch(f"PRAGMA {name}")
    return int(row[name])


def _bytes(connection: Upkeep) -> int:
    """Return the size of the file and its log."""
    file = _file(connection)
    return sum(os.path.getsize(one) for one in (file, f"{file}-wal") if os.path.exists(one))


def _file(connection: Upkeep) -> str:
    file = connection.file
    assert file is not None, "a SQLite database is a file"  # noqa: S101 - narrows the type
    return file
