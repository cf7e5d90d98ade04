"""From message to claim: acknowledged once the claim has committed, no more than there are slots for."""

from __future__ import annotations

import json
import logging
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from celery.worker import state as worker_state
from engines import Gate, Lab, Worker
from hopyard.broker import envelope
from hopyard.errors import LedgerUnavailable
from hopyard.ledger import set_aside, waiting
from hopyard.ledger.values import derived_id, moment, new_id
from hopyard.specs import State

QUEUED, RUNNING, PARKED, CANCELLED = State.QUEUED, State.RUNNING, State.PARKED, State.CANCELLED


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """What waits for the ledger asks again soon."""
    monkeypatch.setattr("hopyard.engine.claim.claimer.PAUSE", 0.01)
    monkeypatch.setattr("hopyard.engine.consume.message_consumer.PAUSE", 0.01)


@pytest.fixture
async def worker(lab: Lab) -> Worker:
    async def call(job: Any) -> int:
        return int(job.attempt)

    lab.calls["call"] = call
    return await lab.worker()


class Gated:
    """A call of the engine's to its ledger that waits at a gate, and fails as told."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, owner: Any, name: str) -> None:
        self.gate = Gate()
        self.before: list[Exception] = []
        self.after: list[Exception] = []
        self.calls: list[tuple[Any, ...]] = []
        original = getattr(owner, name)

        async def call(*arguments: Any) -> Any:
            self.calls.append(arguments)
            await self.gate.passed()
            if self.before:
                raise self.before.pop(0)
            answer = await original(*arguments)
            if self.after:
                raise self.after.pop(0)
            return answer

        monkeypatch.setattr(owner, name, call)


# --- claim, then acknowledge


async def test_a_message_is_acknowledged_once_its_claim_has_committed(
    lab: Lab, worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    claim = Gated(monkeypatch, worker.database, "claim")
    id_ = await lab.submit()
    await worker.take(id_)
    await lab.until(lambda: claim.gate.waiting)
    assert worker.acked == []
    assert await lab.state(id_) is QUEUED
    claim.gate.open()
    await lab.ends(id_)
    await lab.until(lambda: worker.acked == [id_])


async def test_a_ledger_that_is_away_acknowledges_nothing_and_is_asked_again(
    lab: Lab, worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    claim = Gated(monkeypatch, worker.database, "claim")
    claim.before = [LedgerUnavailable("away")]
    release = Gated(monkeypatch, waiting, "release")
    ids = [await lab.submit(), await lab.submit()]
    await worker.take(*ids)
    claim.gate.open()
    await lab.until(lambda: release.gate.waiting)
    assert worker.acked == []
    release.gate.open()
    for id_ in ids:
        assert (await lab.ends(id_))["result"] == "1"
    await lab.until(lambda: sorted(worker.acked) == sorted(ids))


async def test_a_claim_that_committed_unheard_is_given_back(
    lab: Lab, worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The connection broke after the commit: nobody here knows of the claim, so it must not last."""
    claim = Gated(monkeypatch, worker.database, "claim")
    claim.after = [LedgerUnavailable("broke")]
    release = Gated(monkeypatch, waiting, "release")
    release.before = [LedgerUnavailable("still away")]
    id_ = await lab.submit()
    await worker.take(id_)
    claim.gate.open()
    await lab.until(lambda: release.gate.waiting)
    assert await lab.state(id_) is RUNNING
    assert worker.acked == []
    release.gate.open()
    row = await lab.ends(id_)
    assert (row["result"], row["attempt"]) == ("1", 1), "the lost claim counts for no attempt"
    assert len({counter for _, _, counter in claim.calls}) == len(claim.calls), (
        "each claim under a new number"
    )
    await lab.until(lambda: worker.acked == [id_])


async def test_one_message_that_cannot_be_claimed_does_not_hold_up_others(
    lab: Lab, worker: Worker, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    bad = await lab.submit()
    original = worker.database.claim

    async def claim(ids: Any, *arguments: Any) -> Any:
        if bad in ids:
            raise ValueError("a row that breaks the claim")
        return await original(ids, *arguments)

    monkeypatch.setattr(worker.database, "claim", claim)
    good = [await lab.submit() for _ in range(3)]
    await worker.take(good[0], bad, *good[1:])
    for id_ in good:
        await lab.ends(id_)
    await lab.until(lambda: sorted(worker.acked) == sorted([*good, bad]), "nothing blocks the queue")
    assert await lab.state(bad) is QUEUED, "the outbox brings it again"
    assert "cannot be claimed" in caplog.text


async def test_the_same_message_twice_in_a_batch_runs_once(lab: Lab, worker: Worker) -> None:
    id_ = await lab.submit()
    await worker.take(id_, id_, id_)
    assert (await lab.ends(id_))["attempt"] == 1
    await lab.until(lambda: worker.acked == [id_] * 3)


async def test_a_message_of_a_job_that_runs_or_is_over_is_only_acknowledged(lab: Lab, worker: Worker) -> None:
    gate = Gate()
    lab.calls["call"] = lambda job: gate.passed()
    id_ = await lab.submit()
    row = await lab.row(id_)
    await worker.take(id_)
    await lab.until(lambda: gate.waiting)
    await worker.take(id_)
    await lab.until(lambda: worker.acked == [id_] * 2)
    gate.open()
    await lab.ends(id_)
    headers = json.loads(envelope.headers(id_, row["task"]))
    worker.deliver(row["body"], headers)
    worker.deliver(row["body"], {**headers, "id": new_id()})
    await lab.until(lambda: len(worker.acked) == 4)
    assert gate.waiting == 1
    assert not worker_state.requests, "Celery forgets them too"


# --- slots


async def test_no_more_is_claimed_than_there_are_slots(lab: Lab, worker: Worker) -> None:
    gate = Gate()
    lab.calls["call"] = lambda job: gate.passed()
    ids = [await lab.submit("site.one") for _ in range(3)]
    await worker.take(*ids)
    await lab.until(lambda: gate.waiting == 1)
    await lab.until(lambda: worker.acked == ids[:1])
    assert [await lab.state(id_) for id_ in ids] == [RUNNING, QUEUED, QUEUED]
    gate.open()
    for id_ in ids:
        await lab.ends(id_)
    await lab.until(lambda: worker.acked == ids)


async def test_a_full_queue_does_not_delay_another(lab: Lab, worker: Worker) -> None:
    gate = Gate()
    lab.calls["hold"] = lambda job: gate.passed()
    held = [await lab.submit("site.one", name="hold") for _ in range(3)]
    await worker.take(*held)
    await lab.until(lambda: gate.waiting == 1)
    quick = await lab.submit()
    await worker.take(quick)
    await lab.ends(quick)
    gate.open()


async def test_a_full_queue_is_left_and_taken_up_again_when_nothing_waits(lab: Lab) -> None:
    worker = await lab.worker()  # it does not look into the broker as well: each message comes once
    consumer = worker.consumer.task_consumer
    slots = sum(slots.size for slots in worker.engine.slots.values())
    assert worker.consumer.qos.sent == worker.consumer.initial_prefetch_count == 2 * slots
    gate = Gate()
    lab.calls["hold"] = lambda job: gate.passed()
    held = [await lab.submit("site.one", name="hold") for _ in range(3)]
    await worker.take(*held)
    await lab.until(lambda: consumer.left == ["site.one"])
    assert "site" in consumer.queues
    gate.open()
    await lab.until(lambda: consumer.added == ["site.one"])
    assert "site.one" in consumer.queues


async def test_an_unknown_routing_key_has_slots_of_its_own_and_is_no_queue_of_ours(
    lab: Lab, worker: Worker
) -> None:
    gate = Gate()
    lab.calls["call"] = lambda job: gate.passed()
    ids = [worker.foreign(queue="somebody.elses") for _ in range(12)]
    await lab.until(lambda: gate.waiting == 4)
    gate.open()
    for id_ in ids:
        await lab.ends(id_)
    assert worker.consumer.task_consumer.left == worker.consumer.task_consumer.added == []


async def test_after_a_lost_connection_waiting_messages_are_forgotten(lab: Lab, worker: Worker) -> None:
    """They cannot be acknowledged any more, and come again."""
    gate = Gate()
    lab.calls["hold"] = lambda job: gate.passed()
    first, second = [await lab.submit("site.one", name="hold") for _ in range(2)]
    await worker.take(first, second)
    await lab.until(lambda: gate.waiting == 1)
    slots = worker.engine.slots["site.one"]
    await lab.until(lambda: len(slots.waiting) == 1)
    worker.engine.disconnected()
    await lab.until(lambda: not slots.waiting)
    gate.open()
    await lab.ends(first)
    assert await lab.state(second) is QUEUED
    worker.engine.connected(worker.consumer)
    await worker.take(second)
    await lab.ends(second)


# --- messages of stock producers


async def test_a_stock_message_becomes_a_job(lab: Lab, worker: Worker) -> None:
    id_ = worker.foreign(root_id=(root := new_id()), parent_id=(parent := new_id()))
    row = await lab.ends(id_)
    assert (row["task"], row["queue"], row["result"]) == ("site.call", "site", "1")
    assert (str(row["root"]), str(row["parent"])) == (root, parent)
    assert worker.acked == [id_]


async def test_a_stock_id_that_is_no_uuid_is_kept_as_its_origin(lab: Lab, worker: Worker) -> None:
    worker.foreign(id="my own id")
    row = await lab.ends(derived_id("celery", "my own id"))
    assert row["origin"] == "my own id"


async def test_a_stock_message_of_a_chord_is_parked(lab: Lab, worker: Worker) -> None:
    id_ = worker.foreign(embed={"chord": {"task": "site.call"}, "chain": None})
    row = await lab.reaches(id_, PARKED)
    assert "the ledger does not know its size" in row["reason"]
    await lab.until(lambda: worker.acked == [id_])
    await worker.stop()
    await lab.worker()
    assert await lab.state(id_) is PARKED, "that a worker knows its task changes nothing"


async def test_a_stock_message_for_later_waits_in_the_ledger(lab: Lab, worker: Worker) -> None:
    later = datetime.now(UTC) + timedelta(hours=1)
    id_ = worker.foreign(eta=later.isoformat())
    row = await lab.reaches(id_, State.SCHEDULED)
    assert moment(row["eta"]) == later
    await lab.until(lambda: worker.acked == [id_])


async def test_a_stock_message_whose_time_has_passed_is_not_run(lab: Lab, worker: Worker) -> None:
    past = datetime.now(UTC) - timedelta(seconds=1)
    late = worker.foreign(expires=past.isoformat())
    row = await lab.ends(late, CANCELLED)
    assert (row["reason"], row["attempt"]) == ("expired", 0)
    good = worker.foreign(expires=(past + timedelta(hours=1)).isoformat())
    await lab.ends(good)
    assert sorted(worker.acked) == sorted([late, good])


async def test_a_job_that_runs_does_not_expire(lab: Lab, worker: Worker) -> None:
    gate = Gate()
    lab.calls["call"] = lambda job: gate.passed()
    id_ = worker.foreign()
    await lab.until(lambda: gate.waiting)
    worker.foreign(id=id_, expires="2001-01-01T00:00:00+00:00")
    await lab.until(lambda: worker.acked == [id_, id_])
    gate.open()
    await lab.ends(id_)


@pytest.mark.parametrize("body", ["{}", "[[], {}]", "[[], {}, 1]", "[1, {}, null]", '"text"'])
async def test_a_message_that_is_no_jobs_is_set_aside(lab: Lab, worker: Worker, body: str) -> None:
    id_ = new_id()
    worker.deliver(body, {"task": "site.call", "id": id_})
    worker.deliver("[[], {}, null]", {"task": "site.call", "id": 7})
    await lab.until(lambda: sorted(worker.acked) == sorted([id_, "7"]), "both are acknowledged")
    reasons = sorted(one["reason"] for one in await set_aside.latest(lab.ledger.database))
    assert len(reasons) == 2
    assert reasons[0].startswith("in queue site: its ")
    assert "its id is 7" in reasons[-1] or "its id is 7" in reasons[0]


async def test_a_job_that_was_revoked_through_celery_is_cancelled(lab: Lab, worker: Worker) -> None:
    id_ = await lab.submit()
    worker_state.revoked.add(id_)
    await worker.take(id_)
    assert (await lab.ends(id_, CANCELLED))["reason"] == "revoked through Celery"
    await lab.until(lambda: worker.acked == [id_])


# --- tasks that nobody here knows


async def test_a_job_of_an_unknown_task_is_parked_and_runs_once_it_is_known(
    lab: Lab, caplog: pytest.LogCaptureFixture
) -> None:
    worker = await lab.worker()
    known = await lab.submit()
    await lab.ledger.database.execute("UPDATE job_live SET task = 'gone.call' WHERE id = $1", known)
    row = await lab.row(known)
    headers = json.loads(envelope.headers(known, "gone.call"))
    message = worker.deliver(row["body"], headers)
    row = await lab.reaches(known, PARKED)
    assert "plugin `gone` installed" in row["reason"]
    await lab.until(lambda: message.acknowledged)

    async def no_longer_announced() -> bool:
        return known not in await lab.ledger.outbox()

    await lab.until(no_longer_announced)
    await worker.stop()

    async def call(job: Any) -> str:
        return "known now"

    lab.calls["call"] = call
    await lab.ledger.database.execute("UPDATE job_live SET task = 'site.call' WHERE id = $1", known)
    again = await lab.worker()
    again.fetch()
    # The relay rings for it: its outbox entry is there, as old as a lost producer's.
    await lab.ledger.later("job_outbox", "created", 10)
    assert json.loads((await lab.ends(known))["result"]) == "known now"


async def test_a_stock_message_of_an_unknown_task_waits_out_the_ledger_and_is_parked(
    lab: Lab, worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    submit = Gated(monkeypatch, worker.database, "submit")
    submit.before = [LedgerUnavailable("away")]
    headers = {"task": "gone.call", "id": "odd id", "root_id": None, "parent_id": None}
    message = worker.deliver("[[1], {}, null]", headers)
    await lab.until(lambda: submit.gate.waiting)
    assert not message.acknowledged
    submit.gate.open()
    row = await lab.reaches(derived_id("celery", "odd id"), PARKED)
    assert (row["task"], row["body"], row["origin"]) == ("gone.call", "[[1], {}, null]", "odd id")
    await lab.until(lambda: message.acknowledged)


async def test_what_celery_sees_of_a_job(lab: Lab, worker: Worker) -> None:
    gate = Gate()
    lab.calls["call"] = lambda job: gate.passed()
    id_ = await lab.submit()
    await worker.take(id_)
    await lab.until(lambda: gate.waiting)
    await lab.until(lambda: [*worker_state.requests] == [id_])
    gate.open()
    await lab.ends(id_)
    await lab.until(lambda: not worker_state.requests)
    events = ["task-received", "task-started", "task-succeeded"]
    assert worker.consumer.events == [(event, id_) for event in events]


async def test_a_call_into_celerys_thread_that_fails_is_logged(
    worker: Worker, lab: Lab, caplog: pytest.LogCaptureFixture
) -> None:
    done: list[int] = []
    worker.engine._main.soon(lambda: 1 / 0)
    worker.engine._main.soon(lambda: done.append(1))
    await lab.until(lambda: done)
    assert [r.levelno for r in caplog.records if r.exc_info] == [logging.ERROR]
