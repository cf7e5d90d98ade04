"""PostgreSQL: `VACUUM` and `ANALYZE` where rows were changed, indexes built anew where they are bloated.

Autovacuum does most of this by itself. What is left are tables that changed less than its thresholds, and
indexes, which it never makes smaller. None of the commands here keeps others from reading or writing: each
waits at most `lock_seconds` for its own lock, and a table whose turn fails is left for next time.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any, Final

from hopyard import Job, storage
from hopyard.errors import LedgerError
from hopyard.storage import Row, Upkeep

from hopyard_maintenance.database import indexes
from hopyard_maintenance.models import IndexUpkeep, OptimizeReport, TableUpkeep
from hopyard_maintenance.settings import OptimizeSettings

#: As autovacuum does, `VACUUM` rests a little after so much work: milliseconds.
_COST_DELAY: Final = 2
#: What takes no lock: a table that somebody has locked must not hold up the look at all.
_TABLES: Final = """
SELECT CAST(c.relname AS text) AS name, coalesce(s.n_live_tup, 0) AS live, coalesce(s.n_dead_tup, 0) AS dead,
       coalesce(s.n_mod_since_analyze, 0) AS changed
  FROM pg_class c LEFT JOIN pg_stat_user_tables s ON s.relid = c.oid
 WHERE c.relkind = 'r' AND c.relnamespace = current_schema()::regnamespace AND c.relname = ANY($1::text[])
 ORDER BY c.relname"""
_TABLE_SIZE: Final = """
SELECT pg_total_relation_size(c.oid) AS bytes FROM pg_class c
 WHERE c.relnamespace = current_schema()::regnamespace AND c.relname = $1"""
_COMMANDS: Final = {
    ("vacuum",): "VACUUM",
    ("analyze",): "ANALYZE",
    ("vacuum", "analyze"): "VACUUM (ANALYZE)",
}
_SIZE: Final = "SELECT pg_database_size(current_database()) AS bytes"


async def optimize(
    connection: Upkeep, settings: OptimizeSettings, job: Job | None, *, dry_run: bool
) -> OptimizeReport:
    """Do what is worth it, table by table. Raises `LedgerUnavailable` where the server is gone."""
    names = await storage.tables()
    before = _saved(job, "bytes_before") or (await connection.fetch(_SIZE))[0]["bytes"]
    report = OptimizeReport(database="PostgreSQL", dry_run=dry_run, bytes_before=before, bytes_after=before)
    report.tables = [TableUpkeep(**one) for one in _saved(job, "tables") or ()]
    report.indexes = [IndexUpkeep(**one) for one in _saved(job, "indexes") or ()]
    if not dry_run:
        await connection.execute(f"SET vacuum_cost_delay = {_COST_DELAY}")
        await connection.execute("SET max_parallel_maintenance_workers = 0")
    await _tables(connection, names, settings, job, report)
    await _indexes(connection, names, settings, job, report)
    if not dry_run:
        report.bytes_after = (await connection.fetch(_SIZE))[0]["bytes"]
    return report


async def _tables(
    connection: Upkeep,
    names: Sequence[str],
    settings: OptimizeSettings,
    job: Job | None,
    report: OptimizeReport,
) -> None:
    rows = await connection.fetch(_TABLES, [*names])
    over = {one.table for one in report.tables}
    for n, row in enumerate(rows):
        steps = _worth(row, settings)
        if not steps or row["name"] in over:
            continue
        one = TableUpkeep(table=row["name"], done=steps, dead_before=row["dead"], dead_after=row["dead"])
        if job is not None and not report.dry_run:
            job.progress(n, len(rows), f"{' and '.join(steps)}: {one.table}")
        await _work(connection, one, report.dry_run)
        report.tables.append(one)
        await _save(job, report)


def _worth(row: Row, settings: OptimizeSettings) -> list[str]:
    def much(count: int) -> bool:
        return count > settings.dead_rows and count > settings.dead_share * (row["live"] + row["dead"])

    return [step for step, count in (("vacuum", "dead"), ("analyze", "changed")) if much(row[count])]


async def _work(connection: Upkeep, one: TableUpkeep, dry_run: bool) -> None:
    began = time.monotonic()
    try:
        one.bytes_before = one.bytes_after = await _size(connection, one.table)
        if not dry_run:
            warnings = await connection.execute(f"{_COMMANDS[tuple(one.done)]} {quoted(one.table)}")
            if warnings:  # such as: a role that does not own the table, which is left out then
                one.problem = "; ".join(warnings)
            one.bytes_after = await _size(connection, one.table)
    except LedgerError as error:
        one.problem = str(error)
    one.seconds = round(time.monotonic() - began, 2)
    # Raises where it was not the table's turn that failed, but the server that is gone.
    for row in await connection.fetch(_TABLES, [one.table]):
        one.dead_after = row["dead"]


async def _size(connection: Upkeep, table: str) -> int:
    rows = await connection.fetch(_TABLE_SIZE, table)
    return int(rows[0]["bytes"]) if rows else 0


async def _indexes(
    connection: Upkeep,
    names: Sequence[str],
    settings: OptimizeSettings,
    job: Job | None,
    report: OptimizeReport,
) -> None:
    over = {one.index for one in report.indexes}
    found = await indexes.left_over(connection, names)
    if settings.reindex:
        found += await indexes.bloated(connection, names, settings)
    for one in found:
        if one.index in over:
            continue
        if job is not None and not report.dry_run:
            job.progress(0, None, f"{one.done}: {one.index}")
            await indexes.work(connection, one)
        report.indexes.append(one)
        await _save(job, report)


def quoted(name: str) -> str:
    """Return a name as an SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


def _saved(job: Job | None, name: str) -> Any:
    return job.checkpoint.get(name) if job is not None else None


async def _save(job: Job | None, report: OptimizeReport) -> None:
    """Keep what is done: the next attempt goes on behind it. A stale attempt ends here."""
    if job is not None and not report.dry_run:
        await job.save(
            bytes_before=report.bytes_before,
            tables=[one.model_dump() for one in report.tables],
            indexes=[one.model_dump() for one in report.indexes],
        )
