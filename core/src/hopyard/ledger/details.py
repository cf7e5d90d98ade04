"""All that is known of a job: every attempt, who made it and how it ended, and what stands around the job."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any, Final

from hopyard.errors import UnknownJob
from hopyard.ledger import effects
from hopyard.ledger.database import Database, Row
from hopyard.ledger.read.listing import JobFilter, jobs
from hopyard.ledger.readers import HISTORY, LIVE, describe
from hopyard.ledger.values import derived_id, job_id, moment
from hopyard.specs import State

#: A job may have very many; the first ones tell what they are.
CHILDREN: Final = 50


async def job(database: Database, id_: str, seen: JobFilter | None = None) -> dict[str, Any]:
    """Return one job with all that is known of it. Raises `UnknownJob`.

    Of its children there are those that `seen` has.

    Beside its columns (see `readers.describe`): `attempts`, each with `attempt`, `outcome` (`running`,
    `succeeded`, `failed`, `lost`, `handed back`, `cancelled`), `worker`, `name`, `host`, `began`, `at` (its
    end), `seconds`, and of errors `kind`, `category`, `message`, of deaths `evidence`; `progress`,
    `checkpoint`, `effects`, `keys`, `cancel`, `children` (the newest), `replayed_as`.
    """
    id_ = job_id(id_)
    rows = await database.fetch(f"{LIVE} WHERE id = $1 UNION ALL {HISTORY} WHERE id = $1", id_)
    if not rows:
        raise UnknownJob(f"the ledger has no job {id_}")
    row = rows[0]
    found = describe(row)
    found["attempts"] = _attempts(row, found)
    # The last death of a job that ended of it stands in its entry only.
    found["crashes"] = sum("evidence" in one for one in found["attempts"])
    await _name_workers(database, found)
    for name, table, columns in (
        ("progress", "job_progress", "current, total, message, updated"),
        ("checkpoint", "job_checkpoint", "data, updated"),
    ):
        more = await database.fetch(f"SELECT {columns} FROM {table} WHERE job_id = $1", id_)
        found[name] = _plain(more[0]) if more else None
    running = row["state"] == State.RUNNING
    found["effects"] = await effects.listed(database, id_, (row["worker"], row["claim"]) if running else None)
    keys = await database.fetch("SELECT key, until FROM job_key WHERE job_id = $1 ORDER BY key", id_)
    found["keys"] = [_plain(key) for key in keys]
    found["cancel"] = await _cancel(database, row)
    children = await jobs(database, replace(seen or JobFilter(), parent=id_), limit=CHILDREN)
    found["children"] = [{name: one[name] for name in ("id", "task", "state")} for one in children]
    replay = derived_id(id_, "replay")
    again = await database.fetch(
        "SELECT id FROM job_live WHERE id = $1 UNION ALL SELECT id FROM job_history WHERE id = $1", replay
    )
    found["replayed_as"] = replay if again else None
    return found


def _attempts(row: Row, found: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the entries that were kept, then the attempt that the row itself tells of.

    An attempt that succeeds, is cancelled or still runs has no entry: its row says all.
    """
    entries: list[dict[str, Any]] = [{"outcome": "failed"} | entry for entry in found["attempts"]]
    state = State(row["state"])
    if row["worker"] is None or state not in (State.RUNNING, State.SUCCEEDED, State.CANCELLED, State.DEAD):
        return entries  # it waits, or was cancelled while it waited
    told = entries and entries[-1].get("attempt") == row["attempt"] and state is State.DEAD
    if not told:
        error = found["error"] or {}
        entries.append(
            {
                "attempt": row["attempt"],
                "outcome": "failed" if state is State.DEAD else state.label,
                "worker": row["worker"],
                "began": found["started"],
                "at": found["finished"],
                "seconds": found["seconds"],
                **{name: error.get(name) for name in ("kind", "category", "message") if name in error},
            }
        )
    return entries


async def _name_workers(database: Database, found: dict[str, Any]) -> None:
    attempts: list[dict[str, Any]] = found["attempts"]
    known = await _workers(database, {one["worker"] for one in attempts if one.get("worker") is not None})
    for one in attempts:
        worker = known.get(one.get("worker"), {})
        one["name"] = one.get("name") or worker.get("name")
        one["host"] = worker.get("host")
        one["seconds"] = one.get("seconds") or _seconds(one)


async def _workers(database: Database, numbers: Iterable[int]) -> dict[int | None, Row]:
    some = ", ".join(str(int(number)) for number in numbers)
    if not some:
        return {}
    rows = await database.fetch(f"SELECT id, name, host FROM worker WHERE id IN ({some})")
    return {int(row["id"]): {"name": row["name"], "host": row["host"]} for row in rows}


def _seconds(attempt: Mapping[str, Any]) -> float | None:
    """Return how long an attempt took; of one that was lost, until that was noticed."""
    if not attempt.get("began") or not attempt.get("at"):
        return None
    took = datetime.fromisoformat(attempt["at"]) - datetime.fromisoformat(attempt["began"])
    return round(took.total_seconds(), 3)


async def _cancel(database: Database, row: Row) -> dict[str, Any] | None:
    """Return when and why a job was told to stop; None if nobody did."""
    if not row["cancel"] and row["state"] != State.CANCELLED:
        return None
    told = await database.fetch(
        "SELECT created, data FROM command WHERE kind = 'cancel' AND target = $1 ORDER BY n", str(row["id"])
    )
    if not told:  # it waited: what was asked was done at once
        return {"reason": row["reason"], "at": _iso(row["finished"])}
    return {"reason": told[0]["data"] or row["reason"], "at": _iso(told[0]["created"])}


def _plain(row: Row) -> dict[str, Any]:
    """Return a row as JSON-like values."""
    times = ("updated", "until")
    return {key: _iso(row[key]) if key in times else row[key] for key in row.keys()}  # noqa: SIM118 - a sqlite3.Row iterates values


def _iso(value: Any) -> str | None:
    at = moment(value)
    return at.isoformat() if at else None
