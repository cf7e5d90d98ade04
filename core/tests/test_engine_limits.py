"""Time limits that share a timer behave as `asyncio.timeout` does."""

from __future__ import annotations

import asyncio

import pytest
from hopyard.engine.run.deadlines import Deadline, Deadlines
from hopyard.errors import TimeLimitExceeded


def deadlines() -> Deadlines:
    return Deadlines(60.0, lambda deadline: None)


def within(limits: Deadlines, seconds: float) -> Deadline:
    task = asyncio.current_task()
    assert task is not None
    return limits.within(seconds, task, "site.call")


async def test_what_takes_too_long_is_cancelled_and_the_rest_is_not() -> None:
    limits, gate = deadlines(), asyncio.Event()

    async def short() -> str:
        with within(limits, 0.01) as deadline:
            try:
                await gate.wait()
            except asyncio.CancelledError:
                assert deadline.expired
                raise
        return "done"

    async def long() -> str:
        with within(limits, 60.0) as deadline:
            await gate.wait()
        assert not deadline.expired
        return "done"

    tasks = [asyncio.create_task(call()) for call in (short, long, short)]
    ended = await asyncio.gather(tasks[0], tasks[2], return_exceptions=True)
    assert [type(end) for end in ended] == [TimeLimitExceeded, TimeLimitExceeded]
    gate.set()
    assert await tasks[1] == "done"


async def test_a_cancel_from_outside_stays_a_cancel() -> None:
    limits, begun = deadlines(), asyncio.Event()

    async def work() -> None:
        with within(limits, 60.0):
            begun.set()
            await asyncio.Event().wait()

    task = asyncio.create_task(work())
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_blocks_own_timeout_is_its_own() -> None:
    with pytest.raises(TimeoutError, match="mine"), within(deadlines(), 60.0) as deadline:
        raise TimeoutError("mine")
    assert not deadline.expired


async def test_a_limit_works_again_after_a_pause() -> None:
    limits = deadlines()
    for _ in range(2):
        with pytest.raises(TimeLimitExceeded), within(limits, 0.01):
            await asyncio.Event().wait()
        while limits._waiting:
            await asyncio.sleep(0.001)


async def test_what_is_over_is_not_kept_behind_what_lasts() -> None:
    limits, gate = deadlines(), asyncio.Event()

    async def lasts() -> None:
        with within(limits, 600.0):
            await gate.wait()

    first = asyncio.create_task(lasts())
    await asyncio.sleep(0)
    for _ in range(10_000):
        with within(limits, 600.0):
            pass
    assert len(limits._waiting[600.0].deadlines) < 1000
    gate.set()
    await first
