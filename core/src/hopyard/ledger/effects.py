"""Effects: actions outside of the ledger, recorded as intent, action, outcome.

Intent and outcome are written under the job's fence. An attempt that finds an intent without an outcome
cannot know whether the action happened: somebody who can find out has to say so, or it is not repeated.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final, Literal, NamedTuple

from hopyard.errors import PayloadError
from hopyard.ledger import stored
from hopyard.ledger.database import Database, Row
from hopyard.ledger.notes import check_held
from hopyard.ledger.values import moment, plain_text, utcnow

#: How many effects a job may have, and how long their names may be.
MAX_EFFECTS: Final = 1000
MAX_NAME: Final = 200

Standing = Literal["new", "done", "unknown"]


class Begun(NamedTuple):
    """Where an effect stands: to be done now, done before with `outcome`, or begun with an unknown end."""

    standing: Standing
    outcome: Any


async def begin(
    database: Database, id_: str, fence: tuple[int, int], name: str, data: Mapping[str, Any]
) -> Begun:
    """Record the intent, unless the effect was done or begun before.

    Raises `StaleFence`, and `PayloadError` for a name that is too long, or one effect too many.
    """
    if not 0 < len(name) <= MAX_NAME:
        raise PayloadError(f"an effect's name has {len(name)} characters; expected 1 to {MAX_NAME}")
    name = plain_text(name)
    d = database.dialect
    async with database.transaction() as tx:
        attempt = await check_held(tx, d, id_, fence)
        rows = await tx.fetch("SELECT state, data FROM job_effect WHERE job_id = $1 AND name = $2", id_, name)
        if rows and rows[0]["state"] == "done":
            return Begun("done", stored.record(rows[0]["data"]).get("outcome"))
        if rows and rows[0]["state"] == "begun":
            return Begun("unknown", None)
        (there,) = await tx.fetch("SELECT count(*) AS n FROM job_effect WHERE job_id = $1", id_)
        if not rows and there["n"] >= MAX_EFFECTS:
            raise PayloadError(f"job {id_} has {MAX_EFFECTS} effects, no job may have more: split it up")
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
        name = plain_text(name)
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
    data = stored.record(row["data"])
    state, at = row["state"], moment(row["updated"])
    if state == "begun":
        state = "intent" if fence is not None and data.get("fence") == [*fence] else "unknown"
    return {
        "name": row["name"],
        "state": state,
        "attempt": data.get("attempt"),
        "began": data.get("began"),
        "at": at.isoformat() if at else None,
        "intent": data.get("intent"),
        "outcome": data.get("outcome"),
    }
