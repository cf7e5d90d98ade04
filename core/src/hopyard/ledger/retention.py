"""Retention: old results and progress leave in small batches, so that nobody waits for it."""

from __future__ import annotations

from hopyard.ledger.database import Database
from hopyard.ledger.values import oldest_id
from hopyard.specs import State

BATCH = 1000


async def prune(database: Database, *, progress_days: float, results_days: float) -> dict[str, int]:
    """Delete one batch of each kind that is due; return how many rows went, by table.

    Dead jobs stay until they are replayed or discarded. Call again while a count equals `BATCH`.
    """
    d = database.dialect

    def old(column: str) -> str:
        return f"{d.plus(column, 'CAST($1 AS double precision) * 86400')} < {d.now}"

    batch = f"LIMIT {BATCH}"
    gone = {
        "job_progress": await database.execute(
            f"DELETE FROM job_progress WHERE job_id IN (SELECT job_id FROM job_progress "
            f"WHERE {old('updated')} AND job_id NOT IN (SELECT id FROM job_live) {batch})",
            progress_days,
        )
    }
    history = (
        f"SELECT id FROM job_history WHERE {old('finished')} AND state <> {State.DEAD:d} "
        f"ORDER BY finished {batch}"
    )
    async with database.transaction() as tx:
        ids = database.list([str(row["id"]) for row in await tx.fetch(history, results_days)])
        for table in ("job_checkpoint", "job_effect", "job_progress"):
            await tx.execute(f"DELETE FROM {table} WHERE job_id {d.ids('$1')}", ids)
        gone["job_history"] = await tx.execute(f"DELETE FROM job_history WHERE id {d.ids('$1')}", ids)
    for table, key, column in (
        ("schedule_fire", "schedule, due", "fired"),
        ("command", "n", "created"),
        ("job_group", "id", "created"),
        ("worker", "id", "stopped"),
        ("notification", "id", "created"),
        ("delivery", "notification_id, channel", "updated"),
    ):
        gone[table] = await database.execute(
            f"DELETE FROM {table} WHERE ({key}) IN (SELECT {key} FROM {table} WHERE {old(column)} {batch})",
            results_days,
        )
    gone["job_part"] = await database.execute(
        f"DELETE FROM job_part WHERE group_id IN (SELECT group_id FROM job_part "
        f"WHERE group_id NOT IN (SELECT id FROM job_group) {batch})"
    )
    # By the age of the id as well: a key that was just taken anew must not go with the old ones.
    gone["job_key"] = await database.execute(
        f"DELETE FROM job_key WHERE key IN (SELECT key FROM job_key WHERE (until IS NULL OR until < {d.now}) "
        f"AND job_id NOT IN (SELECT id FROM job_live) {batch}) AND job_id < $1",
        oldest_id(results_days * 86400),
    )
    return gone
