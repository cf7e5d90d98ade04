"""Effects: actions outside of the ledger, recorded as intent, action, outcome.

Intent and outcome are written under the job's fence. An attempt that finds an intent without an outcome
cannot know whether the action happened: somebody who can find out has to say so, or it is not repeated.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

from hopyard.ledger.database import Database, Row
from hopyard.ledger.notes import check_held
from hopyard.ledger.values import moment, utcnow

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
        attempt = await check_held(tx, d, id_, fence)
        rows = await tx.fetch("SELECT state, data FROM job_effect WHERE job_id = $1 AND name = $2", id_, name)
        if rows and rows[0]["state"] == "done":
            return Begun("done", json.loads(rows[0]["data"]).get("outcome"))
        if rows and rows[0]["state"] == "begun":
            return Begun("unknown", None)
        await tx.execute(
            "INSERT INTO job_effect (job_id, name, state, data, updated) "
            f"VALUES ($1, $2, 'begun', $3, {d.now}) "
            "ON CONFLICT (job_id, name) DO UPDATE SET state = 'begun', data = excluded.data, "
            "updated = excluded.updated",
            id_,
            name,
            json.dumps(
                {"attempt": attempt, "fence": fence, "began": utcnow().isoformat(), "intent": dict(data)}
            ),
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
            "UPDATE job_effect SET state = $3, "
            f"data = substr(data, 1, length(data) - 1) || ', \"outcome\": ' || $4 || '}}', updated = {d.now} "
            "WHERE job_id = $1 AND name = $2",
            id_,
            name,
            state,
            json.dumps(outcome),
        )


async def listed(database: Database, id_: str, fence: tuple[int, int] | None) -> list[dict[str, Any]]:
    """Return a job's effects as JSON-like values; `fence` is of the attempt that runs now, if one does.

    `state` is `intent` (being done), `done`, `failed` (did not happen) or `unknown` (begun by an attempt
    that is over); `began` and `at` are when it was begun and when the state was last written.
    """
    rows = await database.fetch(
        "SELECT name, state, data, updated FROM job_effect WHERE job_id = $1 ORDER BY updated", id_
    )
    return [_told(row, fence) for row in rows]


def _told(row: Row, fence: tuple[int, int] | None) -> dict[str, Any]:
    data = json.loads(row["data"])
    state, at = row["state"], moment(row["updated"])
    if state == "begun":
        state = "intent" if fence is not None and data["fence"] == [*fence] else "unknown"
    return {
        "name": row["name"],
        "state": state,
        "attempt": data["attempt"],
        "began": data["began"],
        "at": at.isoformat() if at else None,
        "intent": data["intent"],
        "outcome": data.get("outcome"),
    }
