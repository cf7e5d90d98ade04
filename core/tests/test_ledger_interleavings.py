"""Two or three actors on the same jobs, in every order of their steps (T17).

On PostgreSQL each statement and each commit is a step, on connections of their own, so that the orders
*inside* transactions are among them; on SQLite each transaction is one (`tests/interleaving.py`). After each
order the promises are checked (`World.check`), and what is left must still run to its end. Each scenario is
one function that prepares the ledger and gives its actors.

Of a scenario with more than `MOST` orders, `make test` and `HOPYARD_INTERNAL_CHAOS=smoke` run some, the same
ones for the same `HOPYARD_INTERNAL_SEED`; `full` runs all. A failure names its scenario and its order.
"""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable, Coroutine
from datetime import timedelta
from random import Random
from typing import Any

import pytest
from hopyard.errors import StaleFence, UnknownJob
from hopyard.ledger import (
    deadletters,
    effects,
    notes,
    queues,
    retention,
    waiting,
    workers,
)
from hopyard.ledger.values import utcnow
from hopyard.specs import State
from interleaving import explore
from ledger_model import seen
from ledger_world import World, staged

Actors = dict[str, Coroutine[Any, Any, None]]
HOUR = timedelta(hours=1)

MODE = os.environ.get("HOPYARD_INTERNAL_CHAOS", "")
#: Orders of a scenario; where there are more, half of them are drawn at random.
MOST = {"smoke": 150, "full": 10_000}.get(MODE, 16)
SEED = int(os.environ.get("HOPYARD_INTERNAL_SEED") or (int.from_bytes(os.urandom(4), "big") if MODE else 17))


Scenario = Callable[[World], Awaitable[Actors]]
SCENARIOS: dict[str, Scenario] = {}


def scenario(prepare: Scenario) -> Scenario:
    SCENARIOS[prepare.__name__] = prepare
    return prepare


# --- claiming and finishing


@scenario
async def two_claim_one_job(w: World) -> Actors:
    one, two, id_ = await w.ledger.worker(), await w.ledger.worker(), await w.job()
    return {"a": w.run(w.of("a"), one, 1, id_), "b": w.run(w.of("b"), two, 2, id_)}


@scenario
async def two_claim_batches_in_opposite_order(w: World) -> Actors:
    one, two = await w.ledger.worker(), await w.ledger.worker()
    ids = [await w.job() for _ in range(3)]
    return {"a": w.run(w.of("a"), one, 1, *ids), "b": w.run(w.of("b"), two, 2, *reversed(ids))}


@scenario
async def a_result_is_written_twice(w: World) -> Actors:
    """The first answer was lost with its connection, and the recorder tries again."""
    worker = await w.ledger.worker()
    id_ = await w.running(worker)

    async def again() -> None:
        await w.finish(w.of("b"), worker, 1, id_, state=State.DEAD)

    return {"a": w.finish(w.of("a"), worker, 1, id_), "b": again()}


@scenario
async def claims_while_a_queue_is_paused(w: World) -> Actors:
    worker, id_, other = await w.ledger.worker(), await w.job(), await w.job()

    async def run() -> None:
        await w.claim(w.of("a"), worker, 1, id_)
        before = "paused" in w.told
        taken = await w.claim(w.of("a"), worker, 2, other)
        assert not (before and taken), "started after the pause had returned"

    async def pause() -> None:
        await queues.pause(w.of("b"), "q", "me")
        w.told["paused"] = True

    return {"a": run(), "b": pause()}


@scenario
async def a_queue_is_resumed_while_claims_are_refused(w: World) -> Actors:
    """A message that is dropped because of the pause must be rung again for."""
    worker, id_ = await w.ledger.worker(), await w.job()
    await w.database.drop_sent(await waiting.entries(w.database, [id_]))
    w.messages[id_] = 1
    await queues.pause(w.database, "q", "me")

    async def run() -> None:
        await w.claim(w.of("a"), worker, 1, id_)

    async def resume() -> None:
        await queues.resume(w.of("b"), "q")

    return {"a": run(), "b": resume()}


# --- leases


@scenario
async def a_result_while_its_worker_is_rescued(w: World) -> Actors:
    worker = await w.ledger.worker()
    ids = [await w.running(worker), await w.running(worker, crashes=2)]
    await w.lose(worker)
    return {"a": w.finish(w.of("a"), worker, 1, *ids), "b": w.rescue(w.of("b"))}


@scenario
async def a_late_claim_while_its_worker_is_rescued(w: World) -> Actors:
    """It does not know yet that it was given up; the job it takes has crashed twice before."""
    worker = await w.ledger.worker()
    await w.running(worker, claim=1)
    id_ = await w.job()
    await w.database.execute("UPDATE job_live SET crashes = 2 WHERE id = $1", id_)
    await w.lose(worker)

    async def claim() -> None:
        await w.claim(w.of("a"), worker, 2, id_)

    return {"a": claim(), "b": w.rescue(w.of("b"))}


@scenario
async def a_beat_at_the_last_moment(w: World) -> Actors:
    worker = await w.ledger.worker()
    id_ = await w.running(worker)
    await w.lose(worker)

    async def beat() -> None:
        alive = await workers.beat(w.of("a"), worker)
        await w.finish(w.of("a"), worker, 1, id_)
        assert alive == bool(w.ends), "the lease and the fence disagree"

    return {"a": beat(), "b": w.rescue(w.of("b"))}


@scenario
async def two_rescuers(w: World) -> Actors:
    worker = await w.ledger.worker()
    for crashes in (0, 2):
        await w.running(worker, crashes=crashes)
    await w.lose(worker)

    async def rescue(name: str) -> None:
        await w.rescue(w.of(name))
        assert w.requeued <= 1

    return {name: rescue(name) for name in ("a", "b")}


@scenario
async def a_rescued_job_runs_elsewhere_while_the_old_worker_writes(w: World) -> Actors:
    old, new = await w.ledger.worker(), await w.ledger.worker()
    id_ = await w.running(old)
    await w.lose(old)

    async def write() -> None:
        db = w.of("a")
        await w.fenced(lambda: notes.write_checkpoint(db, id_, (old, 1), {"n": 1}), "checkpoint")
        await w.finish(db, old, 1, id_)

    async def rescue() -> None:
        await w.rescue(w.of("b"))
        if await w.claim(w.of("b"), new, 2, id_):
            w.told["seen"] = await w.ledger.checkpoint(id_) is not None
            await w.finish(w.of("b"), new, 2, id_)
            assert w.told.get("checkpoint", "stale") == "stale" or w.told["seen"], (
                "a stale write was accepted"
            )

    return {"a": write(), "b": rescue()}


@scenario
async def an_old_result_while_the_job_runs_elsewhere(w: World) -> Actors:
    old, new = await w.ledger.worker(), await w.ledger.worker()
    id_ = await w.running(old)
    await w.lose(old)
    await w.rescue(w.database)
    return {"a": w.run(w.of("a"), new, 2, id_), "b": w.finish(w.of("b"), old, 1, id_, state=State.DEAD)}


@scenario
async def an_effect_is_begun_by_one_attempt_only(w: World) -> Actors:
    old, new = await w.ledger.worker(), await w.ledger.worker()
    id_ = await w.running(old)
    await w.lose(old)

    async def begin(name: str, fence: tuple[int, int]) -> None:
        async def write() -> None:
            w.told[name] = (await effects.begin(w.of(name), id_, fence, "pay", {})).standing

        try:
            await w.patient(write)
        except StaleFence:
            w.told[name] = "stale"

    async def rescue() -> None:
        await w.rescue(w.of("b"))
        if await w.claim(w.of("b"), new, 2, id_):
            await begin("b", (new, 2))
            await w.finish(w.of("b"), new, 2, id_)

    async def old_one() -> None:
        await begin("a", (old, 1))
        assert [w.told.get("a"), w.told.get("b")].count("new") <= 1, "done twice"

    return {"a": old_one(), "b": rescue()}


@scenario
async def a_worker_leaves_while_its_results_are_written(w: World) -> Actors:
    worker = await w.ledger.worker()
    ids = [await w.running(worker), await w.running(worker)]
    return {"a": w.finish(w.of("a"), worker, 1, *ids), "b": w.leave(w.of("b"), worker)}


@scenario
async def a_claim_while_its_worker_leaves(w: World) -> Actors:
    worker, id_ = await w.ledger.worker(), await w.job()

    return {"a": w.run(w.of("a"), worker, 1, id_), "b": w.leave(w.of("b"), worker)}


# --- cancelling


@scenario
async def a_cancel_of_a_job_that_is_claimed_and_finished(w: World) -> Actors:
    worker, ids = await w.ledger.worker(), [await w.job(), await w.job()]
    return {"a": w.run(w.of("a"), worker, 1, *ids), "b": w.cancel(w.of("b"), *ids)}


@scenario
async def a_cancel_of_a_job_that_is_tried_again(w: World) -> Actors:
    worker = await w.ledger.worker()
    id_ = await w.running(worker)

    async def again() -> None:
        await w.again(w.of("a"), worker, 1, id_, later=False)
        await w.promote(w.of("a"))

    return {"a": again(), "b": w.cancel(w.of("b"), id_)}


@scenario
async def two_cancels(w: World) -> Actors:
    ids = [await w.job(), await w.job()]
    return {"a": w.cancel(w.of("a"), *ids), "b": w.cancel(w.of("b"), *reversed(ids))}


@scenario
async def a_cancel_while_its_worker_is_rescued(w: World) -> Actors:
    worker = await w.ledger.worker()
    ids = [await w.running(worker), await w.running(worker, crashes=2)]
    await w.lose(worker)
    return {"a": w.cancel(w.of("a"), *ids), "b": w.rescue(w.of("b"))}


# --- the same job or key again


@scenario
async def a_job_is_submitted_again_while_it_ends(w: World) -> Actors:
    """A stock producer's message that was delivered twice, a caller that gives its own ids."""
    worker = await w.ledger.worker()
    id_ = await w.running(worker)
    return {
        "a": w.finish(w.of("a"), worker, 1, id_),
        "b": w.submit(w.of("b"), w.ledger.new(id=id_)),
    }


@scenario
async def a_dead_job_is_replayed_while_its_replay_ends(w: World) -> Actors:
    worker = await w.ledger.worker()
    dead = await w.running(worker)
    await w.finish(w.database, worker, 1, dead, state=State.DEAD)
    (new,) = (await deadletters.replay(w.database, deadletters.Filter([dead]))).values()
    w.jobs.add(new.id)

    async def replay() -> None:
        again = await w.patient(lambda: deadletters.replay(w.of("b"), deadletters.Filter([dead])))
        assert again[dead].id == new.id

    return {"a": w.run(w.of("a"), worker, 2, new.id), "b": replay()}


@scenario
async def a_dead_job_is_replayed_while_it_is_discarded(w: World) -> Actors:
    worker = await w.ledger.worker()
    dead = await w.running(worker)
    await w.finish(w.database, worker, 1, dead, state=State.DEAD)

    async def replay() -> None:
        try:
            for job in (await deadletters.replay(w.of("a"), deadletters.Filter([dead]))).values():
                w.jobs.add(job.id)
        except UnknownJob:
            w.told["replay"] = "too late"

    async def discard() -> None:
        assert await deadletters.discard(w.of("b"), deadletters.Filter([dead])) == 1
        w.gone.add(dead)

    return {"a": replay(), "b": discard()}


async def _keyed(w: World, **values: Any) -> str:
    id_, new = await w.unique(w.database, w.ledger.new(**values))
    assert new
    return id_


@scenario
async def two_submit_with_one_key(w: World) -> Actors:
    async def submit(name: str) -> None:
        w.told[name] = await w.unique(w.of(name), w.ledger.new())
        if len(w.told) == 2:
            assert w.told["a"][0] == w.told["b"][0], "two jobs hold one key"
            assert sorted(new for _, new in w.told.values()) == [False, True]

    return {name: submit(name) for name in ("a", "b")}


@scenario
async def a_key_is_asked_for_while_its_job_ends(w: World) -> Actors:
    worker, id_ = await w.ledger.worker(), await _keyed(w)

    async def submit() -> None:
        over = id_ in w.ends
        holder, new = await w.unique(w.of("b"), w.ledger.new())
        assert new == (holder != id_)
        assert new or not over, "refused by a job that was over"

    return {"a": w.run(w.of("a"), worker, 1, id_), "b": submit()}


@scenario
async def the_latest_arguments_while_the_job_is_claimed(w: World) -> Actors:
    worker, id_ = await w.ledger.worker(), await _keyed(w)
    latest = w.ledger.new(body='[[], {"n": 2}, null]')

    async def submit() -> None:
        holder, _ = await w.unique(w.of("b"), latest, "replace")
        rows = await seen(w.database)
        bodies = [rows[where][holder]["body"] for where in ("live", "past") if holder in rows[where]]
        assert bodies == [latest.body], "the latest arguments are lost"

    async def run() -> None:
        if await w.claim(w.of("a"), worker, 1, id_):
            await w.finish(w.of("a"), worker, 1, id_)

    return {"a": run(), "b": submit()}


@scenario
async def a_job_is_debounced_while_its_time_comes(w: World) -> Actors:
    id_ = await _keyed(w, state=State.SCHEDULED, eta=utcnow() - HOUR)
    later = w.ledger.new(state=State.SCHEDULED, eta=utcnow() + HOUR)

    async def submit() -> None:
        assert await w.unique(w.of("a"), later, "debounce") == (id_, False)

    async def waits() -> None:
        assert (await w.ledger.row(id_))["state"] == State.SCHEDULED, "it was to wait anew"

    w.at_end = waits
    return {"a": submit(), "b": w.promote(w.of("b"))}


@scenario
async def a_key_is_asked_for_while_it_is_pruned(w: World) -> Actors:
    id_ = await _keyed(w, id="0190f2b0-0000-7000-8000-000000000001")
    worker = await w.ledger.worker()
    await w.run(w.database, worker, 1, id_)

    async def submit() -> None:
        holder, new = await w.unique(w.of("a"), w.ledger.new())
        assert (new, holder != id_) == (True, True)
        w.told["holder"] = holder

    w.stage.gates["b"].only = "job_key"

    async def prune() -> None:
        await retention.prune(w.of("b"), progress_days=1, results_days=1)

    return {"a": submit(), "b": prune()}


# --- time and rings


@scenario
async def two_promote_while_a_job_is_tried_again(w: World) -> Actors:
    """One that leads no more promotes what was promoted, ran and waits for a later time by now."""
    worker = await w.ledger.worker()
    first = await w.job(state=State.SCHEDULED, eta=utcnow() - HOUR)

    async def run() -> None:
        await w.promote(w.of("a"))
        if await w.claim(w.of("a"), worker, 1, first):
            await w.again(w.of("a"), worker, 1, first)

    return {"a": run(), "b": w.promote(w.of("b"))}


@scenario
async def a_due_job_is_cancelled(w: World) -> Actors:
    ids = [await w.job(state=State.SCHEDULED, eta=utcnow() - HOUR) for _ in range(2)]
    return {"a": w.promote(w.of("a")), "b": w.cancel(w.of("b"), *ids)}


@scenario
async def a_job_is_handed_back_while_its_producer_clears_the_outbox(w: World) -> Actors:
    """In some orders it is left without an entry: rung for when its queue is empty, or after an hour."""
    worker, id_ = await w.ledger.worker(), await w.job()
    w.forgotten_at_last = True

    async def ring() -> None:
        w.messages[id_] += 1
        await w.of("a").drop_sent(await waiting.entries(w.of("a"), [id_]))

    async def run() -> None:
        if await w.claim(w.of("b"), worker, 1, id_):
            await w.release(w.of("b"), worker, 1, id_)

    return {"a": ring(), "b": run()}


@scenario
async def a_job_is_handed_back_while_the_relay_looks(w: World) -> Actors:
    """As above: on PostgreSQL the relay may have looked before, and drop the entry after."""
    worker = await w.ledger.worker()
    id_ = await w.running(worker)
    await w.ledger.later("job_outbox", "created", 3)
    w.forgotten_at_last = w.database.dialect.name == "postgresql"

    async def relay() -> None:
        for ring in await waiting.unsent(w.of("a"), 2.0):
            w.messages[ring.id] += 1

    return {"a": relay(), "b": w.release(w.of("b"), worker, 1, id_)}


@scenario
async def a_job_is_parked_while_a_worker_that_knows_it_claims(w: World) -> Actors:
    worker, id_ = await w.ledger.worker(), await w.job()

    async def park() -> None:
        await waiting.park(w.of("b"), [id_], "unknown")
        await waiting.unpark(w.of("b"), ["site.echo"])

    return {"a": w.run(w.of("a"), worker, 1, id_), "b": park()}


# --- three actors


@scenario
async def claim_rescue_and_cancel(w: World) -> Actors:
    worker, id_ = await w.ledger.worker(), await w.job()
    await w.lose(worker)
    return {
        "a": w.run(w.of("a"), worker, 1, id_),
        "b": w.rescue(w.of("b")),
        "c": w.cancel(w.of("c"), id_),
    }


@scenario
async def beat_rescue_and_result(w: World) -> Actors:
    worker = await w.ledger.worker()
    id_ = await w.running(worker)
    await w.lose(worker)

    async def beat() -> None:
        await workers.beat(w.of("c"), worker)

    return {"a": w.finish(w.of("a"), worker, 1, id_), "b": w.rescue(w.of("b")), "c": beat()}


@scenario
async def two_claims_and_a_pause(w: World) -> Actors:
    one, two, id_ = await w.ledger.worker(), await w.ledger.worker(), await w.job()

    async def pause() -> None:
        await queues.pause(w.of("c"), "q", "me")

    return {"a": w.run(w.of("a"), one, 1, id_), "b": w.run(w.of("b"), two, 2, id_), "c": pause()}


@scenario
async def result_key_and_key(w: World) -> Actors:
    worker, id_ = await w.ledger.worker(), await _keyed(w)
    await w.claim(w.database, worker, 1, id_)

    async def submit(name: str) -> None:
        w.told[name] = await w.unique(w.of(name), w.ledger.new())
        if {"b", "c"} <= {*w.told}:
            assert sum(new for _, new in w.told.values()) <= 1, "two new jobs hold one key"

    return {"a": w.finish(w.of("a"), worker, 1, id_), "b": submit("b"), "c": submit("c")}


@pytest.mark.slow
@pytest.mark.timeout(3600 if MODE == "full" else 600)
async def test_every_order_keeps_the_promises(database_url: str, ledger: Any) -> None:
    """All scenarios on one database, which is emptied between the orders."""
    print(f"repeat with HOPYARD_INTERNAL_SEED={SEED} HOPYARD_INTERNAL_CHAOS={MODE}")  # noqa: T201
    random = Random(SEED)
    async with staged(database_url) as stage:
        for name, prepare in SCENARIOS.items():
            world = World(ledger, stage)

            async def actors(world: World = world, prepare: Scenario = prepare) -> Actors:
                await world.begin()
                return await prepare(world)

            try:
                runs, all_ = await explore(stage, actors, world.check, MOST, random)
            except BaseException as error:
                error.add_note(f"in the scenario {name}")
                raise
            print(f"{name}: {runs} orders{'' if all_ else ' of more'}, {world.waited} refused")  # noqa: T201
            assert runs > 1
            assert all_ or MODE != "full"


#: Orders that broke a promise once, each by a fault of the product that is mended.
FOUND = {
    # It was deleted with the crashed jobs, but not among those that were copied to history before: lost.
    "a_late_claim_while_its_worker_is_rescued": "a b b b a b b b b",
    # Both wrote to history: an error instead of a refusal, or a deadlock.
    "a_result_while_its_worker_is_rescued": "a b b b a",
    # Live again beside its own history, and no outcome of it could be stored any more.
    "a_job_is_submitted_again_while_it_ends": "a b a b",
    "a_dead_job_is_replayed_while_its_replay_ends": "a a a b b a b",
    # Ran at once instead of at its new time.
    "a_job_is_debounced_while_its_time_comes": "a a a a b a",
    # The submission failed: the key's row was gone between two statements.
    "a_key_is_asked_for_while_it_is_pruned": "a b b a",
}


@pytest.mark.parametrize("name", FOUND)
async def test_orders_that_once_broke_a_promise(database_url: str, ledger: Any, name: str) -> None:
    async with staged(database_url) as stage:
        world = World(ledger, stage)
        await world.begin()
        await stage.play(await SCENARIOS[name](world), wanted=FOUND[name].split())
        await world.check()
