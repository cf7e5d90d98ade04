"""Requests to a model wait for their turn, all workers' together."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest
from hopyard import Hopyard, storage
from hopyard.errors import RateLimited
from hopyard_ai.agent.gate import Gate, Visitor, visitor
from hopyard_ai.agent.patience import patiently


async def test_moments_are_handed_out_at_equal_distances(hopyard: Hopyard) -> None:
    gate = Gate("m", requests_per_minute=60)
    ahead = sorted(await asyncio.gather(*(gate._take(100) for _ in range(20))))
    gaps = [later - earlier for earlier, later in pairwise(ahead)]
    assert all(gap > 0.9 for gap in gaps), ahead
    assert ahead[-1] == pytest.approx(19, abs=1.5)


async def test_a_model_without_a_limit_writes_nothing(hopyard: Hopyard) -> None:
    await Gate("m").enter()
    assert await storage.fetch("SELECT name FROM ai_limit") == []


async def test_tokens_are_paid_for_afterwards(hopyard: Hopyard) -> None:
    gate = Gate("m", tokens_per_minute=600)
    await gate.used(1000)
    assert await gate._take(1000) == pytest.approx(100, abs=2)


async def test_what_one_is_asked_to_wait_all_wait(hopyard: Hopyard) -> None:
    async def busy() -> None:
        raise RateLimited("busy", retry_after=50)

    with pytest.raises(RateLimited):
        await patiently(busy, seconds=5, gate=Gate("m"))
    with pytest.raises(RateLimited, match="its limit is used up for"):
        await Gate("m").enter()
    await Gate("other").enter()


async def test_a_shorter_wait_does_not_open_a_gate(hopyard: Hopyard) -> None:
    gate = Gate("m")
    await gate.close(60)
    await gate.close(1)
    assert await gate._take(1000) > 55


async def test_a_job_keeps_its_place_for_its_next_attempt(hopyard: Hopyard) -> None:
    kept: list[datetime] = []

    async def keep(moment: datetime) -> None:
        kept.append(moment)

    @asynccontextmanager
    async def release() -> Any:
        yield

    gate = Gate("m", requests_per_minute=0.1)
    await gate.enter()
    token = visitor.set(Visitor(release, keep))
    try:
        with pytest.raises(RateLimited) as error:
            await gate.enter()
        assert error.value.retry_after == pytest.approx(600, abs=5)
        assert len(kept) == 1
        visitor.set(Visitor(release, keep, storage.utcnow() - timedelta(seconds=1)))
        await gate.enter()  # its moment has come: no other one is taken
        assert len(kept) == 1
    finally:
        visitor.reset(token)


async def test_one_request_keeps_the_next_waiting_for_an_hour_at_most(hopyard: Hopyard) -> None:
    gate = Gate("m", tokens_per_minute=1)
    await gate.used(10**8)
    assert await gate._take(10_000) == pytest.approx(3600, abs=5)


async def test_a_moment_of_a_clock_that_was_wrong_holds_nobody_up(hopyard: Hopyard) -> None:
    gate = Gate("m", requests_per_minute=60)
    await gate.close(366 * 86_400)
    assert await gate._take(10) == 0
    assert await gate._take(10) == pytest.approx(1, abs=1)
