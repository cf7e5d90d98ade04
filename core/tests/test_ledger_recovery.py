"""Whatever dies in between, a job is run again, and by one: leases, crashes, rings, leadership, retention."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from hopyard.errors import LedgerUnavailable
from hopyard.ledger import cancelling, crashes, leader, notes, postgres, retention, waiting, workers
from hopyard.ledger.database import Database
from hopyard.ledger.values import Claim, Done, Progress, utcnow
from hopyard.specs import State


async def lose(ledger: Any, worker: int, seconds: float = 60.0) -> None:
    """Let a worker's last heartbeat be so long ago."""
    beat = ledger.database.dialect.plus("beat", "$2")
    await ledger.database.execute(f"UPDATE worker SET beat = {beat} WHERE id = $1", worker, -seconds)


# --- leases


async def test_a_worker_within_its_lease_keeps_its_jobs(ledger: Any) -> None:
    worker = await ledger.worker(lease=15)
    claim = await ledger.running(worker)
    await lose(ledger, worker, 10)
    assert await workers.rescue(ledger.database) == ([], [], [])
    assert (await ledger.row(claim.id))["state"] == State.RUNNING


async def test_the_jobs_of_a_lost_worker_are_queued_again(ledger: Any) -> None:
    database = ledger.database
    lost, alive = await ledger.worker("lost", lease=3), await ledger.worker("alive", lease=3)
    claims = [await ledger.running(lost) for _ in range(3)]
    other = await ledger.running(alive)
    await database.drop_sent(await waiting.entries(database, [*(claim.id for claim in claims), other.id]))
    await lose(ledger, lost, 4)
    rescued = await workers.rescue(database)
    assert (rescued.workers, rescued.dead) == ([lost], 0)
    assert {ring.id for ring in rescued.again if ring.first} == {claim.id for claim in claims}
    for claim in claims:
        row = await ledger.row(claim.id)
        assert (row["state"], row["worker"], row["crashes"]) == (State.QUEUED, None, 1)
        entry = json.loads(row["attempts"])[0]
        assert (entry["worker"], entry["name"], entry["attempt"]) == (lost, "lost", 1)
    assert await ledger.outbox() == {claim.id for claim in claims}
    assert (await ledger.row(other.id))["state"] == State.RUNNING
    assert await workers.rescue(database) == ([], [], [])


@pytest.mark.parametrize("where", ["between statements", "in the midst of one"])
async def test_a_process_frozen_in_a_transaction_blocks_nobody_for_long(
    ledger: Any, connect: Callable[[], Database], monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    """Its locks end with its session: PostgreSQL's own time limit, for TCP would keep it for hours."""
    if ledger.database.dialect.name != "postgresql":
        pytest.skip("SQLite has one lock, which a frozen process holds")
    idle = where == "between statements"
    monkeypatch.setattr(postgres, "IDLE_SECONDS", 0.5)
    worker = await ledger.worker(lease=3)
    claim = await ledger.running(worker)
    await lose(ledger, worker, 4)

    async def freeze() -> None:
        async with connect().transaction() as frozen:
            await frozen.execute("UPDATE job_live SET priority = 1 WHERE id = $1", claim.id)
            if not idle:  # prepared, and not executed: the server waits for the rest
                await frozen._raw.prepare("SELECT 2")  # type: ignore[attr-defined]
                while not await ledger.database.evict():
                    await asyncio.sleep(0.05)
            assert (await workers.rescue(ledger.database)).workers == [worker]
            await frozen.execute("SELECT 1")

    with pytest.raises(LedgerUnavailable):  # so it hears of it when it goes on
        await freeze()
    assert (await ledger.row(claim.id))["state"] == State.QUEUED


@pytest.mark.parametrize("turns", range(4))
async def test_a_process_that_slept_through_the_end_of_its_session_is_told(
    ledger: Any, connect: Callable[[], Database], turns: int
) -> None:
    """However far its loop has come in reading it: what is no `HopyardError` ended a scheduler."""
    if ledger.database.dialect.name != "postgresql":
        pytest.skip("SQLite has no sessions")

    def end(pid: int) -> None:
        """Return once the session is over: `pg_stat_activity` no longer shows it."""
        other = connect()

        async def terminate() -> None:
            await other.fetch("SELECT pg_terminate_backend($1)", pid)
            while await other.fetch("SELECT 1 FROM pg_stat_activity WHERE pid = $1", pid):
                await asyncio.sleep(0.02)
            await other.close()

        asyncio.run(terminate())

    async def sleep() -> None:
        async with ledger.database.transaction() as tx:
            pid = (await tx.fetch("SELECT pg_backend_pid() AS pid"))[0]["pid"]
            thread = threading.Thread(target=end, args=(pid,))
            thread.start()
            thread.join()  # this loop stands still meanwhile
            for _ in range(turns):
                await asyncio.sleep(0)

    with pytest.raises(LedgerUnavailable):
        await sleep()
    assert await ledger.database.fetch("SELECT 1")


async def test_a_beat_renews_a_lease_and_fails_after_the_rescue(ledger: Any) -> None:
    database, worker = ledger.database, await ledger.worker(lease=3)
    await lose(ledger, worker, 4)
    assert await workers.beat(database, worker)
    assert await workers.rescue(database) == ([], [], [])
    await lose(ledger, worker, 4)
    await workers.rescue(database)
    assert not await workers.beat(database, worker)


async def test_a_clock_that_was_set_back_loses_the_lease_instead_of_keeping_it_for_ever(ledger: Any) -> None:
    """As after a reboot on SQLite, whose lease clock starts anew."""
    worker = await ledger.worker()
    claim = await ledger.running(worker)
    await lose(ledger, worker, -7200)
    assert (await workers.rescue(ledger.database)).workers == [worker]
    assert (await ledger.row(claim.id))["state"] == State.QUEUED


async def test_a_worker_that_leaves_gives_everything_back(ledger: Any) -> None:
    """Nobody would rescue its jobs later: it did not die."""
    worker, other = await ledger.worker(), await ledger.worker()
    claim, theirs = await ledger.running(worker), await ledger.running(other)
    await ledger.database.drop_sent(await waiting.entries(ledger.database, [claim.id, theirs.id]))
    await workers.leave(ledger.database, worker)
    row = await ledger.row(claim.id)
    assert (row["state"], row["attempt"], row["crashes"]) == (State.QUEUED, 0, 0)
    assert await ledger.outbox() == {claim.id}
    assert (await ledger.row(theirs.id))["state"] == State.RUNNING


async def test_a_worker_that_was_given_up_claims_nothing(ledger: Any) -> None:
    lost, left, alive = await ledger.worker(), await ledger.worker(), await ledger.worker()
    await lose(ledger, lost)
    await workers.rescue(ledger.database)
    await workers.leave(ledger.database, left)
    id_ = await ledger.job()
    assert await ledger.claim(lost, id_) == await ledger.claim(left, id_) == []
    assert await workers.given_up(ledger.database, lost)
    assert await workers.given_up(ledger.database, left)
    assert not await workers.given_up(ledger.database, alive)
    assert (await ledger.row(id_))["state"] == State.QUEUED
    assert len(await ledger.claim(alive, id_)) == 1


async def test_a_worker_that_left_is_not_rescued(ledger: Any) -> None:
    worker = await ledger.worker()
    await workers.leave(ledger.database, worker)
    await lose(ledger, worker, 600)
    assert await workers.rescue(ledger.database) == ([], [], [])


async def test_a_job_whose_workers_keep_dying_ends_dead(ledger: Any) -> None:
    database, id_ = ledger.database, await ledger.job()
    for crash in range(1, crashes.MAX_CRASHES + 1):
        worker = await ledger.worker()
        (claim,) = await ledger.claim(worker, id_)
        assert (claim.attempt, claim.crashes) == (crash, crash - 1)
        await lose(ledger, worker)
        rescued = await workers.rescue(database)
        last = crash == crashes.MAX_CRASHES
        assert (len(rescued.again), rescued.dead) == ((0, 1) if last else (1, 0))
    assert await ledger.row(id_) is None
    past = await ledger.past(id_)
    assert (past["state"], past["crashes"]) == (State.DEAD, 3)
    assert json.loads(past["error"])["kind"] == "WorkerLost"
    assert len(json.loads(past["attempts"])) == 3


async def test_two_rescuers_rescue_once(ledger: Any, connect: Callable[[], Database]) -> None:
    worker = await ledger.worker()
    for _ in range(5):
        await ledger.running(worker)
    await lose(ledger, worker)
    done = await asyncio.gather(*(workers.rescue(connect()) for _ in range(4)))
    assert sorted(len(rescued.again) for rescued in done) == [0, 0, 0, 5]


# --- time


async def test_a_job_is_queued_when_its_time_has_come(ledger: Any) -> None:
    database = ledger.database
    now = utcnow()
    soon = await ledger.job(state=State.SCHEDULED, eta=now + timedelta(hours=1))
    past = await ledger.job(state=State.SCHEDULED, eta=now - timedelta(seconds=1))
    assert await waiting.next_eta(database) == now - timedelta(seconds=1)
    assert [ring.id for ring in await waiting.promote(database)] == [past]
    row = await ledger.row(past)
    assert (row["state"], row["eta"]) == (State.QUEUED, None)
    assert await ledger.outbox() == {past}
    assert await waiting.next_eta(database) == now + timedelta(hours=1)
    assert await waiting.promote(database) == []
    assert (await ledger.row(soon))["state"] == State.SCHEDULED


async def test_more_due_jobs_than_a_batch_come_in_batches(ledger: Any) -> None:
    eta = utcnow() - timedelta(seconds=5)
    jobs = [ledger.new(state=State.SCHEDULED, eta=eta + timedelta(milliseconds=n)) for n in range(5)]
    await ledger.database.submit(jobs)
    first = await waiting.promote(ledger.database, 3)
    second = await waiting.promote(ledger.database, 3)
    assert [{ring.id for ring in batch} for batch in (first, second)] == [
        {job.id for job in jobs[:3]},
        {job.id for job in jobs[3:]},
    ]


# --- rings


async def test_the_relay_finds_what_nobody_rang_for(ledger: Any) -> None:
    database = ledger.database
    id_ = await ledger.job(body='[[], {"n": 2}, null]', priority=7)
    assert await waiting.unsent(database, 2.0) == []
    await ledger.later("job_outbox", "created", 3)
    (ring,) = await waiting.unsent(database, 2.0)
    assert (ring.id, ring.queue, ring.priority, ring.body) == (id_, "q", 7, '[[], {"n": 2}, null]')
    await database.drop_sent(await waiting.entries(database, [id_]))
    assert await ledger.outbox() == set()
    assert await waiting.unsent(database, -1.0) == []


async def test_the_relay_drops_entries_of_jobs_that_run_or_are_over(ledger: Any) -> None:
    worker = await ledger.worker()
    over = await ledger.running(worker)
    await ledger.running(worker)
    await ledger.database.finish([Done(over.id, over.claim, State.SUCCEEDED, "1", None, None)], worker)
    assert len(await ledger.outbox()) == 2
    assert await waiting.unsent(ledger.database, -1.0) == []
    assert await ledger.outbox() == set()


async def test_forgotten_jobs_are_rung_at_most_once_a_minute(ledger: Any) -> None:
    database = ledger.database
    id_, other = await ledger.job(), await ledger.job(queue="other")
    assert await waiting.forgotten(database, ["q"], 5.0) == []
    await ledger.later("job_live", "created", 10)
    assert [ring.id for ring in await waiting.forgotten(database, ["q"], 5.0)] == [id_]
    assert await waiting.forgotten(database, ["q"], 5.0) == []
    await ledger.later("job_live", "rung", waiting.RESEND_PAUSE + 1)
    assert [ring.id for ring in await waiting.forgotten(database, ["q", "none"], 5.0)] == [id_]
    assert [ring.id for ring in await waiting.forgotten(database, ["other"], 0.0)] == [other]


async def test_running_jobs_are_not_forgotten(ledger: Any) -> None:
    await ledger.running(await ledger.worker())
    assert await waiting.forgotten(ledger.database, ["q"], 0.0) == []


# --- parked


async def test_a_parked_job_waits_for_a_worker_that_knows_its_task(ledger: Any) -> None:
    database = ledger.database
    id_ = await ledger.job(task="gone.task")
    await waiting.park(database, [id_], "no worker knows gone.task")
    row = await ledger.row(id_)
    assert (row["state"], row["reason"]) == (State.PARKED, "no worker knows gone.task")
    assert await waiting.unpark(database, ["site.echo"]) == 0
    await database.drop_sent(await waiting.entries(database, [id_]))
    assert await waiting.unpark(database, ["site.echo", "gone.task"]) == 1
    row = await ledger.row(id_)
    assert (row["state"], row["reason"]) == (State.QUEUED, None)
    assert await ledger.outbox() == {id_}


async def test_a_running_job_is_not_parked(ledger: Any) -> None:
    claim = await ledger.running(await ledger.worker())
    await waiting.park(ledger.database, [claim.id], "x")
    assert (await ledger.row(claim.id))["state"] == State.RUNNING


# --- cancelling


@pytest.mark.parametrize("state", [State.SCHEDULED, State.QUEUED, State.RETRYING, State.PARKED])
async def test_a_waiting_job_is_cancelled_at_once(ledger: Any, state: State) -> None:
    id_ = await ledger.job(state=state)
    assert await cancelling.cancel(ledger.database, [id_], "no more") == {id_: State.CANCELLED}
    assert await ledger.row(id_) is None
    past = await ledger.past(id_)
    assert (past["state"], past["reason"]) == (State.CANCELLED, "no more")
    assert await ledger.claim(await ledger.worker(), id_) == []


async def test_a_running_jobs_worker_is_told(ledger: Any) -> None:
    database, worker = ledger.database, await ledger.worker()
    seen = await workers.last_command(database)
    claim = await ledger.running(worker)
    assert await cancelling.cancel(database, [claim.id], "no more") == {claim.id: State.RUNNING}
    (command,) = await workers.commands_since(database, seen)
    assert (command.kind, command.target) == ("cancel", claim.id)
    assert command in await workers.commands_since(database, command.n), "read again for a while"
    await ledger.later("command", "created", 3600)
    assert await workers.commands_since(database, command.n) == []
    assert (await ledger.row(claim.id))["state"] == State.RUNNING


async def test_a_cancel_outlives_the_worker_that_was_told(ledger: Any) -> None:
    """The next claim of the job says that it is to be cancelled."""
    worker = await ledger.worker()
    claim = await ledger.running(worker)
    assert not claim.cancel
    await cancelling.cancel(ledger.database, [claim.id], "no more")
    await lose(ledger, worker)
    await workers.rescue(ledger.database)
    (second,) = await ledger.claim(await ledger.worker(), claim.id)
    assert second.cancel is True


async def test_a_claim_and_a_cancel_at_once_leave_one_owner(
    ledger: Any, connect: Callable[[], Database]
) -> None:
    worker = await ledger.worker()
    jobs = [ledger.new() for _ in range(50)]
    await ledger.database.submit(jobs)
    ids = [job.id for job in jobs]
    one, two = connect(), connect()

    async def claim() -> list[Claim]:
        return [found for id_ in ids for found in await one.claim([id_], worker, 1)]

    async def cancel() -> dict[str, State]:
        found: dict[str, State] = {}
        for id_ in ids:
            found |= await cancelling.cancel(two, [id_], "x")
        return found

    claimed, cancelled = await asyncio.gather(claim(), cancel())
    at_once = {id_ for id_, state in cancelled.items() if state is State.CANCELLED}
    assert at_once.isdisjoint(found.id for found in claimed)
    assert set(cancelled) == set(ids)
    assert len(at_once) + len(claimed) == len(ids)


# --- leadership


async def test_one_process_leads(ledger: Any) -> None:
    database = ledger.database
    assert await leader.lead(database, "duty", "a", 10) == 1
    assert await leader.lead(database, "duty", "b", 10) is None
    assert await leader.lead(database, "duty", "a", 10) == 1
    assert await leader.lead(database, "other", "b", 10) == 1
    async with database.transaction() as tx:
        assert await leader.leads(tx, database.dialect, "duty", "a", 1)
        assert not await leader.leads(tx, database.dialect, "duty", "b", 1)


async def test_a_new_leader_has_a_new_term_and_the_old_one_is_refused(ledger: Any) -> None:
    database = ledger.database
    await leader.lead(database, "duty", "a", 10)
    await ledger.later("leader", "until", 11)
    assert await leader.lead(database, "duty", "b", 10) == 2
    assert await leader.lead(database, "duty", "a", 10) is None
    async with database.transaction() as tx:
        assert not await leader.leads(tx, database.dialect, "duty", "a", 1)
        assert not await leader.leads(tx, database.dialect, "duty", "b", 1)
        assert await leader.leads(tx, database.dialect, "duty", "b", 2)


async def test_who_resigns_makes_room_at_once(ledger: Any) -> None:
    database = ledger.database
    await leader.lead(database, "duty", "a", 10)
    await leader.resign(database, "duty", "a")
    assert await leader.lead(database, "duty", "b", 10) == 2


async def test_of_many_candidates_one_leads(ledger: Any, connect: Callable[[], Database]) -> None:
    terms = await asyncio.gather(*(leader.lead(connect(), "duty", str(n), 10) for n in range(6)))
    assert sorted(terms, key=str) == [1, None, None, None, None, None]


# --- retention


async def test_retention_removes_what_is_old_and_keeps_dead_jobs(ledger: Any) -> None:
    database, worker = ledger.database, await ledger.worker()
    ended = {}
    for state in (State.SUCCEEDED, State.CANCELLED, State.DEAD):
        claim = await ledger.running(worker)
        await notes.write_checkpoint(database, claim.id, (worker, claim.claim), {"page": 1})
        await database.finish([Done(claim.id, claim.claim, state, None, None, None)], worker)
        ended[state] = claim.id
    young = await ledger.running(worker)
    await ledger.later("job_history", "finished", 31 * 86400)
    await database.finish([Done(young.id, young.claim, State.SUCCEEDED, "1", None, None)], worker)
    gone = await retention.prune(database, progress_days=7, results_days=30)
    assert gone["job_history"] == 2
    kept = {str(row["id"]) for row in await database.fetch("SELECT id FROM job_history")}
    assert kept == {ended[State.DEAD], young.id}
    left = [str(row["job_id"]) for row in await database.fetch("SELECT job_id FROM job_checkpoint")]
    assert left == [ended[State.DEAD]]


async def test_progress_goes_earlier_than_results_but_not_that_of_live_jobs(ledger: Any) -> None:
    database, worker = ledger.database, await ledger.worker()
    live, over = await ledger.running(worker), await ledger.running(worker)
    old = utcnow() - timedelta(days=8)
    await notes.write_progress(database, [Progress(claim.id, 1, 2, "", old) for claim in (live, over)])
    await database.finish([Done(over.id, over.claim, State.SUCCEEDED, "1", None, None)], worker)
    assert (await retention.prune(database, progress_days=7, results_days=30))["job_progress"] == 1
    rows = await database.fetch("SELECT job_id FROM job_progress")
    assert [str(row["job_id"]) for row in rows] == [live.id]
    assert await ledger.past(over.id)


async def test_retention_works_in_batches(ledger: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention, "BATCH", 4)
    database, worker = ledger.database, await ledger.worker()
    for _ in range(6):
        claim = await ledger.running(worker)
        await database.finish([Done(claim.id, claim.claim, State.SUCCEEDED, "1", None, None)], worker)
    await ledger.later("job_history", "finished", 31 * 86400)
    counts = [
        (await retention.prune(database, progress_days=7, results_days=30))["job_history"] for _ in range(3)
    ]
    assert counts == [4, 2, 0]


async def test_what_stands_around_jobs_is_removed_too(ledger: Any) -> None:
    database = ledger.database
    worker = await ledger.worker()
    running = await ledger.worker()
    await workers.leave(database, worker)
    claim = await ledger.running(running)
    await cancelling.cancel(database, [claim.id], "x")
    await database.execute(
        f"INSERT INTO notification (id, person, title, body, data, created) "
        f"VALUES ($1, 'ada', 't', 'b', '{{}}', {database.dialect.now})",
        claim.id,
    )
    await database.execute(
        f"INSERT INTO delivery (notification_id, channel, state, attempts, updated) "
        f"VALUES ($1, 'c', 'delivered', 1, {database.dialect.now})",
        claim.id,
    )
    old = {"worker": "stopped", "command": "created", "notification": "created", "delivery": "updated"}
    for table, column in old.items():
        await ledger.later(table, column, 31 * 86400)
    await retention.prune(database, progress_days=7, results_days=30)
    assert await ledger.count("command") == 0
    assert await ledger.count("notification") == 0
    assert await ledger.count("delivery") == 0
    rows = await database.fetch("SELECT id FROM worker")
    assert [row["id"] for row in rows] == [running]


async def test_all_queued_jobs_can_be_paged_through(ledger: Any) -> None:
    """After a broker lost its memory: each once, in pages, whatever was rung before."""
    database = ledger.database
    ids = {await ledger.job(queue=queue) for queue in ("a", "b") for _ in range(3)}
    await waiting.forgotten(database, ["a"], 0.0)
    await ledger.running(await ledger.worker())
    seen, last = list[str](), ("", "00000000-0000-0000-0000-000000000000")
    while page := await waiting.queued_after(database, last, 4):
        seen += [ring.id for ring in page]
        last = (page[-1].queue, page[-1].id)
    assert len(seen) == 6
    assert set(seen) == ids


async def test_the_queues_of_live_workers_are_known(ledger: Any) -> None:
    await ledger.worker(queue="a")
    lost = await ledger.worker(queue="b", lease=3)
    await lose(ledger, lost, 4)
    assert await workers.served_queues(ledger.database) == {"a"}


async def test_a_caller_that_is_cancelled_at_the_beginning_leaves_no_transaction_open(
    connect: Callable[[], Database],
) -> None:
    """On SQLite the write lock is waited for: a cancel there must give it back."""
    holder, waiter = connect(), connect()

    async def wait() -> None:
        async with waiter.transaction():
            """Not reached: it is cancelled while it waits for the lock."""

    async with holder.transaction() as tx:
        await tx.execute("DELETE FROM command")
        waiting_task = asyncio.create_task(wait())
        await asyncio.sleep(0)
        waiting_task.cancel()
    await asyncio.wait([waiting_task])
    async with waiter.transaction() as tx:
        await tx.execute("DELETE FROM command")
