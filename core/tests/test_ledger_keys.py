"""Unique keys: one job at a time, however many callers there are."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from hopyard.ledger.database import Database
from hopyard.ledger.keys import holders, submit_unique
from hopyard.ledger.values import Done, NewJob, moment, new_id, utcnow
from hopyard.specs import State, Unique


def job(body: str = "[[], {}, {}]", **changes: Any) -> NewJob:
    return NewJob(new_id(), "a.t", "a", 5, body, "{}")._replace(**changes)


async def test_a_held_key_refuses_a_second_job(ledger: Any) -> None:
    database, first, second = ledger.database, job(), job()
    assert await submit_unique(database, first, Unique("k")) == (first.id, True)
    assert await submit_unique(database, second, Unique("k")) == (first.id, False)
    assert await submit_unique(database, second, Unique("other")) == (second.id, True)
    assert await holders(database, "k") == [(f"{first.task}:k", first.id)]


async def test_one_of_many_callers_at_once_wins(connect: Callable[[], Database]) -> None:
    answers = await asyncio.gather(*(submit_unique(connect(), job(), Unique("k")) for _ in range(8)))
    assert sum(new for _, new in answers) == 1
    assert len({id_ for id_, _ in answers}) == 1


async def test_a_key_is_free_when_its_job_is_over(ledger: Any) -> None:
    database, first, second = ledger.database, job(), job()
    await submit_unique(database, first, Unique("k"))
    worker = await ledger.worker()
    [claim] = await database.claim([first.id], worker, 1)
    assert await submit_unique(database, second, Unique("k")) == (first.id, False)
    await database.finish([Done(first.id, claim.claim, State.SUCCEEDED, None, None, None)], worker)
    assert await holders(database, "k") == []
    assert await submit_unique(database, second, Unique("k")) == (second.id, True)


async def test_a_key_can_be_held_for_a_time(ledger: Any) -> None:
    database, first, second = ledger.database, job(), job()
    await submit_unique(database, first, Unique("k", seconds=3600))
    worker = await ledger.worker()
    await database.claim([first.id], worker, 1)
    await database.finish([Done(first.id, 1, State.SUCCEEDED, None, None, None)], worker)
    assert await submit_unique(database, second, Unique("k", seconds=3600)) == (first.id, False)
    await database.execute("UPDATE job_key SET until = $1", utcnow() - timedelta(seconds=1))
    assert await submit_unique(database, second, Unique("k")) == (second.id, True)


async def test_replace_changes_the_job_that_waits(ledger: Any) -> None:
    database, first, second = ledger.database, job(), job(body='[[], {"n": 2}, {}]')
    await submit_unique(database, first, Unique("k"))
    assert await submit_unique(database, second, Unique("k", "replace")) == (first.id, False)
    assert (await ledger.row(first.id))["body"] == second.body


async def test_debounce_makes_the_job_wait_anew(ledger: Any) -> None:
    database = ledger.database
    soon, later = utcnow() + timedelta(seconds=60), utcnow() + timedelta(seconds=120)
    first, second = job(state=State.SCHEDULED, eta=soon), job(state=State.SCHEDULED, eta=later)
    await submit_unique(database, first, Unique("k", "debounce"))
    assert await submit_unique(database, second, Unique("k", "debounce")) == (first.id, False)
    row = await ledger.row(first.id)
    assert row["state"] == State.SCHEDULED
    assert abs((moment(row["eta"]) - later).total_seconds()) < 0.001  # type: ignore[operator]


async def test_the_latest_arguments_are_not_lost_to_a_job_that_runs(ledger: Any) -> None:
    database, first, second = ledger.database, job(), job()
    await submit_unique(database, first, Unique("k"))
    await database.claim([first.id], await ledger.worker(), 1)
    assert await submit_unique(database, second, Unique("k", "replace")) == (second.id, True)
    assert await holders(database, "k") == [(f"{second.task}:k", second.id)]
