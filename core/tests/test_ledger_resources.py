"""What there is only so much of: taken in turn, held while a job runs, free once it does not."""

from __future__ import annotations

from typing import Any

import pytest
from hopyard.errors import SpecError
from hopyard.ledger import queues, resources, waiting, workers
from hopyard.ledger.resources import Wanted
from hopyard.ledger.values import Done
from hopyard.specs import Queue, State
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

GPU = {"gpu": 1}
TWO = {"gpu": 2}


class Shop:
    """A ledger with one worker, whose jobs need things."""

    def __init__(self, ledger: Any, worker: int) -> None:
        self.ledger = ledger
        self.worker = worker

    async def asks(self, needs: dict[str, int] = GPU, totals: dict[str, int] = TWO, **job: Any) -> Any:
        """Submit and claim a job, and have it ask for what it needs; return its claim, and whether it may."""
        claim = await self.ledger.running(self.worker, **job)
        return claim, await self.again(claim, needs, totals)

    async def again(self, claim: Any, needs: dict[str, int] = GPU, totals: dict[str, int] = TWO) -> bool:
        wanted = [Wanted(claim.id, claim.claim, needs)]
        return claim.id in await resources.take(self.ledger.database, wanted, totals, self.worker)

    async def called(self, totals: dict[str, int] = TWO, queue: str = "q") -> list[str]:
        return [one.id for one in await resources.call(self.ledger.database, totals, [queue])]

    async def comes(self, id_: str, **options: Any) -> bool:
        """Claim a job whose message has come again."""
        (claim,) = await self.ledger.claim(self.worker, id_)
        return await self.again(claim, **options)

    async def ends(self, claim: Any) -> None:
        done = Done(claim.id, claim.claim, State.SUCCEEDED, "null", None, None)
        assert await self.ledger.database.finish([done], self.worker)

    async def held(self) -> int:
        [gpu] = await resources.overview(self.ledger.database, TWO)
        return int(gpu["held"])


@pytest.fixture
async def shop(ledger: Any) -> Shop:
    return Shop(ledger, await ledger.worker())


async def test_who_gets_nothing_is_queued_without_a_message_and_keeps_its_attempts(shop: Shop) -> None:
    begun = [await shop.asks() for _ in range(3)]
    assert [yes for _, yes in begun] == [True, True, False]
    last = begun[2][0]
    row = await shop.ledger.row(last.id)
    assert (row["state"], row["attempt"], row["worker"]) == (State.QUEUED, 0, None)
    assert await waiting.forgotten(shop.ledger.database, ["q"], -1.0) == []
    assert await resources.waits(shop.ledger.database, last.id) == GPU
    assert await shop.called() == []


async def test_the_first_that_waits_is_called_once_and_what_it_needs_kept_for_it(shop: Shop) -> None:
    (one, _), (two, _), (third, _), (fourth, _) = [await shop.asks() for _ in range(4)]
    await shop.ends(one)
    assert await shop.called() == [third.id]
    assert await shop.called() == []
    assert not (await shop.asks())[1], "somebody overtook it"
    assert await shop.comes(third.id)
    await shop.ends(two)
    assert await shop.called() == [fourth.id]


async def test_who_is_called_and_does_not_come_waits_anew_behind_the_others(shop: Shop) -> None:
    (one, _), _, (third, _), (fourth, _) = [await shop.asks() for _ in range(4)]
    await shop.ends(one)
    assert await shop.called() == [third.id]
    await shop.ledger.later("job_resource", "called", resources.CALL_SECONDS + 1)
    assert await shop.called() == [fourth.id]


async def test_priority_goes_first_and_nobody_overtakes_who_needs_more(shop: Shop) -> None:
    (one, _), (two, _) = [await shop.asks() for _ in range(2)]
    (big, _) = await shop.asks(TWO)
    (small, _) = await shop.asks()
    (urgent, _) = await shop.asks(priority=9)
    await shop.ends(one)
    assert await shop.called() == [urgent.id]
    assert await shop.comes(urgent.id)
    await shop.ends(two)
    assert await shop.called() == [], "the small one overtook the big one"
    urgent_again = await shop.ledger.database.fetch("SELECT claim FROM job_live WHERE id = $1", urgent.id)
    await shop.ends(urgent._replace(claim=urgent_again[0]["claim"]))
    assert await shop.called() == [big.id]
    assert await shop.comes(big.id, needs=TWO)
    assert small.id not in await shop.called()


async def test_a_dead_workers_jobs_hold_nothing(shop: Shop) -> None:
    for _ in range(2):
        await shop.asks()
    (waits, _) = await shop.asks()
    await shop.ledger.later("worker", "beat", 60)
    await workers.rescue(shop.ledger.database)
    assert await shop.held() == 0
    assert await shop.called() == [waits.id]


@pytest.mark.parametrize("away", ["paused", "unserved"])
async def test_who_cannot_come_holds_up_nobody(shop: Shop, away: str) -> None:
    (one, _), _ = [await shop.asks() for _ in range(2)]
    (far, _) = await shop.asks(queue="far")
    (near, _) = await shop.asks()
    if away == "paused":
        await queues.pause(shop.ledger.database, "far", "ops")
    await shop.ends(one)
    assert await shop.called() == [near.id]
    assert (await resources.waits(shop.ledger.database, far.id)) == GPU


async def test_who_needs_more_than_there_is_holds_up_nobody(shop: Shop) -> None:
    (never, yes) = await shop.asks({"gpu": 3})
    assert not yes
    assert (await shop.asks())[1]
    assert await resources.waits(shop.ledger.database, never.id) == {"gpu": 3}


async def test_what_was_held_leaves_no_rows_where_nobody_ever_waits(shop: Shop) -> None:
    for _ in range(5):
        (claim, _) = await shop.asks()
        await shop.ends(claim)
    (last, _) = await shop.asks()
    rows = await shop.ledger.database.fetch("SELECT job_id FROM job_resource")
    assert [str(row["job_id"]) for row in rows] == [last.id]


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
async def test_whatever_happens_no_more_is_held_than_there_is_and_all_get_their_turn(
    ledger: Any, data: st.DataObject
) -> None:
    await ledger.database.execute("DELETE FROM job_resource")  # an example that was given up leaves its own
    shop = Shop(ledger, await ledger.worker())
    totals = {"gpu": 2, "vram": 10}
    needs = st.sampled_from([{"gpu": 1}, {"vram": 6}, {"gpu": 1, "vram": 4}, {"gpu": 2, "vram": 10}])
    running: dict[str, tuple[Any, dict[str, int]]] = {}
    waits: dict[str, dict[str, int]] = {}

    async def comes(id_: str) -> None:
        (claim,) = await ledger.claim(shop.worker, id_)
        if await shop.again(claim, waits[id_], totals):
            running[id_] = (claim, waits.pop(id_))

    def check() -> None:
        for name, total in totals.items():
            assert sum(needed.get(name, 0) for _, needed in running.values()) <= total

    for _ in range(data.draw(st.integers(1, 12))):
        if data.draw(st.booleans()) or not running:
            needed = data.draw(needs)
            (claim, begins) = await shop.asks(needed, totals)
            (running if begins else waits).update({claim.id: (claim, needed) if begins else needed})  # type: ignore[arg-type]
        else:
            id_ = data.draw(st.sampled_from(sorted(running)))
            await shop.ends(running.pop(id_)[0])
            for called in await shop.called(totals):
                await comes(called)
        check()
    while running or waits:
        for claim, _ in running.values():
            await shop.ends(claim)
        running.clear()
        calls = await shop.called(totals)
        assert calls or not waits, "nobody is called, and some wait"
        for id_ in calls:
            await comes(id_)
        check()


@pytest.mark.parametrize("wrong", [{"GPU": 1}, {"gpu": 0}, {"gpu": 1.5}, {"gpu": True}, ["gpu"], {1: 1}])
def test_what_is_no_resource_is_refused(wrong: Any) -> None:
    with pytest.raises(SpecError):
        Queue("q", resources=wrong)
