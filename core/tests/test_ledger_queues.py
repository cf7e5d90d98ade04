"""A paused queue starts nothing, on any worker, until it is resumed; and every job can say why it waits."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from hopyard.errors import UnknownJob
from hopyard.ledger import cancelling, queues, waiting
from hopyard.ledger.explaining import explain
from hopyard.ledger.values import Done, utcnow
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
    await waiting.rung(database, [id_])
    await queues.pause(database, "a", "ops")
    assert await queues.resume(database, "a") == 1
    assert await ledger.outbox() == {id_}
    assert len(await database.claim([id_], worker, 1)) == 1
    assert await queues.resume(database, "a") == 0


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


async def reasons(ledger: Any, id_: str) -> str:
    return "\n".join(await explain(ledger.database, id_))


async def test_explaining_a_job_that_nobody_works_on(ledger: Any) -> None:
    id_ = await ledger.job(queue="a")
    assert "no live worker works on queue a" in await reasons(ledger, id_)
    await queues.pause(ledger.database, "a", "ops")
    assert "queue a was paused by ops" in await reasons(ledger, id_)


async def test_explaining_a_job_whose_plugin_is_nowhere(ledger: Any) -> None:
    id_ = await ledger.job(queue="a", task="weather.refresh")
    await ledger.worker(queue="a")
    assert "has plugin weather" in await reasons(ledger, id_)


async def test_explaining_a_job_behind_others(ledger: Any) -> None:
    await ledger.worker(queue="a", plugins={"x": "1"})
    first, second = sorted(
        [await ledger.job(queue="a", task="x.t") for _ in range(2)]
    )  # of one moment, maybe
    await waiting.rung(ledger.database, [first, second])
    assert "0 jobs of queue a run now and 1 wait before it" in await reasons(ledger, second)


async def test_explaining_jobs_that_wait_run_or_are_over(ledger: Any) -> None:
    database, worker = ledger.database, await ledger.worker("w@here")
    eta = utcnow() + timedelta(hours=1)
    later = await ledger.job(state=State.SCHEDULED, eta=eta)
    assert eta.isoformat(timespec="seconds") in await reasons(ledger, later)
    claim = await ledger.running(worker)
    assert "on w@here" in await reasons(ledger, claim.id)
    await cancelling.cancel(database, [claim.id], "enough")
    assert "was told to stop" in await reasons(ledger, claim.id)
    error = '{"kind": "Boom", "message": "no luck"}'
    await database.finish([Done(claim.id, claim.claim, State.DEAD, None, error, None)], worker)
    assert "it is over: dead" in await reasons(ledger, claim.id)
    assert "Boom: no luck" in await reasons(ledger, claim.id)
    with pytest.raises(UnknownJob):
        await explain(database, "00000000-0000-0000-0000-000000000000")
