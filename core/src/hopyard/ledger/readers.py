"""Reading jobs for people and programs: live and history as one list."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from hopyard.errors import UnknownJob
from hopyard.ledger import effects
from hopyard.ledger.database import Database, Row
from hopyard.ledger.values import moment
from hopyard.specs import State

_COLUMNS = (
    "id, task, queue, priority, state, attempt, crashes, worker, created, eta, started, attempts, reason, "
    "schedule, due, parent, root, person, replay_of, body"
)
_LIVE = (
    f"SELECT {_COLUMNS}, CAST(NULL AS timestamptz) AS finished, CAST(NULL AS text) AS result, "
    "CAST(NULL AS text) AS error FROM job_live"
)
_HISTORY = f"SELECT {_COLUMNS}, finished, result, error FROM job_history"


def describe(row: Row) -> dict[str, Any]:
    """Return a job's row as JSON-like values, times in ISO format."""

    def at(name: str) -> str | None:
        value: datetime | None = moment(row[name])
        return value.isoformat() if value else None

    args, kwargs, _ = json.loads(row["body"])
    started, finished = moment(row["started"]), moment(row["finished"])
    return {
        "id": str(row["id"]),
        "task": row["task"],
        "queue": row["queue"],
        "priority": row["priority"],
        "state": State(row["state"]).label,
        "attempt": row["attempt"],
        "crashes": row["crashes"],
        "worker": row["worker"],
        "person": row["person"],
        "schedule": row["schedule"],
        "due": at("due"),
        "parent": str(row["parent"]) if row["parent"] else None,
        "root": str(row["root"]) if row["root"] else None,
        "replay_of": str(row["replay_of"]) if row["replay_of"] else None,
        "created": at("created"),
        "eta": at("eta"),
        "started": at("started"),
        "finished": at("finished"),
        "seconds": (finished - started).total_seconds() if started and finished else None,
        "reason": row["reason"],
        "arguments": kwargs if not args else {"args": args, **kwargs},
        "result": json.loads(row["result"]) if row["result"] else None,
        "error": json.loads(row["error"]) if row["error"] else None,
        "attempts": json.loads(row["attempts"]) if row["attempts"] else [],
    }


async def jobs(
    database: Database,
    *,
    states: Sequence[State] = (),
    task: str | None = None,
    queue: str | None = None,
    person: str | None = None,
    schedule: str | None = None,
    parent: str | None = None,
    limit: int = 50,
) -> list[dict[str, Any]]:
    """Return jobs, newest first."""
    wanted: dict[str, Any] = {
        "task": task,
        "queue": queue,
        "person": person,
        "schedule": schedule,
        "parent": parent,
    }
    given = {name: value for name, value in wanted.items() if value is not None}
    conditions = [f"{name} = ${n}" for n, name in enumerate(given, 1)]
    if states:
        conditions.append("state IN (" + ", ".join(str(int(state)) for state in states) + ")")
    where = " WHERE " + " AND ".join(conditions) if conditions else ""
    order = f" ORDER BY id DESC LIMIT {int(limit)}"
    parts = [
        f"SELECT * FROM ({source}{where}{order}) AS part{n}" for n, source in enumerate((_LIVE, _HISTORY))
    ]
    rows = await database.fetch(" UNION ALL ".join(parts) + order, *given.values())
    return [describe(row) for row in rows]


async def job(database: Database, id_: str) -> dict[str, Any]:
    """Return one job with its progress, checkpoint and effects. Raises `UnknownJob`."""
    rows = await database.fetch(f"{_LIVE} WHERE id = $1 UNION ALL {_HISTORY} WHERE id = $1", id_)
    if not rows:
        raise UnknownJob(f"the ledger has no job {id_}")
    found = describe(rows[0])
    for name, table, columns in (
        ("progress", "job_progress", "current, total, message, updated"),
        ("checkpoint", "job_checkpoint", "data, updated"),
    ):
        more = await database.fetch(f"SELECT {columns} FROM {table} WHERE job_id = $1", id_)
        found[name] = _note(more[0]) if more else None
    found["effects"] = await effects.listed(database, id_)
    return found


def _note(row: Row) -> dict[str, Any]:
    values: Mapping[str, Any] = {key: row[key] for key in row.keys()}  # noqa: SIM118 - a sqlite3.Row iterates values
    updated = moment(values["updated"])
    return {**values, "updated": updated.isoformat() if updated else None}


async def notifications(
    database: Database, *, person: str | None = None, limit: int = 50
) -> list[dict[str, Any]]:
    """Return what people were told, newest first, with each channel's delivery."""
    where = "WHERE person = $1 " if person is not None else ""
    rows = await database.fetch(
        f"SELECT id, person, title, body, data, created FROM notification {where}"
        f"ORDER BY created DESC, id LIMIT {int(limit)}",
        *([person] if person is not None else []),
    )
    ids = [str(row["id"]) for row in rows]
    d = database.dialect
    sent = await database.fetch(
        f"SELECT notification_id, channel, state, attempts, error FROM delivery "
        f"WHERE notification_id {d.ids('$1')}",
        database.list(ids),
    )
    return [
        {
            "id": str(row["id"]),
            "person": row["person"],
            "title": row["title"],
            "body": row["body"],
            "data": json.loads(row["data"]),
            "created": at.isoformat() if (at := moment(row["created"])) else None,
            "deliveries": [
                {"channel": s["channel"], "state": s["state"], "attempts": s["attempts"], "error": s["error"]}
                for s in sent
                if str(s["notification_id"]) == str(row["id"])
            ],
        }
        for row in rows
    ]
