"""Submit, claim, finish: a job is stored once, run by one, and its outcome is taken from its owner alone."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from hopyard.errors import LedgerError, LedgerUnavailable, StaleFence
from hopyard.ledger import cancelling, notes, waiting, workers
from hopyard.ledger.database import Database, open_database
from hopyard.ledger.values import Again, Claim, Done, derived_id, job_id, new_id, utcnow
from hopyard.specs import State

ENTRY = '{"attempt": 1}'


def done(claim: Claim, state: State = State.SUCCEEDED, result: str = "1") -> Done:
    return Done(claim.id, claim.claim, state, result, None, None)


def again(claim: Claim, seconds: float = 0.0) -> Again:
    return Again(claim.id, claim.claim, utcnow() + timedelta(seconds=seconds), "failed", ENTRY)


# --- submit


async def test_an_id_that_is_submitted_twice_is_one_job(ledger: Any) -> None:
    job = ledger.new()
    assert (await ledger.database.submit([job])).new == {job.id}
    assert not (await ledger.database.submit([job._replace(body='[[], {"other": 1}, null]')])).new
    assert (await ledger.row(job.id))["body"] == job.body
    assert await ledger.outbox() == {job.id}


async def test_an_id_twice_in_one_batch_is_one_job(ledger: Any) -> None:
    job = ledger.new()
    assert (await ledger.database.submit([job, job, ledger.new()])).new >= {job.id}
    assert await ledger.count("job_live") == 2


async def test_an_id_that_history_knows_is_not_run_again(ledger: Any) -> None:
    worker = await ledger.worker()
    claim = await ledger.running(worker)
    await ledger.database.finish([done(claim)], worker)
    await ledger.database.drop_sent(await waiting.entries(ledger.database, [claim.id]))
    assert not (await ledger.database.submit([ledger.new(id=claim.id)])).new
    assert await ledger.row(claim.id) is None
    assert await ledger.outbox() == set()


async def test_only_queued_jobs_are_in_the_outbox(ledger: Any) -> None:
    later = ledger.new(state=State.SCHEDULED, eta=utcnow() + timedelta(hours=1))
    queued = ledger.new()
    await ledger.database.submit([later, queued])
    assert await ledger.outbox() == {queued.id}


async def test_a_job_keeps_all_that_its_submitter_said(ledger: Any) -> None:
    due = utcnow().replace(microsecond=123456)
    parent, root, replayed = new_id(), new_id(), new_id()
    job = ledger.new(
        body='[[1], {"text": "grüße 🍺 \\u0000"}, null]',
        schedule="s",
        due=due,
        parent=parent,
        root=root,
        person="ada",
        origin="not-a-uuid",
        replay_of=replayed,
        priority=9,
    )
    await ledger.database.submit([job])
    (claim,) = await ledger.claim(await ledger.worker(), job.id)
    assert (claim.body, claim.task, claim.queue) == (job.body, job.task, job.queue)
    assert (claim.due, claim.schedule, claim.person) == (due, "s", "ada")
    assert (claim.parent, claim.root) == (parent, root)
    row = await ledger.row(job.id)
    assert (row["origin"], str(row["replay_of"]), row["priority"]) == ("not-a-uuid", replayed, 9)
    assert abs(claim.created - utcnow()) < timedelta(minutes=1)


async def test_a_failed_transaction_stores_neither_job_nor_outbox_entry(ledger: Any) -> None:
    async def store_and_fail() -> None:
        async with ledger.database.transaction() as tx:
            await tx.insert_jobs([ledger.new()])
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await store_and_fail()
    assert await ledger.count("job_live") == 0
    assert await ledger.outbox() == set()


def test_ids_are_time_ordered_uuids_of_version_7() -> None:
    ids = [new_id() for _ in range(1000)]
    assert len(set(ids)) == 1000
    assert all(id_[14] == "7" and id_[19] in "89ab" and job_id(id_) == id_ for id_ in ids)
    assert [id_[:8] for id_ in ids] == sorted(id_[:8] for id_ in ids)


def test_an_id_that_is_no_uuid_always_gives_the_same_uuid() -> None:
    assert job_id("my-job") == job_id("my-job") == derived_id("celery", "my-job")
    assert job_id("my-job") != job_id("my-job2")
    assert job_id("0190F2B0-0000-7000-8000-000000000000") == "0190f2b0-0000-7000-8000-000000000000"


# --- claim


async def test_a_job_is_claimed_once(ledger: Any) -> None:
    worker, id_ = await ledger.worker(), await ledger.job()
    (claim,) = await ledger.claim(worker, id_)
    assert (claim.id, claim.claim, claim.attempt, claim.crashes) == (id_, 1, 1, 0)
    assert await ledger.claim(worker, id_) == []
    row = await ledger.row(id_)
    assert (row["state"], row["worker"], row["claim"]) == (State.RUNNING, worker, 1)
    assert row["started"] is not None


@pytest.mark.parametrize("state", [State.SCHEDULED, State.RETRYING, State.PARKED])
async def test_what_is_not_queued_is_not_claimed(ledger: Any, state: State) -> None:
    id_ = await ledger.job(state=state)
    assert await ledger.claim(await ledger.worker(), id_, new_id()) == []
    assert (await ledger.row(id_))["state"] == state


async def test_two_workers_that_claim_at_once_never_both_get_a_job(
    ledger: Any, connect: Callable[[], Database]
) -> None:
    jobs = [ledger.new() for _ in range(300)]
    await ledger.database.submit(jobs)
    numbers = [await ledger.worker("a"), await ledger.worker("b")]
    ids = [job.id for job in jobs]

    async def take(database: Database, number: int) -> list[str]:
        await database.fetch("SELECT 1 AS one")  # connected
        got = []
        for start in range(0, len(ids), 20):
            # Either starts at another end, so that they meet with their locks in a different order.
            some = ids[start : start + 20] if number == numbers[0] else ids[::-1][start : start + 20]
            got += [claim.id for claim in await database.claim(some, number, start)]
        return got

    first, second = await asyncio.gather(*(take(connect(), number) for number in numbers))
    assert sorted(first + second) == sorted(ids)


async def test_many_connections_may_claim_and_finish_at_once(
    ledger: Any, connect: Callable[[], Database]
) -> None:
    """Traps 4 and 10: no connection is shared, no writer meets `database is locked`."""
    jobs = [ledger.new() for _ in range(200)]
    await ledger.database.submit(jobs)

    async def work(database: Database, number: int) -> int:
        finished = 0
        for n, job in enumerate(jobs):
            claims = await database.claim([job.id], number, n + 1)
            finished += len(await database.finish([done(claim) for claim in claims], number))
        return finished

    numbers = [await ledger.worker() for _ in range(3)]
    assert sum(await asyncio.gather(*(work(connect(), number) for number in numbers))) == 200
    assert await ledger.count("job_history") == 200


async def test_one_database_object_serves_concurrent_callers(ledger: Any) -> None:
    """Trap 4: statements of one process do not meet on one connection."""
    worker = await ledger.worker()

    async def one() -> str:
        claim = await ledger.running(worker)
        (ended,) = await ledger.database.finish([done(claim)], worker)
        return str(ended)

    assert len(set(await asyncio.gather(*(one() for _ in range(30))))) == 30


async def test_ids_come_back_as_text(ledger: Any) -> None:
    """Trap 6: asyncpg returns UUID objects, which no dict of texts knows."""
    worker = await ledger.worker()
    parent = new_id()
    claim = await ledger.running(worker, parent=parent)
    assert isinstance(claim.id, str)
    assert claim.parent == parent
    assert await ledger.database.finish([done(claim)], worker) == {claim.id}


# --- the fence


@pytest.mark.parametrize("wrong", ["worker", "claim"])
async def test_outcomes_under_an_old_fence_are_refused(ledger: Any, wrong: str) -> None:
    database = ledger.database
    worker, other = await ledger.worker(), await ledger.worker()
    claim = await ledger.running(worker)
    stale, number = (claim, other) if wrong == "worker" else (claim._replace(claim=claim.claim + 1), worker)
    assert await database.finish([done(stale)], number) == set()
    assert await database.again([again(stale)], number) == set()
    with pytest.raises(StaleFence):
        await notes.write_checkpoint(database, claim.id, (number, stale.claim), {"page": 1})
    await waiting.release(database, [(stale.id, stale.claim)], number)
    row = await ledger.row(claim.id)
    assert (row["state"], row["worker"], row["attempt"]) == (State.RUNNING, worker, 1)
    assert await ledger.checkpoint(claim.id) is None
    assert await database.finish([done(claim)], worker) == {claim.id}


async def test_a_job_that_was_given_away_is_no_longer_its_first_workers(ledger: Any) -> None:
    """Trap 3: the same attempt number may be handed out twice, the fence may not."""
    database = ledger.database
    lost, rescuer = await ledger.worker(lease=15), await ledger.worker()
    first = await ledger.running(lost)
    await database.execute(
        f"UPDATE worker SET beat = {database.dialect.plus('beat', '-60')} WHERE id = $1", lost
    )
    assert len((await workers.rescue(database)).again) == 1
    (second,) = await ledger.claim(rescuer, first.id)
    assert await database.finish([done(first, result='"late"')], lost) == set()
    assert await database.finish([done(second, result='"right"')], rescuer) == {first.id}
    assert (await ledger.past(first.id))["result"] == '"right"'


async def test_a_worker_number_is_never_given_twice(ledger: Any) -> None:
    first = await ledger.worker()
    await ledger.database.execute("DELETE FROM worker")
    assert await ledger.worker() > first


# --- finish and again


@pytest.mark.parametrize("state", [State.SUCCEEDED, State.DEAD, State.CANCELLED])
async def test_a_finished_job_is_history_and_changes_no_more(ledger: Any, state: State) -> None:
    worker = await ledger.worker()
    claim = await ledger.running(worker, person="ada")
    error = '{"kind": "ValueError"}'
    outcome = Done(claim.id, claim.claim, state, None, error, ENTRY)
    assert await ledger.database.finish([outcome], worker) == {claim.id}
    assert await ledger.row(claim.id) is None
    past = await ledger.past(claim.id)
    assert (past["state"], past["error"], past["person"]) == (state, error, "ada")
    assert json.loads(past["attempts"]) == [{"attempt": 1}]
    assert await ledger.database.finish([outcome._replace(state=State.SUCCEEDED)], worker) == set()
    assert await cancelling.cancel(ledger.database, [claim.id], "late") == {}
    assert await ledger.past(claim.id) == past


async def test_a_batch_may_have_the_same_outcome_twice(ledger: Any) -> None:
    worker = await ledger.worker()
    claim, other = await ledger.running(worker), await ledger.running(worker)
    batch = [done(claim), done(other), done(claim)]
    assert await ledger.database.finish(batch, worker) == {claim.id, other.id}


async def test_a_batch_finishes_those_that_are_ours(ledger: Any) -> None:
    worker, other = await ledger.worker(), await ledger.worker()
    mine = [await ledger.running(worker) for _ in range(3)]
    theirs = await ledger.running(other)
    assert await ledger.database.finish([done(c) for c in [*mine, theirs]], worker) == {c.id for c in mine}
    assert (await ledger.row(theirs.id))["state"] == State.RUNNING


async def test_each_failed_attempt_is_kept(ledger: Any) -> None:
    database, worker = ledger.database, await ledger.worker()
    id_ = await ledger.job()
    for n in range(1, 4):
        (claim,) = await ledger.claim(worker, id_)
        assert claim.attempt == n
        failed = again(claim)._replace(entry=json.dumps({"attempt": n}))
        assert await database.again([failed], worker) == {id_}
        row = await ledger.row(id_)
        assert (row["state"], row["worker"], row["reason"]) == (State.RETRYING, None, "failed")
        assert [ring.id for ring in await waiting.promote(database)] == [id_]
    assert json.loads((await ledger.row(id_))["attempts"]) == [{"attempt": n} for n in (1, 2, 3)]


async def test_release_gives_back_without_burning_an_attempt(ledger: Any) -> None:
    database, worker = ledger.database, await ledger.worker()
    claim = await ledger.running(worker)
    await database.drop_sent(await waiting.entries(database, [claim.id]))
    await waiting.release(database, [(claim.id, claim.claim)], worker)
    row = await ledger.row(claim.id)
    assert (row["state"], row["attempt"], row["worker"]) == (State.QUEUED, 0, None)
    assert await ledger.outbox() == {claim.id}
    (second,) = await ledger.claim(await ledger.worker(), claim.id)
    assert second.attempt == 1


# --- progress and checkpoints


async def test_the_latest_progress_is_kept(ledger: Any) -> None:
    from hopyard.ledger.values import Progress

    id_, other = await ledger.job(), await ledger.job()
    for current in (1.0, 2.5):
        await notes.write_progress(
            ledger.database,
            [Progress(id_, current, 10.0, f"at {current}", utcnow()), Progress(other, 0, None, "", utcnow())],
        )
    rows = await ledger.database.fetch("SELECT * FROM job_progress WHERE job_id = $1", id_)
    assert [(row["current"], row["total"], row["message"]) for row in rows] == [(2.5, 10.0, "at 2.5")]


async def test_a_checkpoint_replaces_the_one_before(ledger: Any) -> None:
    worker = await ledger.worker()
    claim = await ledger.running(worker)
    for page in (1, 2):
        await notes.write_checkpoint(
            ledger.database, claim.id, (worker, claim.claim), {"page": page, "s": "ü"}
        )
    assert await ledger.checkpoint(claim.id) == {"page": 2, "s": "ü"}


# --- a database that is away


async def test_a_database_that_cannot_be_reached_is_named_as_such(tmp_path: Any) -> None:
    for url in (f"sqlite:///{tmp_path}/none/x.db", "postgresql://hopyard@127.0.0.1:1/none"):
        database = open_database(url)
        with pytest.raises(LedgerUnavailable):
            await database.fetch("SELECT 1 AS one")
        await database.close()


@pytest.mark.parametrize("database_url", ["postgres"], indirect=True)
async def test_an_answer_is_waited_for_as_long_as_the_caller_said(database_url: str) -> None:
    impatient = open_database(database_url, 0.2)
    with pytest.raises(LedgerUnavailable, match="TimeoutError"):
        await impatient.fetch("SELECT pg_sleep(60)")
    assert [tuple(row) for row in await impatient.fetch("SELECT 1")] == [(1,)], "on another connection"  # type: ignore[comparison-overlap]
    await impatient.close()


async def test_a_statement_that_is_wrong_is_no_outage(database: Database) -> None:
    """Else it would be tried for ever."""
    with pytest.raises(Exception, match="nothing_of_this_name") as caught:
        await database.fetch("SELECT * FROM nothing_of_this_name")
    assert not isinstance(caught.value, LedgerUnavailable)


async def test_an_unknown_scheme_is_refused() -> None:
    with pytest.raises(LedgerError, match="expected postgresql or sqlite"):
        open_database("mysql://localhost/x")
