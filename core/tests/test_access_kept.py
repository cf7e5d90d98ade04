"""How long keys and the record of what was done over HTTP are kept."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from hopyard.ledger import access
from hopyard.ledger.access import NewAct
from hopyard.ledger.values import utcnow


async def test_keys_that_have_expired_go_and_others_stay(ledger: Any) -> None:
    database = ledger.database
    _, kept = await access.make(database, "token", "kept", "viewer")
    _, later = await access.make(database, "session", "later", "viewer", seconds=3600)
    _, over = await access.make(database, "login", "over", "viewer", seconds=60)
    await ledger.later("access_key", "expires", 120)
    await database.execute("UPDATE access_key SET expires = NULL WHERE name = 'kept'")
    assert await access.prune(database, utcnow() - timedelta(days=30)) == 1
    assert await access.find(database, kept, ["token"]) is not None
    assert await access.find(database, later, ["session"]) is not None
    assert await access.spend(database, over) is None


async def test_acts_go_when_they_are_old(ledger: Any) -> None:
    database = ledger.database
    for act in ("first", "second"):
        await access.write(database, [NewAct("ada", "admin", act, "job", {"password": "hunter22"}, "::1")])
        await ledger.later("audit", "at", 40 * 86_400 if act == "first" else 0)
    assert await access.prune(database, utcnow() - timedelta(days=30)) == 1
    (left,) = await access.acts(database)
    assert left.act == "second"
    assert "hunter22" not in str(left.data)
