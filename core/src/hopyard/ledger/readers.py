"""Rows of jobs and notifications as values for people and programs."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from hopyard.ledger import stored
from hopyard.ledger.database import Database, Row
from hopyard.ledger.values import moment
from hopyard.specs import State

COLUMNS = (
    "id, task, queue, priority, state, attempt, crashes, worker, created, eta, started, attempts, reason, "
    "schedule, due, parent, root, person, replay_of, body, claim, cancel, job_group"
)
#: In place of what only a job that is over has.
NOT_OVER = "CAST(NULL AS timestamptz) AS finished, CAST(NULL AS text) AS result, CAST(NULL AS text) AS error"
LIVE = f"SELECT {COLUMNS}, {NOT_OVER} FROM job_live"
HISTORY = f"SELECT {COLUMNS}, finished, result, error FROM job_history"


def label(state: int) -> str:
    """Return the name of a state, also of one that a newer release has stored."""
    return State(state).label if state in State._value2member_map_ else f"unknown ({state})"


def describe(row: Row) -> dict[str, Any]:
    """Return a job's row as JSON-like values, times in ISO format."""

    def at(name: str) -> str | None:
        value: datetime | None = moment(row[name])
        return value.isoformat() if value else None

    started, finished = moment(row["started"]), moment(row["finished"])
    return {
        "id": str(row["id"]),
        "task": row["task"],
        "queue": row["queue"],
        "priority": row["priority"],
        "state": label(row["state"]),
        "attempt": row["attempt"],
        "crashes": row["crashes"],
        "worker": row["worker"],
        "person": row["person"],
        "schedule": row["schedule"],
        "due": at("due"),
        "parent": str(row["parent"]) if row["parent"] else None,
        "root": str(row["root"]) if row["root"] else None,
        "group": str(row["job_group"]) if row["job_group"] else None,
        "replay_of": str(row["replay_of"]) if row["replay_of"] else None,
        "created": at("created"),
        "eta": at("eta"),
        "started": at("started"),
        "finished": at("finished"),
        "seconds": (finished - started).total_seconds() if started and finished else None,
        "reason": row["reason"],
        "arguments": stored.arguments(row["body"]),
        "result": stored.value(row["result"]),
        "error": stored.record(row["error"]) or None,
        "attempts": stored.entries(row["attempts"]),
    }


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
            "data": stored.value(row["data"]),
            "created": at.isoformat() if (at := moment(row["created"])) else None,
            "deliveries": [
                {"channel": s["channel"], "state": s["state"], "attempts": s["attempts"], "error": s["error"]}
                for s in sent
                if str(s["notification_id"]) == str(row["id"])
            ],
        }
        for row in rows
    ]
