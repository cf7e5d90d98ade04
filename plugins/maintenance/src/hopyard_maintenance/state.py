"""What was found last time: people are told of changes, not of states."""

from __future__ import annotations

from collections.abc import Mapping

from hopyard import storage
from hopyard.people import alert


async def tell_changes(found: Mapping[str, tuple[bool, str]]) -> list[str]:
    """Store what was found, name to (ok, detail), and alert about each that changed; return their names.

    What is seen for the first time is a change only if it is not well.
    """
    changed = []
    async with storage.transaction() as tx:
        rows = await tx.fetch("SELECT name, ok FROM maintenance_state")
        before = {row["name"]: bool(row["ok"]) for row in rows}
        changed = [name for name, (ok, _) in found.items() if before.get(name, True) != ok]
        new = [name for name in found if name not in before]
        await tx.execute_many(
            f"INSERT INTO maintenance_state (name, ok, detail, changed) VALUES ($1, $2, $3, {tx.sql.now}) "
            "ON CONFLICT (name) DO UPDATE SET ok = excluded.ok, detail = excluded.detail, "
            "changed = excluded.changed",
            [(name, *found[name]) for name in {*changed, *new}],
        )
    for name in changed:
        ok, detail = found[name]
        await alert(f"{name} is {'well again' if ok else 'not well'}", detail, data={"check": name, "ok": ok})
    return changed
