"""Why a job is not running: each reason in words, on both databases."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from click.testing import CliRunner
from engines import Lab
from hopyard.cli import main
from hopyard.errors import UnknownJob
from hopyard.ledger import cancelling, leader, queues, waiting, workers
from hopyard.ledger.explaining import STOPS, explain, explain_key
from hopyard.ledger.keys import submit_unique
from hopyard.ledger.values import Again, Done, utcnow
from hopyard.specs import State, Unique

NOBODY = "00000000-0000-0000-0000-000000000000"


async def reasons(ledger: Any, id_: str, pool: str = "") -> str:
    return "\n".join(await explain(ledger.database, id_, {"site.echo": pool}))


async def rung(ledger: Any, *ids: str) -> None:
    await ledger.database.drop_sent(await waiting.entries(ledger.database, ids))


async def test_a_paused_queue_says_by_whom_and_since_when(ledger: Any) -> None:
    id_ = await ledger.job(queue="a")
    await ledger.worker(queue="a", plugins={"site": "1"})
    await queues.pause(ledger.database, "a", "ops (the mail server moves)")
    (row,) = await queues.overview(ledger.database, [])
    since = row["paused"].isoformat(timespec="seconds")
    assert f"queue a was paused by ops (the mail server moves) at {since}" in await reasons(ledger, id_)
    later = await ledger.job(queue="a", state=State.SCHEDULED, eta=utcnow() + timedelta(hours=1))
    assert "queue a was paused by ops" in await reasons(ledger, later)


async def test_without_any_worker_that_is_said(ledger: Any) -> None:
    id_ = await ledger.job(queue="a")
    assert "no live worker works on queue a: none is alive at all" in await reasons(ledger, id_)


async def test_the_workers_that_live_are_named_with_what_they_serve(ledger: Any) -> None:
    id_ = await ledger.job(queue="a")
    await ledger.worker("other@here", queue="b")
    dead = await ledger.worker("dead@here", queue="a")
    await workers.leave(ledger.database, dead)
    told = await reasons(ledger, id_)
    assert "no live worker works on queue a (1 are alive: other@here works on b)" in told


async def test_a_plugin_that_no_worker_has_is_named(ledger: Any) -> None:
    id_ = await ledger.job(queue="a", task="weather.refresh")
    await ledger.worker("w@here", queue="a", plugins={"ai": "1"})
    told = await reasons(ledger, id_)
    assert "no live worker of queue a has plugin weather (w@here has ai)" in told
    await ledger.worker("v@here", queue="a", plugins={"weather": "1"})
    assert "plugin weather" not in await reasons(ledger, id_)


async def test_a_job_behind_others_says_how_many_and_how_old(ledger: Any) -> None:
    worker = await ledger.worker(queue="a", plugins={"site": "1"})
    await ledger.running(worker, queue="a")
    first, second = sorted([await ledger.job(queue="a") for _ in range(2)])  # of one moment, maybe
    await ledger.later("job_live", "created", 3600)
    await rung(ledger, first, second)
    assert "1 jobs of queue a run now and 0 wait before it" in await reasons(ledger, first)
    told = await reasons(ledger, second)
    assert "1 jobs of queue a run now and 1 wait before it, the oldest for 36" in told
    urgent = await ledger.job(queue="a", priority=9)
    assert "0 wait before it" in await reasons(ledger, urgent)


async def test_a_job_whose_message_was_not_sent_says_so(ledger: Any) -> None:
    await ledger.worker(queue="a", plugins={"site": "1"})
    id_ = await ledger.job(queue="a")
    told = await reasons(ledger, id_)
    assert "its message was not sent yet" in told
    assert "no worker leads the reconciling" in told
    await leader.lead(ledger.database, "reconcile", "somebody", 60)
    assert "leads" not in await reasons(ledger, id_)


async def test_a_job_that_waits_for_its_time_says_when(ledger: Any) -> None:
    eta = utcnow() + timedelta(hours=1)
    id_ = await ledger.job(state=State.SCHEDULED, eta=eta)
    told = await reasons(ledger, id_)
    assert f"it waits until {eta.isoformat(timespec='seconds')}, in 3" in told


async def test_a_job_that_waits_for_its_next_attempt_says_what_went_wrong(ledger: Any) -> None:
    worker = await ledger.worker()
    claim = await ledger.running(worker)
    eta = utcnow() + timedelta(hours=1)
    await ledger.database.again(
        [Again(claim.id, claim.claim, eta, "attempt 1 failed: Boom: no luck", "{}")], worker
    )
    told = await reasons(ledger, claim.id)
    assert f"it waits for its next attempt until {eta.isoformat(timespec='seconds')}" in told
    assert "attempt 1 failed: Boom: no luck" in told
    await ledger.later("job_live", "eta", 7200)
    assert "which is due: attempt 1" in await reasons(ledger, claim.id)


async def test_a_parked_job_says_why_and_what_helps(ledger: Any) -> None:
    id_ = await ledger.job()
    await waiting.park(ledger.database, [id_], "no worker here knows task site.echo")
    told = await reasons(ledger, id_)
    assert "it is parked: no worker here knows task site.echo" in told
    assert "the first worker that starts and knows the task site.echo" in told


async def test_a_running_job_says_where_and_how_long_its_lease_lasts(ledger: Any) -> None:
    worker = await ledger.worker("w@here", lease=3600)
    claim = await ledger.running(worker)
    told = await reasons(ledger, claim.id)
    assert "on w@here (pid " in told
    assert "that worker's lease lasts 3" in told
    assert "told to stop" not in told
    await ledger.later("worker", "beat", 7200)
    told = await reasons(ledger, claim.id)
    assert "that worker's lease has run out: the job will be given to another one" in told
    assert "no worker leads the reconciling" in told
    await ledger.database.execute("DELETE FROM worker")
    assert f"on worker {worker}, which nobody knows any more" in await reasons(ledger, claim.id)


@pytest.mark.parametrize("pool", STOPS)
async def test_a_running_job_that_was_cancelled_says_how_it_stops(ledger: Any, pool: str) -> None:
    claim = await ledger.running(await ledger.worker())
    await cancelling.cancel(ledger.database, [claim.id], "enough by ada")
    assert f"it was told to stop (enough by ada): {STOPS[pool]}" in await reasons(ledger, claim.id, pool)


async def test_a_job_that_is_over_says_how_it_ended(ledger: Any) -> None:
    database, worker = ledger.database, await ledger.worker()
    error = '{"kind": "Boom", "message": "no luck"}'
    for state, told in ((State.SUCCEEDED, ""), (State.DEAD, ": Boom: no luck")):
        claim = await ledger.running(worker)
        await database.finish(
            [Done(claim.id, claim.claim, state, None, error if told else None, None)], worker
        )
        over = await reasons(ledger, claim.id)
        assert over.startswith(f"it is over: {state.label} at ")
        assert over.endswith(told)
    id_ = await ledger.job()
    await cancelling.cancel(database, [id_], "enough by ada")
    assert (await reasons(ledger, id_)).endswith(": enough by ada")
    with pytest.raises(UnknownJob):
        await explain(database, NOBODY)


async def test_a_key_names_the_job_that_holds_it(ledger: Any) -> None:
    database, first, second = ledger.database, ledger.new(), ledger.new()
    assert await submit_unique(database, first, Unique("report:ada")) == (first.id, True)
    refused = await submit_unique(database, second, Unique("report:ada"))
    assert refused == (first.id, False), "who is refused is told who holds the key"
    told = await explain_key(database, "report:ada")
    assert told[0] == f"the key report:ada is held by job {first.id} until it is over"
    assert "no live worker works on queue q" in told[1]
    await cancelling.cancel(database, [first.id], "enough")
    assert await explain_key(database, "report:ada") == [
        "nobody holds the key report:ada: the next job with it is accepted"
    ]
    await submit_unique(database, second, Unique("hourly", seconds=3600))
    assert "until 20" in (await explain_key(database, "hourly"))[0]


async def test_the_command_explains_jobs_and_keys(lab: Lab) -> None:
    import asyncio

    handle = await lab.hopyard.task("site.plain").options(unique="only one").submit()
    place = ["--config", str(lab.hopyard.settings.file), "explain"]

    async def said(*arguments: str) -> Any:
        return await asyncio.to_thread(CliRunner().invoke, main, [*place, *arguments])

    by_id, by_key = await said(handle.id), await said("--key", "only one")
    assert "no live worker works on queue site" in by_id.output
    assert f"the key only one is held by job {handle.id}" in by_key.output
    assert (await said()).exit_code == 2
