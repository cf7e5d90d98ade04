"""Why a job is not running: what the ledger knows about it, in sentences."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

from hopyard.errors import UnknownJob
from hopyard.ledger.database import Database, Row
from hopyard.ledger.values import moment
from hopyard.specs import State


async def explain(database: Database, id_: str) -> list[str]:
    """Return why a job is where it is, the most telling reason first. Raises `UnknownJob`."""
    rows = await database.fetch("SELECT * FROM job_live WHERE id = $1", id_)
    if not rows:
        return [await _over(database, id_)]
    job = rows[0]
    state = State(job["state"])
    if state is State.RUNNING:
        return [await _running(database, job)]
    if state is State.PARKED:
        return [f"it is parked: {job['reason']}"]
    if state in (State.SCHEDULED, State.RETRYING):
        why = f" ({job['reason']})" if job["reason"] else ""
        return [f"it waits until {_at(job['eta'])}{why}", *await _leader(database)]
    return await _queued(database, job)


async def _over(database: Database, id_: str) -> str:
    rows = await database.fetch("SELECT state, finished, error FROM job_history WHERE id = $1", id_)
    if not rows:
        raise UnknownJob(f"the ledger has no job {id_}")
    row = rows[0]
    error = json.loads(row["error"] or "{}")
    why = f": {error['kind']}: {error['message']}" if error.get("kind") else ""
    return f"it is over: {State(row['state']).label} at {_at(row['finished'])}{why}"


async def _running(database: Database, job: Row) -> str:
    d = database.dialect
    rows = await database.fetch(
        f"SELECT name, host, pid, {d.plus('beat', 'lease')} >= {d.clock} AS alive FROM worker WHERE id = $1",
        job["worker"],
    )
    if not rows:
        return f"it runs since {_at(job['started'])} on worker {job['worker']}, which nobody knows any more"
    worker = rows[0]
    told = ", and was told to stop" if job["cancel"] else ""
    where = f"{worker['name']} (pid {worker['pid']} on {worker['host']})"
    alive = "" if worker["alive"] else "; that worker's lease has run out: it will be given to another one"
    return f"it runs since {_at(job['started'])} on {where}{told}{alive}"


async def _queued(database: Database, job: Row) -> list[str]:
    queue, reasons = job["queue"], list[str]()
    paused = await database.fetch(
        "SELECT paused, paused_by FROM queue_state WHERE queue = $1 AND paused IS NOT NULL", queue
    )
    if paused:
        reasons.append(f"queue {queue} was paused by {paused[0]['paused_by']} at {_at(paused[0]['paused'])}")
    workers = await _workers(database)
    serving = [worker for worker in workers if queue in json.loads(worker["queues"])]
    plugin = job["task"].split(".", 1)[0]
    if not serving:
        reasons.append(f"no live worker works on queue {queue} ({len(workers)} are alive)")
    elif not any(plugin in json.loads(worker["plugins"]) for worker in serving):
        names = ", ".join(worker["name"] for worker in serving)
        reasons.append(f"no live worker of queue {queue} has plugin {plugin} ({names} have not)")
    running, before = await _counts(database, job)
    if serving and not paused:
        reasons.append(f"{running} jobs of queue {queue} run now and {before} wait before it")
    rung = await database.fetch("SELECT created FROM job_outbox WHERE id = $1", job["id"])
    if rung:
        reasons.append(f"nobody has rung for it yet (accepted at {_at(rung[0]['created'])})")
        reasons += await _leader(database)
    return reasons


async def _counts(database: Database, job: Row) -> tuple[int, int]:
    rows = await database.fetch(
        f"SELECT sum(CASE WHEN state = {State.RUNNING:d} THEN 1 ELSE 0 END) AS running, "
        f"sum(CASE WHEN state = {State.QUEUED:d} AND (priority > $2 OR (priority = $2 AND id < $3)) "
        "THEN 1 ELSE 0 END) AS before FROM job_live WHERE queue = $1",
        job["queue"],
        job["priority"],
        str(job["id"]),
    )
    return int(rows[0]["running"] or 0), int(rows[0]["before"] or 0)


async def _workers(database: Database) -> list[Any]:
    d = database.dialect
    return [
        *await database.fetch(
            "SELECT name, queues, plugins FROM worker "
            f"WHERE stopped IS NULL AND role = 'worker' AND {d.plus('beat', 'lease')} >= {d.clock}"
        )
    ]


async def _leader(database: Database) -> list[str]:
    rows = await database.fetch(
        f"SELECT holder FROM leader WHERE name = 'reconcile' AND until > {database.dialect.clock}"
    )
    return [] if rows else ["no worker leads the reconciling: is any worker running?"]


def _at(value: Any) -> str:
    found: datetime | None = moment(value)
    return found.isoformat(timespec="seconds") if found else "an unknown time"
