"""What was set aside is counted, told, and forgotten in the end."""

from __future__ import annotations

from typing import Any

from hopyard.ledger import set_aside
from hopyard.ledger.set_aside import SetAside


async def test_the_same_thing_again_is_counted(ledger: Any) -> None:
    await set_aside.keep(ledger.database, [SetAside("message", "a", "odd")])
    await set_aside.keep(ledger.database, [SetAside("message", "a", "odder \0"), SetAside("duty", "b", "no")])
    found = {one["target"]: one for one in await set_aside.latest(ledger.database)}
    assert (found["a"]["times"], found["a"]["reason"]) == (2, "odder \ufffd")
    assert [one["kind"] for one in await set_aside.of(ledger.database, "b")] == ["duty"]


async def test_what_nobody_met_again_is_forgotten_a_batch_at_a_time(ledger: Any) -> None:
    await set_aside.keep(ledger.database, [SetAside("message", str(n), "odd") for n in range(3)])
    assert await set_aside.prune(ledger.database, 30, 2) == 0
    await ledger.later("set_aside", "last", 31 * 86400)
    assert await set_aside.prune(ledger.database, 30, 2) == 2
    assert await set_aside.prune(ledger.database, 30, 2) == 1
    assert await set_aside.latest(ledger.database) == []
