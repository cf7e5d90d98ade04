"""What the tables say of keys: which is current, where its rotation is, and what was done. Never a key."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final, NamedTuple

from hopyard import Job, redact, storage
from hopyard.errors import StaleFence
from hopyard.storage import Row, Transaction

#: States of a rotation that is not over.
OPEN: Final = ("begun", "creating", "created", "verified", "published", "rolling back", "unknown")
_COLUMNS: Final = "id, name, state, label, key_id, old_version, old_id, started, revoke_at, error"
_MOST_TEXT: Final = 1000


class Current(NamedTuple):
    """The key that is in use. `id` is by what its provider knows it."""

    version: str
    id: str
    published: datetime


class Rotation(NamedTuple):
    """A rotation; its id is the version of the new key."""

    id: str
    name: str
    state: str
    label: str
    key_id: str | None
    old_version: str | None
    old_id: str | None
    started: datetime
    revoke_at: datetime | None
    error: str | None


async def current(name: str) -> Current | None:
    """Return the key that is in use; None where there is none yet."""
    rows = await storage.fetch("SELECT version, key_id, published FROM maintenance_key WHERE name = $1", name)
    return Current(rows[0]["version"], rows[0]["key_id"], _time(rows[0]["published"])) if rows else None


async def latest(name: str) -> Rotation | None:
    """Return the latest rotation of a key, over or not."""
    rows = await storage.fetch(
        f"SELECT {_COLUMNS} FROM maintenance_rotation WHERE name = $1 ORDER BY started DESC, id DESC LIMIT 1",
        name,
    )
    return _rotation(rows[0]) if rows else None


async def begin(job: Job, name: str, label: str, before: Current | None) -> Rotation:
    """Store a new rotation, before anything is done."""
    id_ = storage.new_id()
    async with storage.transaction() as tx:
        await tx.execute(
            "INSERT INTO maintenance_rotation "
            "(id, name, state, label, old_version, old_id, started, updated) "
            f"VALUES ($1, $2, 'begun', $3, $4, $5, {tx.sql.now}, {tx.sql.now})",
            id_,
            name,
            label,
            before.version if before else None,
            before.id if before else None,
        )
        (row,) = await tx.fetch(f"SELECT {_COLUMNS} FROM maintenance_rotation WHERE id = $1", id_)
        await note(tx, name, id_, "begin", f"the new key is called {label}", job=job)
    return _rotation(row)


async def move(
    job: Job | None,
    rotation: Rotation,
    state: str,
    detail: str,
    *,
    ok: bool = True,
    person: str | None = None,
    **values: Any,
) -> Rotation:
    """Take a rotation from the state that it has to another, with other columns, and note it.

    Raises `StaleFence` where it has another state by now: somebody else is at it.
    """
    async with storage.transaction() as tx:
        rotation = await move_in(tx, rotation, state, **values)
        await note(tx, rotation.name, rotation.id, state, detail, ok=ok, job=job, person=person)
    return rotation


async def move_in(tx: Transaction, rotation: Rotation, state: str, **values: Any) -> Rotation:
    """As `move`, within a transaction and without a note."""
    columns = "".join(f", {name} = ${n}" for n, name in enumerate(values, 5))
    changed = await tx.execute(
        f"UPDATE maintenance_rotation SET state = $1, updated = {tx.sql.now}{columns} "
        "WHERE id = $2 AND state = $3 AND label = $4",
        state,
        rotation.id,
        rotation.state,
        rotation.label,
        *values.values(),
    )
    if not changed:
        raise StaleFence(f"the rotation of the key `{rotation.name}` is no longer {rotation.state}")
    return rotation._replace(state=state, **values)


async def note(
    tx: Transaction,
    name: str,
    rotation: str | None,
    step: str,
    detail: str,
    *,
    ok: bool = True,
    job: Job | None = None,
    person: str | None = None,
) -> None:
    """Write a line into the audit, which is never changed or removed."""
    await tx.execute(
        "INSERT INTO maintenance_key_event (id, at, name, rotation, step, ok, detail, job_id, person) "
        f"VALUES ($1, {tx.sql.now}, $2, $3, $4, $5, $6, $7, $8)",
        storage.new_id(),
        name,
        rotation,
        step,
        ok,
        told(detail),
        job.id if job else None,
        job.person if job else person,
    )


async def events(name: str | None, limit: int) -> list[dict[str, Any]]:
    """Return the latest lines of the audit, the newest first."""
    rows = await storage.fetch(
        "SELECT at, name, rotation, step, ok, detail, job_id, person FROM maintenance_key_event "
        "WHERE CAST($1 AS text) IS NULL OR name = $1 ORDER BY at DESC, id DESC LIMIT $2",
        name,
        limit,
    )
    return [
        {
            "at": _time(row["at"]),
            "name": row["name"],
            "step": row["step"],
            "ok": bool(row["ok"]),
            "detail": row["detail"],
            "job": str(row["job_id"]) if row["job_id"] else None,
            "person": row["person"],
        }
        for row in rows
    ]


def told(text: str) -> str:
    """Return a text as it may be stored: without secrets, and not too long."""
    return redact(text).replace("\0", "\ufffd")[:_MOST_TEXT]


def _rotation(row: Row) -> Rotation:
    return Rotation(
        id=str(row["id"]),
        name=row["name"],
        state=row["state"],
        label=row["label"],
        key_id=row["key_id"],
        old_version=row["old_version"],
        old_id=row["old_id"],
        started=_time(row["started"]),
        revoke_at=storage.moment(row["revoke_at"]),
        error=row["error"],
    )


def _time(value: Any) -> datetime:
    found = storage.moment(value)
    return found if found is not None else storage.utcnow()
