"""Who follows the changes misses none, whatever order transactions commit in."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from hopyard.ledger import cancelling
from hopyard.ledger.database import Database
from hopyard.ledger.read import tail
from hopyard.ledger.read.summary import states
from hopyard.ledger.read.tail import Changes, Tail
from hopyard.ledger.values import Again, Done, utcnow
from hopyard.specs import State


async def since(database: Database, place: int) -> Changes | None:
    """Return what somebody missed who was told up to a place."""
    return (await tail.missed(database, [place]))[place]


async def test_each_change_of_a_job_is_told(ledger: Any) -> None:
    follower = await Tail.from_now(ledger.database)
    id_ = await ledger.job()
    assert (await follower.read()).jobs == [id_]
    assert (await follower.read()).jobs == []
    worker = await ledger.worker()
    (claim,) = await ledger.database.claim([id_], worker, 1)
    assert (await follower.read()).jobs == [id_]
    later = utcnow() + timedelta(hours=1)
    await ledger.database.again([Again(id_, claim.claim, later, "busy", "{}", 0)], worker)
    assert (await follower.read()).jobs == [id_]
    await cancelling.cancel(ledger.database, [id_], "not wanted")
    assert id_ in (await follower.read()).jobs
    assert await states(ledger.database, [id_]) == {id_: State.CANCELLED}


async def test_a_batch_is_told_together(ledger: Any) -> None:
    follower = await Tail.from_now(ledger.database)
    jobs = [ledger.new() for _ in range(100)]
    await ledger.database.submit(jobs, fresh=True)
    assert {*(await follower.read()).jobs} == {job.id for job in jobs}


async def test_what_commits_late_is_told_late(ledger: Any, connect: Callable[[], Database]) -> None:
    if ledger.database.dialect.name == "sqlite":
        pytest.skip("one transaction writes at a time there")
    follower = await Tail.from_now(ledger.database)
    began = follower.place
    other = connect()
    async with other.transaction() as tx:
        slow = ledger.new()
        await tx.insert_jobs([slow])
        quick = await ledger.job()
        assert (await follower.read()).jobs == [quick]
        assert follower.place == began  # who goes on from here is told of the slow one as well
    assert (await follower.read()).jobs == [slow.id]
    assert follower.place > began
    again = await since(ledger.database, began)
    assert again is not None
    assert {*again.jobs} == {slow.id, quick}


async def test_who_comes_back_is_told_what_was_missed(ledger: Any) -> None:
    follower = await Tail.from_now(ledger.database)
    place = follower.place
    ids = [await ledger.job() for _ in range(5)]
    found = await since(ledger.database, place)
    assert found is not None
    assert found.jobs == ids
    last = await since(ledger.database, found.place)
    assert last is not None
    assert last.jobs == []
    assert await since(ledger.database, found.place + 1) is None  # a place of another ledger


async def test_old_events_go_and_who_comes_back_too_late_is_told_so(ledger: Any) -> None:
    d = ledger.database.dialect
    first = (await Tail.from_now(ledger.database)).place
    for _ in range(3):
        await ledger.job()
    await ledger.database.execute(f"UPDATE job_event SET at = {d.minus('at', '$1')}", tail.KEPT + 60)
    assert await tail.prune(ledger.database) == 2  # the newest stays: numbers go on behind it
    assert await since(ledger.database, first) is None
    follower = await Tail.from_now(ledger.database)
    id_ = await ledger.job()
    assert (await follower.read()).jobs == [id_]


async def stored_in_vain(ledger: Any) -> None:
    async with ledger.database.transaction() as tx:
        await tx.insert_jobs([ledger.new()])
        raise RuntimeError("no")


async def test_a_number_that_was_rolled_back_holds_nobody_up_for_long(
    ledger: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    follower = await Tail.from_now(ledger.database)
    with pytest.raises(RuntimeError, match="no"):
        await stored_in_vain(ledger)
    await ledger.job()
    await follower.read()
    monkeypatch.setattr(tail, "_LATE", 0.0)
    await follower.read()
    assert (await Tail.from_now(ledger.database)).place == follower.place


async def test_jobs_that_end_are_told_once_each(ledger: Any) -> None:
    worker = await ledger.worker()
    claims = [await ledger.running(worker) for _ in range(3)]
    follower = await Tail.from_now(ledger.database)
    await ledger.database.finish(
        [Done(c.id, c.claim, State.SUCCEEDED, "1", None, None) for c in claims], worker
    )
    assert sorted((await follower.read()).jobs) == sorted(c.id for c in claims)
