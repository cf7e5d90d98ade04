"""A paused queue starts nothing, on any worker, until it is resumed."""

from __future__ import annotations

from typing import Any

from hopyard.ledger import queues, waiting
from hopyard.specs import State


async def test_a_paused_queue_starts_nothing(ledger: Any) -> None:
    database, worker = ledger.database, await ledger.worker()
    id_ = await ledger.job(queue="a")
    other = await ledger.job(queue="b")
    assert await queues.pause(database, "a", "ops")
    assert not await queues.pause(database, "a", "ops")
    assert [claim.id for claim in await database.claim([id_, other], worker, 1)] == [other]
    assert (await ledger.row(id_))["state"] == State.QUEUED


async def test_a_resumed_queue_is_rung_for(ledger: Any) -> None:
    database, worker = ledger.database, await ledger.worker()
    id_ = await ledger.job(queue="a")
    await database.drop_sent(await waiting.entries(database, [id_]))
    await queues.pause(database, "a", "ops")
    assert await queues.resume(database, "a") == 1
    assert await ledger.outbox() == {id_}
    assert len(await database.claim([id_], worker, 1)) == 1
    assert await queues.resume(database, "a") is None


async def test_nobody_rings_for_a_paused_queue(ledger: Any) -> None:
    await ledger.job(queue="a")
    await queues.pause(ledger.database, "a", "ops")
    assert await waiting.forgotten(ledger.database, ["a"], -1.0) == []


async def test_the_overview_counts_by_state(ledger: Any) -> None:
    await ledger.job(queue="a")
    await ledger.running(await ledger.worker(), queue="a")
    await queues.pause(ledger.database, "a", "ops")
    a, b = await queues.overview(ledger.database, ["a", "b"])
    assert (a["queue"], a["queued"], a["running"], a["paused_by"]) == ("a", 1, 1, "ops")
    assert (b["queue"], b["queued"], b["oldest"]) == ("b", 0, None)
