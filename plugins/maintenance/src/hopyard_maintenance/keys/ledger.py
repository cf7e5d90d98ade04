"""What the tables say of keys: which is current, where its rotation is, and what was done. Never a key."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final, NamedTuple

from hopyard import Job, redact, storage
from hopyard.errors import LedgerError, StaleFence
from hopyard.storage import Row, Transaction

#: States of a rotation that is not over.
OPEN: Final = (
    *("begun", "creating", "created", "verified", "published", "revoking", "rolling back", "unknown"),
)
_COLUMNS: Final = (
    "id, name, state, label, key_id, old_version, old_id, started, updated, revoke_at, error, "
    "store, old_store"
)
_MOST_TEXT: Final = 1000


class Current(NamedTuple):
    """The key that is in use. `id` is by what its provider knows it.

    `store` is where it is kept, which the settings may have changed for the keys after it; None for one that
    was made before that was noted.
    """

    version: str
    id: str
    published: datetime
    store: str | None


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
    updated: datetime
    revoke_at: datetime | None
    error: str | None
    store: str | None
    old_store: str | None


async def now() -> datetime:
    """Return the time by the database's clock, by which alone it is decided what is due."""
    (row,) = await storage.fetch(f"SELECT {storage.sql().now} AS now")
    return _time(row["now"])


async def current(name: str, tx: Transaction | None = None) -> Current | None:
    """Return the key that is in use; None where there is none yet."""
    rows = await (tx.fetch if tx is not None else storage.fetch)(
        "SELECT version, key_id, published, store FROM maintenance_key WHERE name = $1", name
    )
    if not rows:
        return None
    row = rows[0]
    return Current(row["version"], row["key_id"], _time(row["published"]), row["store"])


async def latest(name: str, tx: Transaction | None = None) -> Rotation | None:
    """Return the latest rotation of a key, over or not."""
    rows = await (tx.fetch if tx is not None else storage.fetch)(
        f"SELECT {_COLUMNS} FROM maintenance_rotation WHERE name = $1 ORDER BY started DESC, id DESC LIMIT 1",
        name,
    )
    return _rotation(rows[0]) if rows else None


async def begin(job: Job, name: str, label: str, before: Current | None, store: str) -> Rotation:
    """Store a new rotation, before anything is done; the new key is to be kept in `store`."""
    id_ = storage.new_id()
    async with storage.transaction() as tx:
        await tx.execute(
            "INSERT INTO maintenance_rotation "
            "(id, name, state, label, old_version, old_id, store, old_store, started, updated) "
            f"VALUES ($1, $2, 'begun', $3, $4, $5, $6, $7, {tx.sql.now}, {tx.sql.now})",
            id_,
            name,
            label,
            before.version if before else None,
            before.id if before else None,
            store,
            (before.store or store) if before else None,
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


async def point(tx: Transaction, name: str, version: str, id_: str, store: str) -> None:
    """Make a version the current one."""
    await tx.execute(
        "INSERT INTO maintenance_key (name, version, key_id, store, published) "
        f"VALUES ($1, $2, $3, $4, {tx.sql.now}) ON CONFLICT (name) DO UPDATE SET "
        "version = excluded.version, key_id = excluded.key_id, store = excluded.store, "
        "published = excluded.published",
        name,
        version,
        id_,
        store,
    )


async def open_names() -> list[str]:
    """Return the names of all keys whose rotation is not over, whatever the settings say."""
    rows = await storage.fetch(
        f"SELECT DISTINCT name FROM maintenance_rotation WHERE state {storage.sql().texts('$1')}",
        storage.listed(OPEN),
    )
    return [row["name"] for row in rows]


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
    plain = redact(text).replace("\0", "\ufffd").encode(errors="replace").decode()
    return plain[:_MOST_TEXT]


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
        updated=_time(row["updated"]),
        revoke_at=storage.moment(row["revoke_at"]),
        error=row["error"],
        store=row["store"],
        old_store=row["old_store"],
    )


def _time(value: Any) -> datetime:
    found = storage.moment(value)
    if found is None:
        raise LedgerError("a time in the tables of keys is missing")
    return found
