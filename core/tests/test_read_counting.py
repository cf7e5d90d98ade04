"""Counts by minute are what the ledger says, however jobs end and whoever writes it."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from hopyard.errors import LedgerError
from hopyard.ledger import cancelling
from hopyard.ledger.columns import moved
from hopyard.ledger.database import Database
from hopyard.ledger.read import counting
from hopyard.ledger.read.tail import Tail
from hopyard.ledger.values import Done
from hopyard.specs import State


async def counted(database: Database) -> Counter[tuple[str, str, State]]:
    found: Counter[tuple[str, str, State]] = Counter()
    for one in await counting.ended(database, minutes=60):
        found[one.task, one.queue, one.state] += one.jobs
    return found


async def in_history(database: Database) -> Counter[tuple[str, str, State]]:
    rows = await database.fetch("SELECT task, queue, state FROM job_history")
    return Counter((row["task"], row["queue"], State(row["state"])) for row in rows)


async def test_every_end_is_counted(ledger: Any) -> None:
    worker, database = await ledger.worker(), ledger.database
    for n, state in enumerate([State.SUCCEEDED, State.SUCCEEDED, State.DEAD, State.CANCELLED]):
        claim = await ledger.running(worker, task=f"site.t{n % 2}")
        error = json.dumps({"kind": "E"}) if state is State.DEAD else None
        await database.finish([Done(claim.id, claim.claim, state, None, error, None)], worker)
    waiting = [await ledger.job(queue="other") for _ in range(3)]
    await cancelling.cancel(database, waiting, "all of them")
    found = await counted(database)
    assert found == await in_history(database)
    assert found["site.echo", "other", State.CANCELLED] == 3


async def test_an_end_is_told_and_counted_whatever_statement_it_comes_by(ledger: Any) -> None:
    database, kept = ledger.database, moved()
    follower = await Tail.from_now(database)
    over = (
        f"INSERT INTO job_history ({kept}, state, finished) "
        f"SELECT {kept}, {State.CANCELLED:d}, {database.dialect.now} FROM job_live WHERE id = $1"
    )
    first, second, third = [await ledger.job() for _ in range(3)]
    await follower.read()
    await database.execute(over, first)
    assert (await follower.read()).jobs == [first]
    async with database.transaction() as tx:
        await tx.execute_many(over, [(second,), (third,)])
    assert sorted((await follower.read()).jobs) == sorted([second, third])
    with pytest.raises(LedgerError):
        await database.execute(over, third)  # it is there already
    assert (await follower.read()).jobs == []
    assert await counted(database) == {("site.echo", "q", State.CANCELLED): 3}


async def test_connections_that_count_at_once_lose_nothing(
    ledger: Any, connect: Callable[[], Database]
) -> None:
    worker = await ledger.worker()
    claims = [await ledger.running(worker) for _ in range(40)]
    others = [connect() for _ in range(4)]
    await asyncio.gather(
        *(
            others[n % 4].finish([Done(c.id, c.claim, State.SUCCEEDED, "1", None, None)], worker)
            for n, c in enumerate(claims)
        )
    )
    before = await counted(ledger.database)
    assert before == await in_history(ledger.database) == {("site.echo", "q", State.SUCCEEDED): 40}
    d = ledger.database.dialect
    await ledger.database.execute(f"UPDATE job_minute SET minute = {d.minus('minute', '$1')}", 1200.0)
    await counting.tidy(ledger.database)
    assert await counted(ledger.database) == before
    (row,) = await ledger.database.fetch("SELECT count(*) AS n FROM job_minute")
    assert row["n"] == len({one.at for one in await counting.ended(ledger.database, minutes=60)})


async def test_spans_and_seconds(ledger: Any) -> None:
    worker, d = await ledger.worker(), ledger.database.dialect
    claim = await ledger.running(worker)
    await ledger.database.execute(
        f"UPDATE job_live SET created = {d.minus('created', '$1')}, started = {d.minus('started', '$2')}",
        30.0,
        10.0,
    )
    await ledger.database.finish([Done(claim.id, claim.claim, State.SUCCEEDED, "1", None, None)], worker)
    (one,) = await counting.ended(ledger.database, minutes=60, span=15)
    assert one.jobs == 1
    assert 19.5 < one.waited < 21
    assert 10 <= one.ran < 12
    assert one.at.timestamp() % 900 == 0
    (latency,) = await counting.latencies(ledger.database)
    assert latency.queue == "q"
    assert 19.5 < latency.waited_p50 < 21
    assert 10 <= latency.ran_p95 < 12


async def test_what_ended_before_is_not_counted_however_spans_lie(ledger: Any) -> None:
    worker, d = await ledger.worker(), ledger.database.dialect
    for minutes_ago in (5, 70, 110):
        claim = await ledger.running(worker, task=f"site.t{minutes_ago}")
        done = Done(claim.id, claim.claim, State.SUCCEEDED, "1", None, None)
        await ledger.database.finish([done], worker)
        await ledger.database.execute(
            f"UPDATE job_minute SET minute = {d.minus('minute', '$1')} WHERE task = $2",
            minutes_ago * 60.0,
            f"site.t{minutes_ago}",
        )
    for span in (1, 15, 60):
        found = await counting.ended(ledger.database, minutes=60, span=span)
        assert [(one.task, one.jobs) for one in found] == [("site.t5", 1)]


async def test_jobs_that_never_ran_are_in_no_mean(ledger: Any) -> None:
    worker = await ledger.worker()
    claim = await ledger.running(worker)
    await ledger.database.finish([Done(claim.id, claim.claim, State.SUCCEEDED, "1", None, None)], worker)
    await cancelling.cancel(ledger.database, [await ledger.job() for _ in range(3)], "all")
    found = await counting.ended(ledger.database, minutes=5, span=5)
    counts = {(one.state, one.jobs, one.began) for one in found}
    assert counts == {(State.SUCCEEDED, 1, 1), (State.CANCELLED, 3, 0)}


async def test_live_jobs_are_counted_by_task_queue_and_state(ledger: Any) -> None:
    await ledger.job(queue="a")
    await ledger.job(queue="a")
    await ledger.running(await ledger.worker(), queue="b")
    found = await counting.live(ledger.database)
    assert [(one.queue, one.state, one.jobs) for one in found] == [
        ("a", State.QUEUED, 2),
        ("b", State.RUNNING, 1),
    ]


async def test_old_minutes_go(ledger: Any) -> None:
    worker, d = await ledger.worker(), ledger.database.dialect
    claim = await ledger.running(worker)
    await ledger.database.finish([Done(claim.id, claim.claim, State.SUCCEEDED, "1", None, None)], worker)
    old = timedelta(days=counting.MINUTES_KEPT_DAYS + 1).total_seconds()
    await ledger.database.execute(f"UPDATE job_minute SET minute = {d.minus('minute', '$1')}", old)
    await counting.tidy(ledger.database)
    assert await ledger.database.fetch("SELECT 1 FROM job_minute") == []
