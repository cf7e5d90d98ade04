"""Old rows of tables of the operator's own, such as a web framework's sessions, in the ledger's database."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Final

from hopyard import Hopyard, Job, storage
from hopyard.errors import LedgerError, LedgerUnavailable

from hopyard_maintenance.models import TableCleanup
from hopyard_maintenance.settings import SessionTable

_BATCH: Final = 500
#: The history of each plugin's migrations is in a table of this name, which stays when the plugin goes.
_VERSIONS: Final = "hopyard_version_"


async def count(table: SessionTable) -> TableCleanup:
    """Return how many rows a table has and how many are over. What is wrong with it is in `problem`."""
    report = TableCleanup(table=table.table, rows=0, due=0)
    try:
        report.problem = await _problem(table)
        if report.problem is None:
            row = await _count(table)
            report.rows, report.due = int(row["rows"]), int(row["due"])
    except LedgerUnavailable:
        raise
    except LedgerError as error:
        report.problem = str(error)
    return report


async def delete(table: SessionTable, report: TableCleanup, job: Job, pause: float) -> None:
    """Delete the rows that are over, a small batch at a time with a pause behind each."""
    place = "ctid" if storage.sql().name == "postgresql" else "rowid"
    over = await _over(table)
    try:
        while True:
            async with storage.transaction() as tx:
                await tx.execute(tx.sql.no_index)
                gone = await tx.execute(
                    f'DELETE FROM "{table.table}" WHERE {place} IN '
                    f'(SELECT {place} FROM "{table.table}" WHERE {over} LIMIT {_BATCH}) AND {over}',
                    table.days * 86_400,
                )
            report.deleted += gone
            job.progress(report.deleted, report.due, f"cleaning {table.table}")
            if gone < _BATCH:
                return
            await asyncio.sleep(pause)
    except LedgerUnavailable:
        raise
    except LedgerError as error:
        report.problem = str(error)


async def _problem(table: SessionTable) -> str | None:
    ours = await storage.tables()
    if table.table in ours:
        return f"{table.table} is a table of Hopyard's: its own retention sees to it"
    others = await storage.tables(foreign=True)
    owner = _owner(table.table, [*ours, *others])
    if owner is not None:
        return f"{table.table} is a table of the plugin `{owner}`, which is not enabled: it sees to it itself"
    if table.table not in others:
        return f"the database has no table {table.table}"
    if storage.sql().name == "sqlite":  # which takes a quoted name that is no column for a text
        columns = "SELECT name FROM pragma_table_info($1)"
    else:
        columns = (
            "SELECT CAST(column_name AS text) AS name FROM information_schema.columns "
            "WHERE table_schema = current_schema() AND table_name = $1"
        )
    if table.column not in [row["name"] for row in await storage.fetch(columns, table.table)]:
        return f"the table {table.table} has no column {table.column}"
    return None


def _owner(table: str, tables: Sequence[str]) -> str | None:
    """Return whose table it is, of the plugins that are installed or have left tables here; None for none."""
    left = [name.removeprefix(_VERSIONS) for name in tables if name.startswith(_VERSIONS)]
    installed = [record.name for record in Hopyard.current().plugins.records]
    return next(
        (owner for owner in (*left, *installed) if table == owner or table.startswith(f"{owner}_")),
        None,
    )


async def _count(table: SessionTable) -> storage.Row:
    over = await _over(table)
    ask = f'SELECT count(*) AS rows, count(CASE WHEN {over} THEN 1 END) AS due FROM "{table.table}"'
    grace = table.days * 86_400
    if storage.sql().name == "sqlite":  # a transaction would hold the write lock meanwhile
        (row,) = await storage.fetch(ask, grace)
        return row
    async with storage.transaction() as tx:
        await tx.execute(tx.sql.no_index)
        (row,) = await tx.fetch(ask, grace)
    return row


async def _over(table: SessionTable) -> str:
    """Return the condition that a row is over, with the seconds of grace as `$1`."""
    column = f'"{table.column}"'
    if storage.sql().name == "sqlite":
        if table.holds == "seconds":
            return f"{column} < CAST(strftime('%s', 'now') AS REAL) - $1"
        # SQLite reads `12:00` as a time of the year 2000, a number as days: such rows are not over.
        dated = f"typeof({column}) = 'text' AND {column} GLOB '[0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9]*'"
        return f"({dated} AND datetime({column}) < datetime('now', (0 - $1) || ' seconds'))"
    grace = "CAST($1 AS double precision)"
    if table.holds == "seconds":
        return f"{column} < extract(epoch FROM now()) - {grace}"
    rows = await storage.fetch(
        "SELECT CAST(data_type AS text) AS type FROM information_schema.columns "
        "WHERE table_schema = current_schema() AND table_name = $1 AND column_name = $2",
        table.table,
        table.column,
    )
    zoned = bool(rows) and rows[0]["type"] == "timestamp with time zone"
    now = "now()" if zoned else "(now() AT TIME ZONE 'UTC')"
    return f"{column} < {now} - make_interval(secs => {grace})"
