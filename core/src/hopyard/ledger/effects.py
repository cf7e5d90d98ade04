"""Effects: actions outside of the ledger, recorded as intent, action, outcome.

Intent and outcome are written under the job's fence. An attempt that finds an intent without an outcome
cannot know whether the action happened: somebody who can find out has to say so, or it is not repeated.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

from hopyard.ledger.database import Database
from hopyard.ledger.notes import check_held

Standing = Literal["new", "done", "unknown"]


class Begun(NamedTuple):
    """Where an effect stands: to be done now, done before with `outcome`, or begun with an unknown end."""

    standing: Standing
    outcome: Any


async def begin(
    database: Database, id_: str, fence: tuple[int, int], name: str, data: Mapping[str, Any]
) -> Begun:
    """Record the intent, unless the effect was done or begun before. Raises `StaleFence`."""
    d = database.dialect
    async with database.transaction() as tx:
        await check_held(tx, d, id_, fence)
        rows = await tx.fetch("SELECT state, data FROM job_effect WHERE job_id = $1 AND name = $2", id_, name)
        if rows and rows[0]["state"] == "done":
            return Begun("done", json.loads(rows[0]["data"]))
        if rows and rows[0]["state"] == "begun":
            return Begun("unknown", None)
        await tx.execute(
            "INSERT INTO job_effect (job_id, name, state, data, updated) "
            f"VALUES ($1, $2, 'begun', $3, {d.now}) "
            "ON CONFLICT (job_id, name) DO UPDATE SET state = 'begun', data = excluded.data, "
            "updated = excluded.updated",
            id_,
            name,
            json.dumps(dict(data)),
        )
    return Begun("new", None)


async def end(
    database: Database,
    id_: str,
    fence: tuple[int, int],
    name: str,
    state: Literal["done", "failed"],
    outcome: Any = None,
) -> None:
    """Record how the action ended; `failed` means that it did not happen. Raises `StaleFence`."""
    d = database.dialect
    async with database.transaction() as tx:
        await check_held(tx, d, id_, fence)
        await tx.execute(
            f"UPDATE job_effect SET state = $3, data = $4, updated = {d.now} WHERE job_id = $1 AND name = $2",
            id_,
            name,
            state,
            json.dumps(outcome),
        )


async def listed(database: Database, id_: str) -> list[dict[str, Any]]:
    """Return a job's effects as JSON-like values."""
    rows = await database.fetch(
        "SELECT name, state, data FROM job_effect WHERE job_id = $1 ORDER BY updated", id_
    )
    return [{"name": row["name"], "state": row["state"], "data": json.loads(row["data"])} for row in rows]
