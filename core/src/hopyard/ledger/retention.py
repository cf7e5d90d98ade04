"""Retention: old results and progress leave in small batches, so that nobody waits for it."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final, NamedTuple

from hopyard.ledger.database import Database
from hopyard.ledger.values import moment, oldest_id, utcnow
from hopyard.specs import State

BATCH: Final = 500
#: A thousand years; what is to be kept for longer is kept for ever.
_MOST_DAYS: Final = 365_000.0
#: Tables whose rows are old by themselves: primary key, and the column that says how old.
_AGED: Final = (
    ("schedule_fire", "schedule, due", "fired"),
    ("command", "n", "created"),
    ("job_group", "id", "created"),
    ("worker", "id", "stopped"),
    ("notification", "id", "created"),
    ("delivery", "notification_id, channel", "updated"),
)
#: What there is of a job beside its row, by `job_id`.
OF_A_JOB: Final = ("job_checkpoint", "job_effect", "job_log", "job_progress")
#: Rows that nothing leads to any more: table, its primary key, and what must not be there.
_PROGRESS: Final = ("job_progress", "job_id", "SELECT 1 FROM job_live j WHERE j.id = job_progress.job_id")
_PART: Final = ("job_part", "group_id, member", "SELECT 1 FROM job_group g WHERE g.id = job_part.group_id")
_KEY: Final = ("job_key", "key", "SELECT 1 FROM job_live j WHERE j.id = job_key.job_id")


class Due(NamedTuple):
    """How many rows of a table are past their retention, and how many it has."""

    due: int
    total: int


async def due(database: Database, *, progress_days: float, results_days: float) -> dict[str, Due]:
    """Count what `prune` would delete, by table; of jobs what goes with them is not counted.

    It reads the tables from end to end. Raises `LedgerError`.
    """
    progress, results = await _limits(database, progress_days, results_days)
    old = oldest_id(min(results_days, _MOST_DAYS) * 86400)
    conditions: dict[str, tuple[str, object]] = {
        "job_progress": (f"updated < $1 AND NOT EXISTS ({_PROGRESS[2]})", progress),
        "job_history": (f"finished < $1 AND state <> {State.DEAD:d}", results),
        "job_key": (
            f"(until IS NULL OR until < {database.dialect.now}) AND job_id < $1 AND NOT EXISTS ({_KEY[2]})",
            old,
        ),
        **{table: (f"{column} < $1", results) for table, _, column in _AGED},
        "set_aside": ("last < $1", results),
    }
    return {
        table: await _counted(database, table, condition, parameter)
        for table, (condition, parameter) in conditions.items()
    }


async def _counted(database: Database, table: str, condition: str, parameter: object) -> Due:
    ask = f"SELECT count(*) AS total, count(CASE WHEN {condition} THEN 1 END) AS due FROM {table}"
    if database.dialect.name == "sqlite":  # a transaction would hold the write lock meanwhile
        (row,) = await database.fetch(ask, parameter)
    else:
        async with database.transaction() as tx:
            await tx.execute(database.dialect.no_index)
            (row,) = await tx.fetch(ask, parameter)
    return Due(int(row["due"]), int(row["total"]))


async def prune(database: Database, *, progress_days: float, results_days: float) -> dict[str, int]:
    """Delete one batch of each kind that is due; return how many rows went, by table.

    Each batch is a transaction of its own, at most `BATCH` jobs or rows. Dead jobs stay until they are
    replayed or discarded. Call again while a count equals `BATCH`. Raises `LedgerError`.
    """
    progress, results = await _limits(database, progress_days, results_days)
    gone = {
        "job_progress": await _loose(database, _PROGRESS, "updated < $1", progress),
        "job_history": await _history(database, results),
        "job_part": await _loose(database, _PART, "true"),
        # By the age of the id as well: a key that was just taken anew must not go with the old ones.
        "job_key": await _loose(
            database,
            _KEY,
            f"(until IS NULL OR until < {database.dialect.now}) AND job_id < $1",
            oldest_id(min(results_days, _MOST_DAYS) * 86400),
        ),
    }
    for table, key, column in _AGED:
        gone[table] = await database.execute(
            f"DELETE FROM {table} WHERE ({key}) IN "
            f"(SELECT {key} FROM {table} WHERE {column} < $1 LIMIT {BATCH})",
            results,
        )
    return gone


async def _limits(database: Database, progress_days: float, results_days: float) -> tuple[datetime, datetime]:
    """Return since when progress is kept, and since when all else."""
    (row,) = await database.fetch(f"SELECT {database.dialect.now} AS now")
    now = moment(row["now"]) or utcnow()
    return (
        now - timedelta(days=min(progress_days, _MOST_DAYS)),
        now - timedelta(days=min(results_days, _MOST_DAYS)),
    )


async def _loose(database: Database, which: tuple[str, str, str], due: str, *parameters: object) -> int:
    table, key, anchor = which
    # The condition again: while this waited for a row somebody may have taken the key anew.
    return await database.execute(
        f"DELETE FROM {table} WHERE ({key}) IN (SELECT {key} FROM {table} "
        f"WHERE {due} AND NOT EXISTS ({anchor}) LIMIT {BATCH}) AND {due}",
        *parameters,
    )


async def _history(database: Database, before: datetime) -> int:
    """Delete jobs that ended before a time, with all that they left."""
    d = database.dialect
    async with database.transaction() as tx:
        rows = await tx.fetch(
            f"SELECT id FROM job_history WHERE finished < $1 AND state <> {State.DEAD:d} "
            f"ORDER BY finished LIMIT {BATCH}",
            before,
        )
        ids = database.list([str(row["id"]) for row in rows])
        for table in OF_A_JOB:
            await tx.execute(f"DELETE FROM {table} WHERE job_id {d.ids('$1')}", ids)
        return await tx.execute(f"DELETE FROM job_history WHERE id {d.ids('$1')}", ids)
