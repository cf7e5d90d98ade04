"""What a running job leaves beside its row: progress and checkpoints."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from hopyard.errors import StaleFence
from hopyard.ledger.database import Connection, Database
from hopyard.ledger.dialect import Dialect
from hopyard.ledger.values import Progress, plain_text
from hopyard.specs import State


async def write_progress(database: Database, progress: Sequence[Progress]) -> None:
    """Store the latest progress of many jobs in one round trip."""
    async with database.transaction() as tx:
        await tx.execute_many(
            "INSERT INTO job_progress (job_id, current, total, message, updated) VALUES ($1, $2, $3, $4, $5) "
            "ON CONFLICT (job_id) DO UPDATE SET current = excluded.current, total = excluded.total, "
            "message = excluded.message, updated = excluded.updated",
            [one._replace(message=plain_text(one.message)) for one in progress],
        )


async def check_held(tx: Connection, d: Dialect, id_: str, fence: tuple[int, int]) -> int:
    """Hold a running job's row until the transaction ends; return the attempt's number.

    Raises `StaleFence` where (worker, claim) is no longer what runs it.
    """
    held = await tx.fetch(
        f"SELECT attempt FROM job_live WHERE id = $1 AND worker = $2 AND claim = $3 "
        f"AND state = {State.RUNNING:d} {d.for_update}",
        id_,
        *fence,
    )
    if not held:
        raise StaleFence(f"job {id_} was taken away from this worker; what it wrote was not stored")
    return int(held[0]["attempt"])


async def write_checkpoint(
    database: Database, id_: str, fence: tuple[int, int], data: Mapping[str, Any]
) -> None:
    """Store a job's checkpoint. Durable when it returns. Raises `StaleFence`."""
    d = database.dialect
    async with database.transaction() as tx:
        await check_held(tx, d, id_, fence)
        await tx.execute(
            f"INSERT INTO job_checkpoint (job_id, data, updated) VALUES ($1, $2, {d.now}) "
            f"ON CONFLICT (job_id) DO UPDATE SET data = excluded.data, updated = excluded.updated",
            id_,
            json.dumps(data),
        )
