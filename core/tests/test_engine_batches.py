"""Messages taken from Redis in batches: by priority, no more than there are slots, none lost on the way."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from engines import Gate, Lab
from hopyard.broker.popper import INDEX, Popper, put_back
from hopyard.broker.publisher import EPOCH_KEY, open_publisher, redis_key, redis_url
from hopyard.errors import BrokerError, LedgerUnavailable
from hopyard.ledger import set_aside
from hopyard.ledger.values import QueueMessage, new_id
from hopyard.specs import State

QUEUED, RUNNING, PARKED = State.QUEUED, State.RUNNING, State.PARKED


@pytest.fixture
async def redis(lab: Lab) -> AsyncIterator[Any]:
    """A client of the broker."""
    from redis.asyncio import Redis

    async with Redis.from_url(redis_url(lab.hopyard.broker_url)) as client:
        await client.set(EPOCH_KEY, "here")  # or all queued jobs are rung for again
        yield client


@pytest.fixture(params=["valkey_url", "redis_url"])
async def popper(request: pytest.FixtureRequest) -> AsyncIterator[Popper]:
    from redis.asyncio import Redis

    url = request.getfixturevalue(request.param)
    async with Redis.from_url(redis_url(url)) as client:
        await client.flushdb()
        made = Popper(url)
        made.url, made.redis = url, client  # type: ignore[attr-defined]
        await made.open()
        yield made
        await made.close()


def ring(queue: str = "q", priority: int = 5) -> QueueMessage:
    id_ = new_id()
    return QueueMessage(
        id_, "site.add", queue, priority, "[[], {}, null]", json.dumps({"id": id_, "hopyard": 1})
    )


async def publish(popper: Any, *rings: QueueMessage) -> None:
    publisher = open_publisher(popper.url)
    await publisher.publish(rings)
    await publisher.close()


def ids(found: Any) -> list[str]:
    return [json.loads(message)["headers"]["id"] for _, message in found.messages]


# --- the popper


async def test_higher_priorities_come_first_and_no_more_than_wanted(popper: Any) -> None:
    low, one, two, high, other = ring(priority=0), ring(), ring(), ring(priority=9), ring("other")
    await publish(popper, low, one, two, high, other)
    assert ids(await popper.take(1, [("q", 3), ("other", 5)], 64)) == [high.id, one.id, two.id, other.id]
    assert not ids(await popper.take(1, [("q", 5)], 0))
    assert len(ids(await popper.take(1, [("q", 5)], 64))) == 1


async def test_what_was_taken_stays_registered_until_it_is_done(popper: Any) -> None:
    first, second = ring(), ring()
    await publish(popper, first)
    taken = await popper.take(7, [("q", 9)], 64)
    assert await popper.redis.zrange(INDEX, 0, -1) == [b"hopyard:batch:7:1"]
    await publish(popper, second)
    popper.done(taken.batch)
    taken = await popper.take(7, [("q", 9)], 64)
    assert await popper.redis.zrange(INDEX, 0, -1) == [b"hopyard:batch:7:2"]
    popper.done(taken.batch)
    await popper.idle(["q"], 0.01)
    assert await popper.redis.zcard(INDEX) == 0
    assert await popper.redis.keys("hopyard:batch:*") == []


async def test_a_batch_that_is_done_while_the_next_is_taken_goes_with_the_one_after_that(popper: Any) -> None:
    await publish(popper, ring())
    first = await popper.take(7, [("q", 9)], 64)
    taking = asyncio.create_task(popper.take(7, [("q", 9)], 64))
    await asyncio.sleep(0)  # it is asked for, and not answered
    popper.done(first.batch)
    await taking
    await popper.take(7, [("q", 9)], 64)
    assert await popper.redis.zcard(INDEX) == 0


async def test_a_dead_workers_batch_goes_back_in_its_order(popper: Any) -> None:
    rings = [ring(), ring(), ring(priority=9)]
    await publish(popper, *rings)
    before = await popper.take(3, [("q", 9)], 64)
    assert await put_back(popper.url, {3}) == 0
    await publish(popper, later := ring())
    assert await put_back(popper.url, {4}) == 3
    assert ids(await popper.take(4, [("q", 9)], 64)) == [*ids(before), later.id]


async def test_an_idle_worker_is_told_of_a_message(popper: Any) -> None:
    idle = asyncio.create_task(popper.idle(["q", "other"], 60))
    while not await popper.redis.client_list(_type="pubsub"):
        await asyncio.sleep(0.005)
    await publish(popper, ring("other", 0))
    async with asyncio.timeout(30):
        await idle


async def test_a_message_that_came_before_it_looked_is_not_slept_over(popper: Any) -> None:
    await publish(popper, ring())
    async with asyncio.timeout(30):
        await popper.idle(["q"], 60)


async def test_a_server_that_does_not_tell_is_asked(
    popper: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    await popper.redis.acl_setuser(
        "blind", enabled=True, nopass=True, keys="*", channels="*", commands=["+@all", "-client|tracking"]
    )
    blind = Popper(popper.url.replace("redis://", "redis://blind:x@"))
    await blind.open()
    assert "does not tell of new messages" in caplog.text
    async with asyncio.timeout(30):
        await blind.idle(["q"], 60)
    await blind.close()
    await popper.redis.acl_deluser("blind")


async def test_a_script_that_the_server_forgot_is_sent_again(popper: Any) -> None:
    await popper.redis.script_flush()
    await publish(popper, sent := ring())
    assert ids(await popper.take(1, [("q", 9)], 64)) == [sent.id]


async def test_a_lost_connection_is_named(popper: Any) -> None:
    await popper.redis.client_kill_filter(skipme=True)
    with pytest.raises(BrokerError):
        await popper.idle(["q"], 0.05)


# --- the worker


async def test_jobs_run_and_nothing_is_left_behind(lab: Lab, redis: Any) -> None:
    await lab.worker(batches=True)
    sent = [await lab.submit("site.add", a=n, b=1) for n in range(30)]
    for n, id_ in enumerate(sent):
        assert json.loads((await lab.ends(id_))["result"]) == n + 1

    async def clean() -> bool:
        return await redis.zcard(INDEX) == 0

    await lab.until(clean, "no batch is registered")


async def test_no_more_is_taken_than_there_are_slots(lab: Lab, redis: Any) -> None:
    gate = Gate()
    lab.calls["call"] = lambda job: gate.passed()
    sent = [await lab.submit("site.one") for _ in range(3)]
    worker = await lab.worker(batches=True)
    await lab.until(lambda: gate.waiting == 1)
    quick = await lab.submit("site.add", a=1)
    await lab.ends(quick)
    assert [await lab.state(id_) for id_ in sent] == [RUNNING, QUEUED, QUEUED]
    assert await redis.llen(redis_key("site.one", 5)) == 2
    gate.open()
    for id_ in sent:
        await lab.ends(id_)
    assert not worker.engine._running


async def test_a_slot_that_is_free_while_the_worker_looks_elsewhere_is_not_slept_over(
    lab: Lab, redis: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The last slot of a queue is given back after the worker has looked at what is free."""
    monkeypatch.setattr("hopyard.engine.consume.batch_consumer._IDLE", 3600.0)
    gate = Gate()
    lab.calls["call"] = lambda job: gate.passed()
    sent = [await lab.submit("site.one") for _ in range(2)]
    worker = await lab.worker(batches=True)
    await lab.until(lambda: gate.waiting == 1)
    popper = worker.engine._batches._popper  # type: ignore[union-attr]
    idle, slots = popper.idle, worker.engine.slots["site.one"]

    async def late(*arguments: Any) -> None:
        gate.open()
        while slots.free == 0:
            await asyncio.sleep(0.001)
        await idle(*arguments)

    monkeypatch.setattr(popper, "idle", late)
    popper.wake()
    await lab.ends(sent[1])


async def test_room_that_a_claim_leaves_is_not_slept_over(
    lab: Lab, redis: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While a batch is claimed its queue looks full and others are looked at; nobody tells when it is not."""
    monkeypatch.setattr("hopyard.engine.consume.batch_consumer._IDLE", 3600.0)
    worker = await lab.worker(batches=True)
    popper = worker.engine._batches._popper  # type: ignore[union-attr]
    claim, take, elsewhere = worker.database.claim, popper.take, asyncio.Event()
    first, second = new_id(), new_id()

    async def slowly(ids: Any, *arguments: Any) -> Any:
        if first not in ids:
            return await claim(ids, *arguments)
        await elsewhere.wait()
        return []

    async def takes(number: int, wanted: Any, limit: int) -> Any:
        taken = await take(number, wanted, limit)
        if "site.one" not in dict(wanted):
            elsewhere.set()
        return taken

    monkeypatch.setattr(worker.database, "claim", slowly)
    monkeypatch.setattr(popper, "take", takes)
    lab.calls["call"] = lambda job: asyncio.sleep(0)
    for id_ in (first, second):
        await lab.hopyard.task("site.one").options(id=id_).submit()
    await lab.ends(second)


async def test_a_ledger_that_is_away_is_asked_again_and_nothing_more_is_taken(
    lab: Lab, redis: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hopyard.engine.claim.claimer.PAUSE", 0.01)
    worker = await lab.worker(batches=True)
    claim, away = worker.database.claim, True
    asked: list[int] = []

    async def refuse(*arguments: Any) -> Any:
        asked.append(1)
        if away:
            raise LedgerUnavailable("away")
        return await claim(*arguments)

    monkeypatch.setattr(worker.database, "claim", refuse)
    first = await lab.submit("site.add", a=1)
    await lab.until(lambda: len(asked) > 2)
    second = await lab.submit("site.add", a=2)
    assert await redis.llen(redis_key("site", 5)) == 1
    away = False
    for id_ in (first, second):
        assert (await lab.ends(id_))["attempt"] == 1


@pytest.mark.parametrize("who", ["broker", "ledger"])
async def test_jobs_that_end_do_not_have_a_server_that_is_away_asked_at_once(
    lab: Lab, redis: Any, monkeypatch: pytest.MonkeyPatch, who: str
) -> None:
    """Seven workers that each asked a thousand times a second left the server no time to come back."""
    monkeypatch.setattr("hopyard.engine.consume.batch_consumer._PAUSES", (3600.0,))
    monkeypatch.setattr("hopyard.engine.claim.claimer.PAUSE", 3600.0)
    asked: list[int] = []

    async def away(*_: Any) -> Any:
        asked.append(1)
        raise BrokerError("away") if who == "broker" else LedgerUnavailable("away")

    if who == "broker":
        monkeypatch.setattr(Popper, "open", away)
    worker = await lab.worker(batches=True)
    monkeypatch.setattr(worker.database, "claim", away)
    await lab.submit("site.add", a=1)
    await lab.until(lambda: asked)

    async def kicked() -> None:
        for _ in range(10):
            worker.engine._wake_all()
            await asyncio.sleep(0.001)

    await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(kicked(), worker.engine._loop))
    assert len(asked) == 1


async def test_a_message_that_cannot_be_claimed_does_not_hold_up_others(
    lab: Lab, redis: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker = await lab.worker(batches=True)
    claim = worker.database.claim

    async def refuse(ids: Any, *arguments: Any) -> Any:
        if bad in ids:
            raise ValueError("a row that breaks the claim")
        return await claim(ids, *arguments)

    bad = new_id()
    monkeypatch.setattr(worker.database, "claim", refuse)
    await lab.hopyard.task("site.add").options(id=bad).submit(a=0)
    good = [await lab.submit("site.add", a=n) for n in range(3)]
    for id_ in good:
        await lab.ends(id_)

    assert await lab.state(bad) is QUEUED


async def test_what_is_no_message_is_set_aside(lab: Lab, redis: Any) -> None:
    await lab.worker(batches=True)
    for text in ("no json", "{}", '{"headers": {"id": 7, "task": "site.add"}, "properties": {}, "body": ""}'):
        await redis.lpush("site", text)
    good = await lab.submit("site.add", a=1)
    await lab.ends(good)

    async def kept() -> bool:
        return len(await set_aside.latest(lab.ledger.database)) == 3

    await lab.until(kept, "they are set aside")


async def test_a_stock_producers_message_becomes_a_job(lab: Lab) -> None:
    from celery import Celery

    await lab.worker(batches=True)
    stock = Celery(broker=lab.hopyard.broker_url)
    id_ = new_id()
    await asyncio.to_thread(
        lambda: stock.send_task(
            "site.add", kwargs={"a": 20, "b": 3}, task_id=id_, queue="site", ignore_result=True
        )
    )
    assert json.loads((await lab.ends(id_))["result"]) == 23
    await asyncio.to_thread(stock.close)


async def test_a_task_that_nobody_knows_is_parked(lab: Lab) -> None:
    known = await lab.submit("site.add", a=1)
    await lab.ledger.database.execute("UPDATE job_live SET task = 'gone.add' WHERE id = $1", known)
    from redis.asyncio import Redis

    async with Redis.from_url(redis_url(lab.hopyard.broker_url)) as client:
        await client.delete(redis_key("site", 5))
    row = await lab.row(known)
    assert row["headers"] == ""  # the message's are made of the row
    publisher = open_publisher(lab.hopyard.broker_url)
    await publisher.publish([QueueMessage(known, "gone.add", "site", 5, row["body"], "")])
    await publisher.close()
    await lab.worker(batches=True)
    assert "plugin `gone` installed" in (await lab.reaches(known, PARKED))["reason"]


async def test_a_worker_that_died_with_a_batch_loses_no_stock_message(lab: Lab, redis: Any) -> None:
    """Its job is in no ledger yet: only the registered batch knows of it."""
    from celery import Celery

    stock, id_ = Celery(broker=lab.hopyard.broker_url), new_id()
    await asyncio.to_thread(
        lambda: stock.send_task("site.add", kwargs={"a": 1}, task_id=id_, queue="site", ignore_result=True)
    )
    dead = Popper(lab.hopyard.broker_url)
    await dead.open()
    assert len(ids(await dead.take(99, [("site", 9)], 64))) == 1
    await dead.close()
    await lab.worker(batches=True)
    await lab.ends(id_)
    await asyncio.to_thread(stock.close)


async def test_whoever_takes_a_dead_workers_jobs_puts_its_messages_back(
    lab: Lab, redis: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def never(*_: Any) -> None:
        """Another one leads."""

    monkeypatch.setattr("hopyard.ledger.leader.lead", never)
    number, held = await lab.ledger.worker(), await lab.submit("site.add", a=1)
    dead = Popper(lab.hopyard.broker_url)
    await dead.open()
    assert ids(await dead.take(number, [("site", 9)], 64)) == [held]
    await dead.close()
    await lab.worker(batches=True)
    await lab.ends(await lab.submit("site.add", a=2))
    assert await lab.state(held) is QUEUED
    await lab.ledger.database.execute("UPDATE worker SET lease = -1 WHERE id = $1", number)
    await lab.ends(held)


async def test_a_worker_that_was_given_up_keeps_its_messages_for_its_next_number(
    lab: Lab, redis: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hopyard.engine.claim.claimer.PAUSE", 0.01)
    worker = await lab.worker(batches=True)
    claim, number, lost, asked = worker.database.claim, worker.engine.number, worker.engine._lost, list[int]()

    async def watched(ids: Any, number: int, counter: int) -> Any:
        asked.append(number)
        return await claim(ids, number, counter)

    monkeypatch.setattr(worker.database, "claim", watched)
    monkeypatch.setattr(worker.engine, "_lost", lambda: None)  # it was frozen and has not noticed yet
    await lab.ledger.database.execute("UPDATE worker SET stopped = started WHERE id = $1", number)
    id_ = await lab.submit("site.add", a=1)
    await lab.until(lambda: len(asked) > 2)
    monkeypatch.setattr(worker.engine, "_lost", lost)
    row = await lab.ends(id_)
    assert row["worker"] > number
    assert row["attempt"] == 1


async def test_a_lost_connection_is_made_again(lab: Lab, redis: Any) -> None:
    await lab.worker(batches=True)
    await lab.ends(await lab.submit("site.add", a=1))
    await redis.client_kill_filter(skipme=True)
    await lab.ends(await lab.submit("site.add", a=2))


async def test_a_drain_leaves_what_was_not_claimed_to_others(lab: Lab) -> None:
    gate = Gate()
    lab.calls["call"] = lambda job: gate.passed()
    worker = await lab.worker(batches=True)
    sent = [await lab.submit("site.one") for _ in range(2)]
    await lab.until(lambda: gate.waiting == 1)
    stopping = asyncio.create_task(worker.stop(grace=30))
    await lab.until(lambda: worker.engine._draining)
    gate.open()
    await stopping
    assert [await lab.state(id_) for id_ in sent].count(QUEUED) == 1
