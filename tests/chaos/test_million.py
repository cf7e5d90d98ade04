"""A million jobs wait for ten minutes, meanwhile T0; the broker's data is deleted; all run, each once."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

import redis.asyncio
from chaos import plan
from chaos.baseline import stock_celery
from chaos.fleet import Fleet
from chaos.place import Place
from chaos.siege import Round
from hopyard.broker.publisher import EPOCH_KEY
from hopyard.specs import State

_QUEUE = "site.many"
_AT_ONCE = 10_000
#: Messages a row that may be in the broker.
_MOST = 1.05
#: All are rung for again, and all run, at this rate at the very least.
_SLOWEST = 150


async def test_a_million_wait(alone: dict[str, Round], place: Place, empty: Callable[[], None]) -> None:
    """Ringing again does not pile messages up, and a broker without memory costs no job and no second run.

    T0 takes its minutes while the million waits; its sixty messages at a time are no part of the promise.
    """
    if not alone["million"].planned:
        await stock_celery(alone["T0"], place)
        return
    await _million(alone["million"], alone["T0"], place, empty)


async def _million(million: Round, baseline: Round, place: Place, empty: Callable[[], None]) -> None:
    # Workers that only reconcile, for the queue is not theirs; ended with the place, as schedulers are.
    place.beats = Fleet(place, "worker", "--single", "-Q", "site.ticks")
    place.beats.man(2)
    async with redis.asyncio.Redis.from_url(place.broker) as client:

        async def known() -> bool:
            return bool(await client.exists(EPOCH_KEY))

        await place.until(known, "the new broker is known")
        await _fill(million, place)
        until, most = time.monotonic() + 60 * plan.MINUTES, 0.0
        beside = asyncio.create_task(stock_celery(baseline, place))
        while time.monotonic() < until:
            most = max(most, await _messages(client) / plan.MILLION)
            await asyncio.sleep(5)
        await beside
        million.numbers |= {"jobs": plan.MILLION, "minutes": plan.MINUTES, "messages_a_row": round(most, 4)}
        assert 1 <= most <= _MOST, f"{most:.3f} messages a row after {plan.MINUTES:g} minutes"

        await asyncio.to_thread(empty)
        begun = time.monotonic()

        async def rung() -> bool:
            return await _messages(client) >= plan.MILLION

        await place.until(rung, "all are rung for again", 60 + plan.MILLION / _SLOWEST)
        million.numbers["all_rung_again_s"] = round(time.monotonic() - begun)
        await asyncio.sleep(10)  # whatever is rung for twice comes now
        again = await _messages(client) / plan.MILLION
        million.numbers["messages_a_row_again"] = round(again, 4)
        assert again <= _MOST, f"{again:.3f} messages a row after the broker lost its data"

    place.workers = Fleet(place, "worker", "--single", "-Q", _QUEUE)
    place.workers.man(2)
    seconds = await _drain(place)
    million.numbers |= {"drain_s": round(seconds), "jobs_a_second": round(plan.MILLION / seconds)}
    left, gone = await _verdict(place)
    assert not left, f"not once: {left}"
    assert gone == {plan.MILLION}, gone
    assert not {**place.workers.ended, **place.beats.ended}, "a worker ended by itself"
    million.done()


async def _fill(million: Round, place: Place) -> None:
    begun = time.monotonic()
    task = place.hopyard.task("site.brief")
    for first in range(0, plan.MILLION, _AT_ONCE):
        await task.submit_many([{"n": n} for n in range(first, min(first + _AT_ONCE, plan.MILLION))])
    million.numbers["submitted_a_second"] = round(plan.MILLION / (time.monotonic() - begun))


async def _messages(client: Any) -> int:
    """Return how many messages are in all lists of the broker."""
    lengths = [await client.llen(key) async for key in client.scan_iter(count=1000, _type="list")]
    return sum(lengths)


async def _drain(place: Place) -> float:
    begun = moved = time.monotonic()
    left = -1
    while now := (await place.rows("SELECT count(*) AS n FROM job_live"))[0]["n"]:
        if now != left:
            left, moved = now, time.monotonic()
        assert time.monotonic() < moved + 120, f"{now} jobs are left and none ends\n{place.logs()}"
        await asyncio.sleep(1)
    return time.monotonic() - begun


async def _verdict(place: Place) -> tuple[list[Any], set[int]]:
    """Return jobs that did not succeed at their first and only claim, and how many are over."""
    bad = await place.rows(
        f"SELECT id, state, attempt, crashes, attempts FROM job_history WHERE state <> {State.SUCCEEDED:d} "
        "OR attempt <> 1 OR crashes <> 0 OR attempts IS NOT NULL LIMIT 20"
    )
    over = await place.rows("SELECT count(*) AS n FROM job_history")
    return [dict(row) for row in bad], {row["n"] for row in over}
