"""What is watched and how it was last found: people are told of changes, not of states.

A change counts once several looks in a row agree on it. What changes too often is flapping: that is told
once, and then nothing until it has been steady for a while. What is to be told stands in the table before
it is told, so that a worker that dies in between leaves it to the next look.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import NamedTuple

from hopyard import redact, storage
from hopyard.people import alert
from hopyard.storage import Row, Transaction


class Finding(NamedTuple):
    """One look at a thing. `ok` is None where it is neither well nor so ill that it would be told."""

    ok: bool | None
    detail: str


class Patience(NamedTuple):
    """After how many looks in a row a change counts, and how many changes within how long are flapping."""

    looks: int = 1
    changes: int = 6
    seconds: float = 3600.0


class _State(NamedTuple):
    ok: bool = True
    streak: int = 0
    changes: int = 0
    flapping: bool = False


async def observe(found: Mapping[str, Finding], patience: Patience) -> list[str]:
    """Keep what was found, by name, and alert about what changed; return the names of the changes.

    What is seen for the first time has changed only if it is not well. Details are kept and told without
    secrets.
    """
    found = {name: one._replace(detail=redact(one.detail)) for name, one in found.items()}
    async with storage.transaction() as tx:
        columns = "name, ok, streak, changes, flapping, changed"
        rows = await tx.fetch(
            f"SELECT {columns} FROM maintenance_state WHERE name {tx.sql.texts('$1')} {tx.sql.for_update}",
            storage.listed(found),
        )
        known = {row["name"]: row for row in rows}
        changed = [name for name in found if await _look(tx, name, found[name], known.get(name), patience)]
        await tx.execute(
            f"UPDATE maintenance_state SET seen = {tx.sql.now} WHERE name {tx.sql.texts('$1')} "
            f"AND (seen IS NULL OR seen < {tx.sql.minus(tx.sql.now, '3600')})",
            storage.listed(found),
        )
    await _tell(patience)
    return changed


async def flapping() -> list[str]:
    """Return the names of what changes too often."""
    rows = await storage.fetch("SELECT name FROM maintenance_state WHERE flapping ORDER BY name")
    return [row["name"] for row in rows]


async def forget(days: float) -> None:
    """Remove the record of changes that are older, and of what nobody has looked at for so long: hosts that
    are gone, places and keys that have left the settings.
    """
    d = storage.sql()
    await storage.execute(
        "DELETE FROM maintenance_state WHERE told AND coalesce(seen, changed) < "
        f"{d.minus(d.now, 'CAST($1 AS double precision) * 86400')}",
        days,
    )
    await storage.execute(
        f"DELETE FROM maintenance_change WHERE at < {d.minus(d.now, 'CAST($1 AS double precision) * 86400')}",
        days,
    )


async def _look(tx: Transaction, name: str, found: Finding, row: Row | None, patience: Patience) -> bool:
    before = (
        _State(bool(row["ok"]), row["streak"], row["changes"], bool(row["flapping"])) if row else _State()
    )
    streak = before.streak + 1 if found.ok is not None and found.ok != before.ok else 0
    if found.ok is not None and streak >= patience.looks:
        await _change(tx, name, Finding(found.ok, found.detail), before, patience)
        return True
    if row is None:
        await tx.execute(
            "INSERT INTO maintenance_state (name, ok, detail, changed, streak, told) "
            f"VALUES ($1, true, $2, {tx.sql.now}, $3, true) ON CONFLICT DO NOTHING",
            name,
            found.detail,
            streak,
        )
    elif before.flapping and await _is_steady(tx, row["changed"], patience.seconds):
        await tx.execute(
            "UPDATE maintenance_state SET flapping = false, told = false, streak = $2, changes = changes + 1 "
            "WHERE name = $1",
            name,
            streak,
        )
    elif streak != before.streak:
        await tx.execute("UPDATE maintenance_state SET streak = $2 WHERE name = $1", name, streak)
    return False


async def _change(tx: Transaction, name: str, found: Finding, before: _State, patience: Patience) -> None:
    n = before.changes + 1
    await tx.execute(
        f"INSERT INTO maintenance_change (name, n, at, ok, detail) VALUES ($1, $2, {tx.sql.now}, $3, $4) "
        "ON CONFLICT DO NOTHING",
        name,
        n,
        found.ok,
        found.detail,
    )
    since = tx.sql.minus(tx.sql.now, "CAST($2 AS double precision)")
    (row,) = await tx.fetch(
        f"SELECT count(*) AS n FROM maintenance_change WHERE name = $1 AND at > {since}",
        name,
        patience.seconds,
    )
    flaps = before.flapping or row["n"] >= patience.changes
    # While it flaps nothing is told but that it does.
    told = flaps and before.flapping
    await tx.execute(
        "INSERT INTO maintenance_state (name, ok, detail, changed, streak, changes, flapping, told) "
        f"VALUES ($1, $2, $3, {tx.sql.now}, 0, $4, $5, $6) ON CONFLICT (name) DO UPDATE SET "
        "ok = excluded.ok, detail = excluded.detail, changed = excluded.changed, streak = 0, "
        "changes = excluded.changes, flapping = excluded.flapping, "
        "told = excluded.told AND maintenance_state.told",
        name,
        found.ok,
        found.detail,
        n,
        flaps,
        told,
    )


async def _is_steady(tx: Transaction, changed: object, seconds: float) -> bool:
    (row,) = await tx.fetch(f"SELECT {tx.sql.now} AS now")
    now, since = storage.moment(row["now"]), storage.moment(changed)
    return (
        isinstance(now, datetime) and isinstance(since, datetime) and now - since > timedelta(seconds=seconds)
    )


async def _tell(patience: Patience) -> None:
    """Alert about all that was not told yet, each once: what a worker that died has left as well."""
    rows = await storage.fetch(
        "SELECT name, ok, detail, changes, flapping FROM maintenance_state WHERE NOT told ORDER BY changed"
    )
    for row in rows:
        name, ok, number = row["name"], bool(row["ok"]), row["changes"]
        title, body = _words(name, ok, row["detail"], bool(row["flapping"]), patience)
        data = {"check": name, "ok": ok}
        await alert(title, body, data=data, id=f"maintenance {name} {number}")
        await storage.execute(
            "UPDATE maintenance_state SET told = true WHERE name = $1 AND changes = $2", name, number
        )


def _words(name: str, ok: bool, detail: str, flaps: bool, patience: Patience) -> tuple[str, str]:
    if not flaps:
        return f"{name} is {'well again' if ok else 'not well'}", detail
    minutes = f"{patience.seconds / 60:g} minutes"
    state = "well" if ok else "not well"
    return (
        f"{name} is flapping",
        f"It changed {patience.changes} times or more within {minutes}; just now it is {state}: {detail}. "
        f"You hear of it again once it has been steady for {minutes}.",
    )
