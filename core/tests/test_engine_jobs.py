"""How jobs end: succeeded, tried again, dead, cancelled, handed back, or lost to another worker."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from celery.worker import state as worker_state
from engines import Gate, Lab, Worker
from hopyard import conceal
from hopyard.broker.publisher import redis_keys, redis_url
from hopyard.errors import (
    InvalidInput,
    JobCancelled,
    LedgerUnavailable,
    RateLimited,
    StaleFence,
    TransientError,
)
from hopyard.ledger import leader, notes, workers
from hopyard.specs import State
from redis.asyncio import Redis

SUCCEEDED, DEAD, CANCELLED = State.SUCCEEDED, State.DEAD, State.CANCELLED
QUEUED, RUNNING, RETRYING = State.QUEUED, State.RUNNING, State.RETRYING
Call = Callable[[Any], Awaitable[Any]]


@pytest.fixture
async def worker(lab: Lab) -> Worker:
    return await lab.worker()


async def started(lab: Lab, worker: Worker, call: Any, task: str = "site.call") -> str:
    """Submit a job that does `call`, and deliver it."""
    lab.calls["call"] = call
    id_ = await lab.submit(task)
    await worker.take(id_)
    return id_


def raising(error: BaseException) -> Call:
    async def call(job: Any) -> None:
        raise error

    return call


def error_of(row: dict[str, Any]) -> dict[str, Any]:
    error: dict[str, Any] = json.loads(row["error"])
    return error


# --- ends


async def test_a_job_that_fails_in_passing_is_tried_again(lab: Lab, worker: Worker) -> None:
    async def call(job: Any) -> int:
        if job.attempt < 3:
            raise TransientError(f"blip {job.attempt}")
        return int(job.attempt)

    worker.fetch()
    row = await lab.ends(await started(lab, worker, call))
    assert row["result"] == "3"
    told = [(entry["attempt"], entry["message"]) for entry in json.loads(row["attempts"])]
    assert {entry["worker"] for entry in json.loads(row["attempts"])} == {worker.engine.number}
    assert told == [(1, "blip 1"), (2, "blip 2")]
    assert "task-retried" in [kind for kind, _ in worker.consumer.events]


async def test_a_job_that_waits_says_why(lab: Lab, worker: Worker) -> None:
    id_ = await started(lab, worker, raising(RateLimited("slower", retry_after=3600)))
    row = await lab.reaches(id_, RETRYING)
    assert row["reason"] == "attempt 1 failed: RateLimited: slower"
    assert row["worker"] is None


async def test_a_job_is_dead_after_its_last_try(lab: Lab, worker: Worker) -> None:
    worker.fetch()
    row = await lab.ends(await started(lab, worker, raising(TransientError("still"))), DEAD)
    error = error_of(row)
    assert (error["kind"], error["category"], error["message"]) == ("TransientError", "transient", "still")
    assert "raise error" in error["traceback"]
    assert len(json.loads(row["attempts"])) == 3


async def test_a_hopeless_job_is_dead_at_once(lab: Lab, worker: Worker) -> None:
    row = await lab.ends(await started(lab, worker, raising(InvalidInput("never"))), DEAD)
    assert row["attempt"] == 1
    assert ("task-failed", str(row["id"])) in worker.consumer.events


async def test_wrong_arguments_and_results_end_dead(lab: Lab, worker: Worker) -> None:
    fits, wrong = await lab.submit("site.typed", n=1), await lab.submit("site.typed", n=-1)
    await worker.take(fits, wrong)
    assert (await lab.ends(fits))["result"] == "1"
    assert "the result does not fit its type" in error_of(await lab.ends(wrong, DEAD))["message"]
    bad = worker.foreign("site.typed")
    assert "n: Field required" in error_of(await lab.ends(bad, DEAD))["message"]


class Unprintable(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no text")


@pytest.mark.parametrize("task", ["site.call", "site.plain"])
@pytest.mark.parametrize("kind", [Unprintable, SystemExit, KeyboardInterrupt])
async def test_whatever_a_task_raises_the_worker_goes_on(
    lab: Lab, worker: Worker, task: str, kind: type[BaseException]
) -> None:
    async def call(job: Any) -> None:
        raise kind

    def plain(job: Any) -> None:
        raise kind

    row = await lab.ends(await started(lab, worker, call if task == "site.call" else plain, task), DEAD)
    assert error_of(row)["kind"] == kind.__name__

    async def fine(job: Any) -> str:
        return "fine"

    assert (await lab.ends(await started(lab, worker, fine)))["result"] == '"fine"'


async def test_an_error_whose_text_no_database_takes_is_stored(lab: Lab, worker: Worker) -> None:
    id_ = await started(lab, worker, raising(RateLimited("a \0 and \ud800", retry_after=3600)))
    assert "a \ufffd and ?" in (await lab.reaches(id_, RETRYING))["reason"]


async def test_a_cancellation_that_nobody_asked_for_is_a_failure(lab: Lab, worker: Worker) -> None:
    """Rather than a job that is handed back forever."""

    async def call(job: Any) -> None:
        waits = asyncio.create_task(asyncio.sleep(600))
        waits.cancel()
        await waits

    row = await lab.ends(await started(lab, worker, call), DEAD)
    assert "nobody cancelled it" in error_of(row)["message"]


async def test_a_cancelled_job_stops(lab: Lab, worker: Worker) -> None:
    gate = Gate()
    id_ = await started(lab, worker, lambda job: gate.passed())
    await lab.until(lambda: gate.waiting)
    assert await lab.hopyard.handle(id_).cancel("no need") is RUNNING
    assert (await lab.ends(id_, CANCELLED))["reason"] == "no need"
    await lab.until(lambda: ("task-revoked", id_) in worker.consumer.events)


async def test_a_cancel_between_the_claim_and_the_run_is_obeyed(
    lab: Lab, worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The order can come before the worker has read what it claimed: it must not be forgotten."""
    engine = worker.engine
    claim = engine._database.claim

    async def slow(ids: Any, number: int, counter: int) -> Any:
        claims = await claim(ids, number, counter)
        await lab.hopyard.handle(claims[0].id).cancel()
        while not engine._jobs.cancel_on_arrival:
            await asyncio.sleep(0.005)
        return claims

    monkeypatch.setattr(engine._database, "claim", slow)
    ran: list[str] = []

    async def call(job: Any) -> None:
        ran.append(job.id)

    await lab.ends(await started(lab, worker, call), CANCELLED)
    assert not ran
    await lab.until(lambda: not engine._jobs.cancel_on_arrival)


async def test_a_job_that_cancels_itself_is_cancelled(lab: Lab, worker: Worker) -> None:
    await lab.ends(await started(lab, worker, raising(JobCancelled("enough"))), CANCELLED)


async def test_celerys_revoke_stops_a_running_job(lab: Lab, worker: Worker) -> None:
    gate = Gate()
    id_ = await started(lab, worker, lambda job: gate.passed())
    await lab.until(lambda: gate.waiting)
    await asyncio.to_thread(worker_state.requests[id_].terminate, None)
    assert (await lab.ends(id_, CANCELLED))["reason"] == "revoked through Celery"


async def test_a_cancelled_thread_is_interrupted(lab: Lab, worker: Worker) -> None:
    gate = Gate()
    id_ = await started(lab, worker, lambda job: gate.pass_(), "site.plain")
    await lab.until(lambda: gate.waiting)
    await lab.hopyard.handle(id_).cancel()
    await lab.ends(id_, CANCELLED)


# --- time limits


async def test_a_job_on_the_loop_ends_at_its_time_limit(lab: Lab, worker: Worker) -> None:
    row = await lab.ends(await started(lab, worker, lambda job: Gate().passed(), "site.short"), DEAD)
    error = error_of(row)
    assert (error["kind"], error["category"]) == ("TimeLimitExceeded", "timeout")
    assert error["message"] == "site.short ran longer than its time limit of 0.1 s"


async def test_a_tasks_own_timeout_is_its_own(lab: Lab, worker: Worker) -> None:
    row = await lab.ends(await started(lab, worker, raising(TimeoutError("a server's")), "site.short"), DEAD)
    assert (error_of(row)["kind"], error_of(row)["message"]) == ("TimeoutError", "a server's")


async def test_a_thread_is_interrupted_at_its_time_limit(lab: Lab, worker: Worker) -> None:
    gate, seen = Gate(), []

    def call(job: Any) -> None:
        try:
            gate.pass_()
        except BaseException as error:
            seen.append(type(error).__name__)
            raise

    row = await lab.ends(await started(lab, worker, call, "site.short_plain"), DEAD)
    assert error_of(row)["kind"] == "TimeLimitExceeded"
    assert seen == ["TimeLimitExceeded"]


async def test_a_thread_that_does_not_stop_is_left_alone(
    lab: Lab, worker: Worker, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("hopyard.engine.run.runner.GRACE_SECONDS", 0.01)
    open_, ended = Gate(), []

    def call(job: Any) -> str:
        while True:
            try:
                open_.pass_()
            except Exception:
                continue
            ended.append(1)
            return "too late"

    id_ = await started(lab, worker, call, "site.short_plain")
    await lab.ends(id_, DEAD)
    assert "goes on after its time limit" in caplog.text
    open_.open()
    await lab.until(lambda: ended)
    assert await lab.state(id_) is DEAD


# --- slots


async def test_a_job_that_waits_aside_gives_its_slot_away(lab: Lab, worker: Worker) -> None:
    gate = Gate()

    async def parent(job: Any) -> str:
        async with job.release_slot():
            await gate.passed()
        return "parent"

    async def child(job: Any) -> str:
        return "child"

    lab.calls |= {"parent": parent, "child": child}
    first = await lab.submit("site.one", name="parent")
    second = await lab.submit("site.one", name="child")
    await worker.take(first, second)
    assert (await lab.ends(second))["result"] == '"child"'
    assert await lab.state(first) is RUNNING
    gate.open()
    await lab.ends(first)
    slots = worker.engine.slots["site.one"]
    await lab.until(lambda: slots.free == slots.size)


# --- progress and checkpoints


async def test_progress_is_stored_as_its_latest_word(
    lab: Lab, worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    writes: list[int] = []
    original = notes.write_progress

    async def write(database: Any, progress: Any) -> None:
        writes.append(len(progress))
        await original(database, progress)

    monkeypatch.setattr(notes, "write_progress", write)
    gate = Gate()

    async def call(job: Any) -> None:
        for n in range(1000):
            job.progress(n, 1000, f"row {n}")
        await gate.passed()

    id_ = await started(lab, worker, call)

    async def told() -> bool:
        return (await lab.hopyard.handle(id_).status()).message == "row 999"

    await lab.until(told)
    assert len(writes) <= 2
    gate.open()
    await lab.ends(id_)


async def test_progress_tells_no_secret(lab: Lab, worker: Worker) -> None:
    gate = Gate()

    async def call(job: Any) -> None:
        conceal("CANARY-read-by-a-task")
        job.progress(1, 2, "with CANARY-read-by-a-task")
        await gate.passed()

    id_ = await started(lab, worker, call)

    async def told() -> bool:
        return (await lab.hopyard.handle(id_).status()).message == "with ***"

    await lab.until(told)
    gate.open()
    await lab.ends(id_)


async def test_progress_that_cannot_be_stored_costs_nobody_elses(lab: Lab, worker: Worker) -> None:
    gate = Gate()

    async def good(job: Any) -> None:
        job.progress(1, 2, "fine")
        await gate.passed()

    async def bad(job: Any) -> None:
        job.progress(1, 2, "a \ud800")
        await gate.passed()

    lab.calls |= {"good": good, "bad": bad}
    ids = [await lab.submit(name="bad"), await lab.submit(name="good")]
    await worker.take(*ids)

    async def told() -> bool:
        return (await lab.hopyard.handle(ids[1]).status()).message == "fine"

    await lab.until(told)
    gate.open()
    for id_ in ids:
        await lab.ends(id_)


async def test_a_checkpoint_is_there_at_the_next_try(lab: Lab, worker: Worker) -> None:
    async def call(job: Any) -> dict[str, Any]:
        if job.attempt == 1:
            await job.save(page=1)
            await job.save(row=2)
            raise TransientError("blip")
        return dict(job.checkpoint)

    worker.fetch()
    row = await lab.ends(await started(lab, worker, call))
    assert json.loads(row["result"]) == {"page": 1, "row": 2}


async def test_a_checkpoint_that_is_too_large_is_refused(lab: Lab, worker: Worker) -> None:
    async def call(job: Any) -> None:
        await job.save(text="x" * 1_000_000)

    row = await lab.ends(await started(lab, worker, call), DEAD)
    assert "site.call: the checkpoint is 1,000,0" in error_of(row)["message"]


async def test_a_job_that_was_taken_away_saves_and_ends_nothing(lab: Lab, worker: Worker) -> None:
    """Its fence has moved: somebody else runs it."""
    gate, errors = Gate(), []

    async def call(job: Any) -> None:
        await gate.passed()
        try:
            await job.save(page=1)
        except StaleFence as error:
            errors.append(error)
            raise

    id_ = await started(lab, worker, call)
    await lab.until(lambda: gate.waiting)
    await lab.ledger.database.execute("UPDATE job_live SET claim = claim + 1000 WHERE id = $1", id_)
    gate.open()
    await lab.until(lambda: errors and id_ not in worker.engine._running)
    assert await lab.state(id_) is RUNNING
    assert await lab.ledger.count("job_checkpoint") == 0


async def test_a_late_outcome_is_refused(lab: Lab, worker: Worker, caplog: pytest.LogCaptureFixture) -> None:
    gate = Gate()
    id_ = await started(lab, worker, lambda job: gate.passed())
    await lab.until(lambda: gate.waiting)
    await lab.ledger.database.execute("UPDATE job_live SET claim = claim + 1000 WHERE id = $1", id_)
    gate.open()
    await lab.until(lambda: "its outcome was refused" in caplog.text)
    assert await lab.state(id_) is RUNNING


@pytest.mark.parametrize("saves", [True, False])
async def test_a_job_whose_claim_was_forgotten_is_rung_for(lab: Lab, worker: Worker, saves: bool) -> None:
    """A claim's commit does not wait for the disk: where PostgreSQL crashes its job is queued again."""
    gate = Gate()

    async def call(job: Any) -> None:
        await gate.passed()
        if saves:
            await job.save(page=1)

    id_ = await started(lab, worker, call)
    await lab.until(lambda: gate.waiting)
    forgotten = f"UPDATE job_live SET state = {QUEUED:d}, worker = NULL, claim = 0, attempt = 0 WHERE id = $1"
    before = await messages(lab)
    await lab.ledger.database.execute(forgotten, id_)
    gate.open()

    async def rung() -> bool:
        return await messages(lab) > before

    await lab.until(rung)
    assert await lab.state(id_) is QUEUED


async def test_a_job_that_comes_to_the_same_worker_again_stops_its_run_before(
    lab: Lab, worker: Worker
) -> None:
    """The worker was given up and has not noticed: its jobs were queued again, and it takes them."""
    gate, told = Gate(), list[tuple[str, int]]()

    async def call(job: Any) -> None:
        told.append(("begins", job._claim.claim))
        try:
            await gate.passed()
        except asyncio.CancelledError:
            told.append(("stops", job._claim.claim))
            with pytest.raises(StaleFence):
                job.progress(1)
            raise

    id_ = await started(lab, worker, call)
    await lab.until(lambda: gate.waiting)
    given_up = f"UPDATE job_live SET state = {QUEUED:d}, worker = NULL WHERE id = $1"
    await lab.ledger.database.execute(given_up, id_)
    await worker.take(id_)
    await lab.until(lambda: len(told) == 3)
    (_, first), *_ = told
    assert sorted(told) == [("begins", first), ("begins", first + 1), ("stops", first)]
    await lab.until(lambda: worker.engine.slots["site"].free == worker.engine.slots["site"].size - 1)
    assert worker.engine._running[id_].claim.claim == first + 1
    gate.open()
    row = await lab.ends(id_)
    assert row["claim"] == first + 1


# --- a broker without memory


async def messages(lab: Lab) -> int:
    """How many messages are in the site's queue."""
    async with Redis.from_url(redis_url(lab.hopyard.broker_url)) as client:
        return sum([await client.llen(key) for key in redis_keys("site")])


async def test_a_broker_that_lost_its_memory_is_rung_to_once_per_job(lab: Lab) -> None:
    """Although their queue is empty and they are old, which alone is a reason to ring for them."""
    ids = {await lab.submit() for _ in range(3)}
    await lab.ledger.later("job_live", "created", 60)
    url = redis_url(lab.hopyard.broker_url)
    async with Redis.from_url(url, decode_responses=True) as client:
        await client.flushdb()
        reconciler = (await lab.worker()).engine._reconciler

        async def messages() -> list[str]:
            return [text for key in redis_keys("site") for text in await client.lrange(key, 0, -1)]  # type: ignore[misc]

        await lab.until(messages)
        await lab.until(lambda: reconciler._resending is None)
        found = await messages()
    assert len(found) == 3
    assert {json.loads(text)["headers"]["id"] for text in found} == ids


async def test_a_leader_that_does_not_get_to_promote_has_rung_for_what_was_left(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where one leader after the other dies when it promotes, what they promoted would never run."""

    async def promote(*_: Any) -> Any:
        raise LedgerUnavailable("dead")

    monkeypatch.setattr("hopyard.ledger.waiting.promote", promote)
    left = await lab.ledger.job()
    await lab.ledger.later("job_outbox", "created", 10)
    await lab.worker()

    async def rung() -> bool:
        return left not in await lab.ledger.outbox()

    await lab.until(rung)


# --- leases and ends


async def test_a_dead_workers_jobs_do_not_wait_for_somebody_to_lead(lab: Lab) -> None:
    """Its leader may be dead, too, and nobody else may lead for seconds."""
    assert await leader.lead(lab.ledger.database, "reconcile", "somebody else", 3600)
    dead = await lab.ledger.worker("dead")
    claim = await lab.ledger.running(dead, task="site.call", queue="site")
    await lab.ledger.later("worker", "beat", 60)
    await lab.worker()
    row = await lab.reaches(claim.id, QUEUED)
    assert row["crashes"] == 1


async def test_a_lost_lease_stops_its_jobs_and_the_worker_goes_on_under_a_new_number(
    lab: Lab, worker: Worker
) -> None:
    gate = Gate()
    id_ = await started(lab, worker, lambda job: gate.passed())
    await lab.until(lambda: gate.waiting == 1)
    number = worker.engine.number
    await lab.ledger.database.execute("UPDATE worker SET lease = -1 WHERE id = $1", number)
    rescued = await workers.rescue(lab.ledger.database)
    assert rescued.workers in ([number], [])  # its own reconciler may have been first
    await lab.until(lambda: worker.engine.number > number)
    await lab.reaches(id_, QUEUED)
    gate.open()
    await worker.take(id_)
    row = await lab.ends(id_)
    assert (row["worker"], row["crashes"]) == (worker.engine.number, 1)
    assert gate.waiting == 2


async def test_a_worker_that_was_frozen_since_its_claim_does_not_begin_the_job(
    lab: Lab, worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Others have had it since: what it did before its timer had a turn would be done beside them."""
    held, gate = [False, True], Gate()
    monkeypatch.setattr(worker.engine._heartbeat, "holds", lambda number: held.pop(0))
    id_ = await started(lab, worker, lambda job: gate.passed())

    async def handed_back() -> str | None:
        return (await lab.row(id_))["attempts"]

    (entry,) = json.loads(await lab.until(handed_back))
    assert entry["message"] == "its worker lost its lease"
    assert (await lab.state(id_), gate.waiting) == (QUEUED, 0)
    gate.open()
    await worker.take(id_)
    row = await lab.ends(id_)
    assert (row["attempt"], row["crashes"], gate.waiting) == (1, 0, 1)


async def test_what_runs_at_the_end_is_waited_for(lab: Lab, worker: Worker) -> None:
    gate = Gate()
    id_ = await started(lab, worker, lambda job: gate.passed())
    await lab.until(lambda: gate.waiting)
    stopping = asyncio.create_task(worker.stop(grace=20))
    await lab.until(lambda: worker.engine._draining)
    gate.open()
    await stopping
    assert await lab.state(id_) is SUCCEEDED


async def test_what_does_not_end_in_time_is_handed_back_without_losing_a_try(
    lab: Lab, worker: Worker
) -> None:
    gate = Gate()
    running = await started(lab, worker, lambda job: gate.passed())
    thread = await started(
        lab, worker, lambda job: gate.passed() if job.task == "site.call" else gate.pass_(), "site.plain"
    )
    await lab.until(lambda: gate.waiting == 2)
    await worker.stop(grace=0.01)
    for id_ in (running, thread):
        row = await lab.row(id_)
        assert (row["state"], row["attempt"], row["worker"]) == (QUEUED, 0, None)
        (entry,) = json.loads(row["attempts"])
        assert (entry["attempt"], entry["outcome"], entry["message"]) == (
            1,
            "handed back",
            "its worker drains",
        )
    assert {running, thread} <= await lab.ledger.outbox(), "the relay rings for them"
    rows = await lab.ledger.database.fetch("SELECT stopped FROM worker")
    assert all(row["stopped"] is not None for row in rows)


async def test_a_worker_that_drains_takes_nothing_more(lab: Lab, worker: Worker) -> None:
    gate = Gate()
    await started(lab, worker, lambda job: gate.passed())
    await lab.until(lambda: gate.waiting)
    stopping = asyncio.create_task(worker.stop(grace=20))
    await lab.until(lambda: worker.engine._draining)
    late = await lab.submit()
    await worker.take(late)
    gate.open()
    await stopping
    assert await lab.state(late) is QUEUED
    assert late not in worker.acked


async def test_a_finished_job_waits_out_a_ledger_that_is_away(
    lab: Lab, worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    errors = [LedgerUnavailable("away")] * 2
    original = worker.database.finish

    async def finish(*arguments: Any) -> Any:
        if errors:
            raise errors.pop()
        return await original(*arguments)

    monkeypatch.setattr(worker.database, "finish", finish)

    async def call(job: Any) -> float:
        return time.monotonic()

    await lab.ends(await started(lab, worker, call))
    assert not errors
