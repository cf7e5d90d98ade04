"""Submitting and waiting in one event loop: shared commits, one caller's fault, a broker that is away."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Any

import pytest
from hopyard import current
from hopyard.broker.publisher import redis_key
from hopyard.errors import (
    BrokerError,
    JobCancelled,
    JobFailed,
    LedgerError,
    LedgerUnavailable,
    ResultTimeout,
    UnknownJob,
)
from hopyard.ledger import cancelling, waiting
from hopyard.ledger.database import Database
from hopyard.ledger.values import Claim, Done, NewJob, QueueMessage, derived_id, new_id
from hopyard.specs import State, Unique
from hopyard.tasks.client import Client, Ended, raise_unless_succeeded
from hopyard.tasks.handle import JobHandle

Ledger = Any


class Bell:
    """A publisher that keeps what it is given, or fails as told."""

    def __init__(self) -> None:
        self.rung: list[str] = []
        self.error: BaseException | None = None
        self.hangs = False
        self.meanwhile: Callable[[], Awaitable[None]] | None = None

    async def publish(self, rings: Sequence[QueueMessage]) -> None:
        if self.meanwhile is not None:
            await self.meanwhile()
        if self.error is not None:
            raise self.error
        if self.hangs:
            await asyncio.Event().wait()
        self.rung += [ring.id for ring in rings]

    async def close(self) -> None:
        """Nothing is open."""


class Here:
    """What handles need of a Hopyard."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def client(self) -> Client:
        return self._client


@pytest.fixture
def bell() -> Bell:
    return Bell()


@pytest.fixture
async def client(connect: Callable[[], Database], bell: Bell) -> AsyncIterator[Client]:
    made = Client(connect(), bell)  # type: ignore[arg-type]
    current.set_instance(Here(made))
    yield made
    current.set_instance(None)
    await made.close()


class Counted:
    """Counts the calls of one method of a database, and can replace it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, database: Database, name: str) -> None:
        self.calls: list[tuple[Any, ...]] = []
        self.errors: list[BaseException] = []
        original = getattr(database, name)

        async def call(*arguments: Any, **options: Any) -> Any:
            self.calls.append(arguments)
            if self.errors:
                await asyncio.sleep(0)  # as long as an answer takes
                raise self.errors.pop(0)
            return await original(*arguments, **options)

        monkeypatch.setattr(database, name, call)


# --- submitting


async def test_callers_at_the_same_time_share_a_commit(
    client: Client, ledger: Ledger, bell: Bell, monkeypatch: pytest.MonkeyPatch, until: Any
) -> None:
    commits = Counted(monkeypatch, client.database, "submit")
    jobs = [ledger.new() for _ in range(200)]
    new = await asyncio.gather(*(client.submit([job]) for job in jobs))
    assert new == [{job.id} for job in jobs], "each caller hears of its own job"
    assert len(commits.calls) <= 2
    assert await ledger.count("job_live") == 200
    assert sorted(bell.rung) == sorted(job.id for job in jobs)


async def test_a_rung_jobs_outbox_entry_goes(client: Client, ledger: Ledger) -> None:
    await client.submit([ledger.new() for _ in range(3)])
    await client.close()
    assert await ledger.outbox() == set()


async def test_an_entry_that_a_hand_back_wrote_stays(client: Client, ledger: Ledger) -> None:
    """The broker got the first message, and nobody has rung for the second time yet."""
    worker, job = await ledger.worker(), ledger.new()
    await client.submit([job], fresh=True)
    (claim,) = await ledger.claim(worker, job.id)
    await waiting.release(client.database, [(job.id, claim.claim)], worker)
    await client.close()
    assert await ledger.outbox() == {job.id}


async def test_a_commit_takes_a_thousand_jobs(
    client: Client, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    commits = Counted(monkeypatch, client.database, "submit")
    await asyncio.gather(*(client.submit([ledger.new() for _ in range(600)]) for _ in range(3)))
    assert [len(jobs) for (jobs,) in commits.calls] == [600, 600, 600]


async def test_the_same_id_is_accepted_once(client: Client, ledger: Ledger, bell: Bell) -> None:
    job = ledger.new()
    first, second = await asyncio.gather(client.submit([job]), client.submit([job]))
    assert first == {job.id}
    assert second <= {job.id}
    assert await client.submit([job]) == set()
    assert await ledger.count("job_live") == 1
    assert set(bell.rung) == {job.id}


async def test_a_refused_row_fails_only_its_caller(client: Client, ledger: Ledger, bell: Bell) -> None:
    good, bad, other = ledger.new(), ledger.new(task=None), ledger.new()
    answers = await asyncio.gather(
        *(client.submit([job]) for job in (good, bad, other)), return_exceptions=True
    )
    assert answers[0] == {good.id}
    assert isinstance(answers[1], Exception)
    assert answers[2] == {other.id}
    assert sorted(bell.rung) == sorted([good.id, other.id])
    assert await ledger.row(bad.id) is None


async def test_a_ledger_that_is_away_reaches_every_caller(
    client: Client, ledger: Ledger, bell: Bell, monkeypatch: pytest.MonkeyPatch
) -> None:
    commits = Counted(monkeypatch, client.database, "submit")
    commits.errors = [LedgerUnavailable("away")] * 2
    answers = await asyncio.gather(*(client.submit([ledger.new()]) for _ in range(5)), return_exceptions=True)
    assert [type(answer) for answer in answers] == [LedgerUnavailable] * 5
    assert len(commits.calls) == 2, "the first one, and all who came meanwhile together"
    assert await ledger.count("job_live") == 0
    assert bell.rung == []
    assert await client.submit([ledger.new()]), "it goes on once the ledger is back"


async def test_a_caller_who_gave_up_does_not_harm_the_others(client: Client, ledger: Ledger) -> None:
    job = ledger.new()
    hasty = asyncio.create_task(client.submit([ledger.new()]))
    patient = asyncio.create_task(client.submit([job]))
    await asyncio.sleep(0)
    hasty.cancel()
    assert await patient == {job.id}


async def test_a_job_whose_message_cannot_be_made_is_parked_and_holds_up_no_other(
    client: Client, ledger: Ledger, bell: Bell
) -> None:
    good = NewJob(new_id(), "site.add", "site", 5, "[[], {}, null]", "")
    bad = good._replace(id=new_id(), priority=42)

    async def publish(rings: Sequence[QueueMessage]) -> None:
        for ring in rings:
            redis_key(ring.queue, ring.priority)
        bell.rung += [ring.id for ring in rings]

    bell.publish = publish  # type: ignore[method-assign]
    await client.submit([good, bad])
    assert bell.rung == [good.id]
    row = await ledger.row(bad.id)
    assert State(row["state"]) is State.PARKED
    assert "priority is 42, expected 0 to 9" in row["reason"]


async def test_jobs_for_later_are_not_rung_for(client: Client, ledger: Ledger, bell: Bell) -> None:
    await client.submit([ledger.new(state=State.SCHEDULED)])
    assert bell.rung == []


async def test_a_unique_job_is_rung_for_once(client: Client, ledger: Ledger, bell: Bell) -> None:
    first, second = ledger.new(), ledger.new()
    assert await client.submit_unique(first, Unique("k")) == first.id
    assert await client.submit_unique(second, Unique("k")) == first.id
    assert bell.rung == [first.id]


# --- a broker that is away


@pytest.mark.parametrize("error", [BrokerError("away"), ValueError("a bug in a transport")])
async def test_without_a_broker_jobs_are_accepted_and_relayed_later(
    client: Client, ledger: Ledger, bell: Bell, error: BaseException
) -> None:
    bell.error = error
    job = ledger.new()
    assert await client.submit([job]) == {job.id}
    assert await ledger.outbox() == {job.id}
    bell.error = None
    rings = await waiting.unsent(client.database, -1.0)
    assert await client.publish(rings) is True
    assert bell.rung == [job.id]


async def test_nobody_waits_for_a_broker_that_hangs(
    client: Client, ledger: Ledger, bell: Bell, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hopyard.tasks.client._PUBLISH_SECONDS", 0.01)
    bell.hangs = True
    job = ledger.new()
    assert await client.submit([job]) == {job.id}
    assert await ledger.outbox() == {job.id}


# --- waiting


async def over(ledger: Ledger, state: State, **values: Any) -> str:
    worker = await ledger.worker()
    claim: Claim = await ledger.running(worker)
    plain = {"result": None, "error": None, "entry": None} | values
    done = Done(claim.id, claim.claim, state, **plain)
    assert await ledger.database.finish([done], worker) == {claim.id}
    return claim.id


async def test_a_result_that_is_there_is_given_at_once(client: Client, ledger: Ledger) -> None:
    id_ = await over(ledger, State.SUCCEEDED, result='{"n": 1}')
    assert await client.wait(id_, 5) == Ended(State.SUCCEEDED, '{"n": 1}', None)
    assert await JobHandle[Any](id_).result(5) == {"n": 1}


async def test_a_job_without_a_result_gives_none(client: Client, ledger: Ledger) -> None:
    assert await JobHandle[Any](await over(ledger, State.SUCCEEDED)).result(5) is None


async def test_who_waits_hears_of_the_end(client: Client, ledger: Ledger) -> None:
    worker = await ledger.worker()
    claim = await ledger.running(worker)
    wait = asyncio.create_task(client.wait(claim.id, 10))
    await ledger.database.finish([Done(claim.id, claim.claim, State.SUCCEEDED, "7", None, None)], worker)
    assert (await wait).result == "7"


async def test_a_dead_job_raises_what_it_died_of(client: Client, ledger: Ledger) -> None:
    error = '{"kind": "ValueError", "message": "a bug", "category": "invalid_input"}'
    id_ = await over(ledger, State.DEAD, error=error)
    with pytest.raises(JobFailed, match=f"{id_} ended dead: ValueError: a bug") as caught:
        await JobHandle[Any](id_).result(5)
    assert (caught.value.kind, caught.value.category) == ("ValueError", "invalid_input")


async def test_a_cancelled_job_raises_that(client: Client, ledger: Ledger) -> None:
    id_ = await ledger.job()
    wait = asyncio.create_task(JobHandle[Any](id_).result(10))
    await cancelling.cancel(ledger.database, [id_], "no need")
    with pytest.raises(JobCancelled, match=id_):
        await wait


async def test_a_job_that_goes_on_is_told_of_and_goes_on(client: Client, ledger: Ledger) -> None:
    id_ = await ledger.job()
    with pytest.raises(ResultTimeout, match=r"did not end within 0\.05 s; it goes on"):
        await client.wait(id_, 0.05)
    row = await ledger.row(id_)
    assert row is not None
    assert row["state"] == State.QUEUED
    assert client._results == {}, "nobody is remembered who does not wait"


async def test_all_who_wait_share_one_query(
    client: Client, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = [await over(ledger, State.SUCCEEDED, result=str(n)) for n in range(20)]
    queries = Counted(monkeypatch, client.database, "fetch")
    found = await asyncio.gather(*(client.wait(id_, 10) for id_ in [*ids, *ids]))
    assert [ended.result for ended in found] == [str(n) for n in range(20)] * 2
    assert len(queries.calls) == 1


async def test_who_waits_waits_out_a_ledger_that_is_away(
    client: Client, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    id_ = await over(ledger, State.SUCCEEDED, result="1")
    queries = Counted(monkeypatch, client.database, "fetch")
    queries.errors = [LedgerUnavailable("away"), LedgerUnavailable("away")]
    assert (await client.wait(id_, 10)).result == "1"


async def test_a_ledger_that_refuses_fails_who_waits(
    client: Client, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rather than leave them waiting for nobody."""
    id_ = await over(ledger, State.SUCCEEDED, result="1")
    queries = Counted(monkeypatch, client.database, "fetch")
    queries.errors = [LedgerError("no such table")]
    with pytest.raises(LedgerError, match="no such table"):
        await client.wait(id_, 10)
    assert (await client.wait(id_, 10)).result == "1"


def test_an_ending_without_an_error_is_said_to_be_one() -> None:
    raise_unless_succeeded("a", Ended(State.SUCCEEDED, None, None))
    with pytest.raises(Exception, match="job a ended dead without an error"):
        raise_unless_succeeded("a", Ended(State.DEAD, None, None))


# --- handles


async def test_a_handle_says_where_the_job_is(client: Client, ledger: Ledger) -> None:
    id_ = await ledger.job()
    handle = JobHandle[Any](id_)
    status = await handle.status()
    assert (status.state, status.task, status.attempt, status.percentage) == (
        State.QUEUED,
        "site.echo",
        0,
        None,
    )
    assert await handle.cancel("no need") is State.CANCELLED
    status = await handle.status()
    assert (status.state, status.reason) == (State.CANCELLED, "no need")
    assert await handle.cancel() is State.CANCELLED


async def test_a_handle_of_no_job_says_so(client: Client) -> None:
    for id_ in (new_id(), "no uuid"):
        with pytest.raises(UnknownJob, match="the ledger has no job"):
            await JobHandle[Any](id_).status()


async def test_a_celery_id_finds_its_job(client: Client, ledger: Ledger) -> None:
    id_ = await ledger.job(id=derived_id("celery", "my own id"))
    assert (await JobHandle[Any]("my own id").status()).id == id_


async def test_a_stream_ends_with_the_job(client: Client, ledger: Ledger) -> None:
    claim = await ledger.running(await ledger.worker())
    seen = []
    async for status in JobHandle[Any](claim.id).stream(every=0.01):
        seen.append(status.state)
        if status.state is State.RUNNING:
            done = Done(claim.id, claim.claim, State.SUCCEEDED, "1", None, None)
            await ledger.database.finish([done], 1)
    assert seen == [State.RUNNING, State.SUCCEEDED]


def test_a_ring_is_made_of_the_first_fields_of_a_job() -> None:
    assert NewJob._fields[:6] == QueueMessage._fields[:6]


async def test_an_entry_that_is_written_after_the_message_went_stays(
    client: Client, bell: Bell, ledger: Ledger
) -> None:
    """Whoever sends may be slow, or frozen, before it drops the entry: the job may be queued again then."""
    job = ledger.new()
    async with client.database.transaction() as tx:
        await tx.insert_jobs([job])
    worker = await ledger.worker()

    async def handed_back() -> None:
        (claim,) = await ledger.claim(worker, job.id)
        await waiting.release(ledger.database, [(job.id, claim.claim)], worker)

    bell.meanwhile = handed_back
    await client.announce([job])
    await client.close()
    assert bell.rung == [job.id]
    assert await ledger.outbox() == {job.id}, "the entry of the job that was handed back is gone"


async def test_a_message_goes_also_where_its_entry_cannot_be_looked_for(
    client: Client, bell: Bell, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = ledger.new()
    async with client.database.transaction() as tx:
        await tx.insert_jobs([job])

    async def away(*_: Any) -> Any:
        raise LedgerUnavailable("away")

    with monkeypatch.context() as patched:
        patched.setattr(client.database, "fetch", away)
        await client.announce([job])
    assert bell.rung == [job.id]
    assert await ledger.outbox() == {job.id}
