"""Celery's canvas through the ledger: chains, links, error links, groups and chords, each exactly once."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from uuid import uuid4

import pytest
from canvases import Canvas
from celery import chain, chord, group
from engines import Worker
from hopyard.engine.record.followups import FollowUps
from hopyard.errors import HopyardError, PayloadError
from hopyard.ledger import cancelling, crashes, deadletters, workers
from hopyard.specs import State

SUCCEEDED, DEAD, CANCELLED = State.SUCCEEDED, State.DEAD, State.CANCELLED


async def test_a_chain_passes_each_result_on(canvas: Canvas, worker: Worker) -> None:
    applied = await canvas.apply(chain(canvas.add(1, 2), canvas.add(10), canvas.add(100)))
    assert await canvas.result(applied) == 113
    last, first = await canvas.lab.row(applied.id), await canvas.lab.row(applied.parent.parent.id)
    assert (str(last["root"]), str(last["parent"])) == (str(first["id"]), applied.parent.id)
    await canvas.quiet()
    assert await canvas.runs("site.add") == 3


async def test_a_stock_client_gets_a_chains_result(canvas: Canvas, worker: Worker) -> None:
    applied = await canvas.apply(chain(canvas.add(1, 2), canvas.add(10)))
    assert await asyncio.to_thread(applied.get, timeout=60) == 13


async def test_links_run_with_the_result(canvas: Canvas, worker: Worker) -> None:
    signature = canvas.add(1, 2)
    signature.link(canvas.tell_())
    signature.link(canvas.tell_("alone").set(immutable=True))
    await canvas.apply(signature)
    await canvas.lab.until(lambda: len(canvas.told) == 2)
    assert sorted(canvas.told, key=str) == [3, "alone"]


async def test_an_error_link_is_told_the_id_and_the_rest_of_the_chain_is_given_up(
    canvas: Canvas, worker: Worker
) -> None:
    steps = chain(canvas.tell_({"fail": True}), canvas.add(1), canvas.add(2))
    applied = await canvas.apply(steps.on_error(canvas.tell_()))
    await canvas.lab.until(lambda: len(canvas.told) == 2)
    first = applied.parent.parent.id
    assert canvas.told == [{"fail": True}, first]
    for result in (applied, applied.parent):
        row = await canvas.lab.ends(result.id, CANCELLED)
        assert row["reason"] == f"job {first}, which it follows, is dead"
    await canvas.quiet()
    assert await canvas.runs("site.add") == 0


async def test_a_group_is_stored_whole_or_not_at_all(canvas: Canvas) -> None:
    wrong = group(canvas.add(1, 1), canvas.add("no number"))
    with pytest.raises(PayloadError, match=r"site\.add: a"):
        await canvas.apply(wrong)
    assert await canvas.lab.ledger.database.fetch("SELECT id FROM job_live") == []


async def test_a_groups_results_are_read_together(canvas: Canvas, worker: Worker) -> None:
    applied = await canvas.apply(group(canvas.add(n, n) for n in range(5)))
    assert await asyncio.to_thread(applied.get, timeout=60) == [0, 2, 4, 6, 8]


async def test_a_chords_body_gets_all_results_in_order(canvas: Canvas, worker: Worker) -> None:
    applied = await canvas.apply(chord([canvas.add(n, n) for n in range(12)], canvas.tell_()))
    assert await canvas.result(applied) == [2 * n for n in range(12)]
    await canvas.quiet()
    assert len(canvas.told) == 1
    assert await canvas.lab.ledger.database.fetch("SELECT n FROM job_part") == []


async def test_canvas_nests(canvas: Canvas, worker: Worker) -> None:
    """A chain of a chord of chains and a chord, whose body is followed by a group of two and their sum."""
    header = [
        chain(canvas.add(1, 1), canvas.add(10)),
        chord([canvas.add(1), canvas.add(2)], canvas.total()),
        canvas.add(100),
    ]
    steps = chain(chord(header, canvas.total()), group(canvas.add(1), canvas.add(2)), canvas.total())
    assert await canvas.result(await canvas.apply(steps)) == (12 + 3 + 100) * 2 + 3
    await canvas.quiet()


async def test_a_part_that_fails_gives_the_body_up_and_tells_its_error_link(
    canvas: Canvas, worker: Worker
) -> None:
    body = canvas.total()
    body.link_error(canvas.tell_())
    header = [canvas.add(1), canvas.tell_({"fail": True}), canvas.add(2)]
    applied = await canvas.apply(chord(header, body))
    row = await canvas.lab.ends(applied.id, CANCELLED)
    assert "which it follows, is dead" in row["reason"]
    await canvas.quiet()
    assert canvas.told == [{"fail": True}, applied.id]
    assert await canvas.runs("site.total") == 0


async def test_the_replay_of_a_part_brings_the_body_back(canvas: Canvas, worker: Worker) -> None:
    header = [canvas.add(1), canvas.tell_({"fail": True}), canvas.add(2)]
    applied = await canvas.apply(chord(header, chain(canvas.tell_(), canvas.tell_())))
    await canvas.lab.ends(applied.id, CANCELLED)
    await canvas.quiet()
    database = canvas.lab.ledger.database
    rows = await database.fetch(f"SELECT id FROM job_history WHERE state = {State.DEAD:d}")
    canvas.told.clear()
    wanted = deadletters.Filter(ids=[str(row["id"]) for row in rows])
    await worker.take(
        *[job.id for job in (await deadletters.replay(database, wanted, {"about": 5})).values()]
    )
    await canvas.lab.until(lambda: len(canvas.told) == 3)
    assert canvas.told == [5, [1, 5, 2], [1, 5, 2]]
    await canvas.quiet()
    rows = await database.fetch("SELECT replay_of FROM job_history WHERE replay_of IS NOT NULL")
    assert applied.id in {str(row["replay_of"]) for row in rows}


async def test_what_follows_a_cancelled_job_is_given_up(canvas: Canvas) -> None:
    """By whoever cancels; the reconciler finds the mark."""
    applied = await canvas.apply(chain(canvas.add(1, 1), canvas.add(10)))
    first = applied.parent.id
    assert await cancelling.cancel(canvas.lab.ledger.database, [first], "no need") == {first: CANCELLED}
    await canvas.lab.worker()
    row = await canvas.lab.ends(applied.id, CANCELLED)
    assert row["reason"] == f"job {first}, which it follows, is cancelled"


async def test_what_follows_a_job_that_keeps_killing_its_worker_is_given_up(canvas: Canvas) -> None:
    applied = await canvas.apply(chain(canvas.add(1, 1), canvas.add(10)))
    ledger, first = canvas.lab.ledger, applied.parent.id
    for _ in range(crashes.MAX_CRASHES):
        worker = await ledger.worker()
        await ledger.claim(worker, first)
        moved = ledger.database.dialect.plus("beat", "-600")
        await ledger.database.execute(f"UPDATE worker SET beat = {moved} WHERE id = $1", worker)
        await workers.rescue(ledger.database)
    await canvas.lab.worker()
    await canvas.lab.ends(applied.id, CANCELLED)


async def test_a_worker_that_dies_before_it_stores_what_follows_is_made_up_for(
    canvas: Canvas, worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def dies(self: FollowUps, ids: Any) -> None: ...

    monkeypatch.setattr(FollowUps, "follow", dies)
    applied = await canvas.apply(chain(canvas.add(1, 2), canvas.add(10)))
    assert await canvas.result(applied) == 13


async def test_two_followers_at_once_store_once(
    canvas: Canvas, worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    follow = FollowUps.follow

    async def twice(self: FollowUps, ids: Any) -> None:
        await asyncio.gather(follow(self, ids), follow(self, ids))

    monkeypatch.setattr(FollowUps, "follow", twice)
    signature = canvas.add(1, 2)
    signature.link(canvas.tell_())
    await canvas.apply(signature)
    await canvas.lab.until(lambda: canvas.told)
    await canvas.quiet()
    assert canvas.told == [3]


async def test_a_link_that_cannot_be_expanded_is_given_up_with_the_reason(
    canvas: Canvas, worker: Worker
) -> None:
    unknown = canvas.lab.hopyard.celery.signature(
        "other.task", task_id="5d9f1f6e-0f5c-4c38-9d5a-6a1f0b6f8a22"
    )
    signature = canvas.add(1, 2)
    signature.link(unknown)
    await canvas.apply(signature)
    row = await canvas.lab.ends("5d9f1f6e-0f5c-4c38-9d5a-6a1f0b6f8a22", CANCELLED)
    assert "no enabled plugin declares a task `other.task`" in row["reason"]


async def test_map_and_its_like_are_refused(canvas: Canvas) -> None:
    task = canvas.lab.hopyard.celery.tasks["site.add"]
    for signature in (task.map([1, 2]), task.starmap([(1, 2)]), task.chunks([(1, 2), (3, 4)], 1)):
        with pytest.raises(HopyardError, match="use a group"):
            await canvas.apply(signature)


async def test_a_stock_producers_chain_runs(canvas: Canvas, worker: Worker) -> None:
    async def call(job: Any) -> int:
        return 7

    canvas.lab.calls["call"] = call
    worker.foreign(
        embed={"chain": [dict(canvas.tell_())], "callbacks": None, "errbacks": None, "chord": None}
    )
    await canvas.lab.until(lambda: canvas.told)
    assert canvas.told == [7]


async def test_canvas_from_the_workers_own_loop_is_refused_instead_of_hanging(
    canvas: Canvas, worker: Worker
) -> None:
    caught: list[HopyardError] = []

    async def call(job: Any) -> None:
        try:
            canvas.add(1, 2).apply_async()
        except HopyardError as error:
            caught.append(error)

    canvas.lab.calls["call"] = call
    await canvas.lab.ends(await canvas.lab.submit("site.call"))
    assert "await `submit` instead" in str(caught[0])


async def test_an_error_link_may_take_request_error_and_traceback(canvas: Canvas, worker: Worker) -> None:
    signature = canvas.tell_({"fail": True})
    signature.link_error(canvas.lab.hopyard.celery.tasks["site.errback"].s())
    applied = await canvas.apply(signature)
    await canvas.lab.until(lambda: len(canvas.told) == 2)
    assert canvas.told[1] == [applied.id, "ValueError: as told", True]


async def test_three_failing_parts_tell_the_error_link_once(canvas: Canvas, worker: Worker) -> None:
    body = canvas.total()
    body.link_error(canvas.tell_())
    await canvas.apply(chord([canvas.tell_({"fail": True}) for _ in range(3)], body))
    await canvas.quiet()
    assert canvas.told.count({"fail": True}) == 3
    assert len(canvas.told) == 4


async def test_a_body_gets_more_results_than_a_job_may_carry(canvas: Canvas, worker: Worker) -> None:
    header = [canvas.tell_(f"{n:04d}" + "x" * 2000) for n in range(700)]
    applied = await canvas.apply(chord(header, canvas.tell_().set(immutable=False)))
    await canvas.lab.until(lambda: any(isinstance(one, list) for one in canvas.told))
    (found,) = [one for one in canvas.told if isinstance(one, list)]
    assert [one[:4] for one in found] == [f"{n:04d}" for n in range(700)]
    assert applied.id


async def test_groups_within_a_header_nest_their_results(canvas: Canvas, worker: Worker) -> None:
    one = chain(canvas.add(0, 0), group(canvas.add(1), canvas.add(1), canvas.add(1)))
    two = chain(canvas.add(1, 0), group(canvas.add(1), canvas.add(1)))
    applied = await canvas.apply(chord([one, two], canvas.tell_()))
    assert await canvas.result(applied) == [[1, 1, 1], [2, 2]]


async def test_times_in_later_members_of_a_chain(canvas: Canvas, worker: Worker) -> None:
    when = datetime(2026, 1, 31, 12, tzinfo=UTC)
    later = canvas.tell_(when).set(immutable=True, eta=when)
    applied = await canvas.apply(chain(canvas.add(1, 2), later))
    await canvas.lab.until(lambda: canvas.told)
    assert canvas.told == [when]
    assert applied.id


async def test_a_stock_producers_values_arrive(canvas: Canvas, worker: Worker) -> None:
    from kombu.utils import json as kombu_json

    values = [
        datetime(2026, 1, 31, tzinfo=UTC),
        Decimal("1.50"),
        uuid4(),
        b"bytes",
        {"__type__": "no", "x": 1},
    ]
    id_ = str(uuid4())
    headers = {"lang": "py", "task": "site.told", "id": id_, "root_id": id_, "parent_id": None, "eta": None}
    worker.deliver(kombu_json.dumps([[values], {}, None]), headers)  # type: ignore[no-untyped-call]
    await canvas.lab.until(lambda: canvas.told)
    assert canvas.told == [values]


ODD = [
    {"chain": [5]},
    {"callbacks": [{"args": []}]},
    {"callbacks": [{"task": "site.add", "args": [1], "kwargs": {}, "options": {"priority": 99}}]},
    {"errbacks": "text", "chord": 7},
    {"chain": [{"task": "celery.chain", "args": [], "kwargs": {"tasks": 3}, "options": {}}]},
    {"callbacks": [{"task": f"no.{n}", "args": [], "kwargs": {}, "options": {}} for n in range(10_000)]},
]


@pytest.mark.parametrize("embed", ODD, ids=range(len(ODD)))
async def test_an_odd_follow_up_is_set_aside_and_costs_no_other_job(
    canvas: Canvas, worker: Worker, embed: dict[str, Any]
) -> None:
    database = canvas.lab.ledger.database
    odd = canvas.lab.ledger.new(
        task="site.add",
        queue="site",
        body=json.dumps(
            [[1], {}, {"callbacks": None, "errbacks": None, "chain": None, "chord": None} | embed]
        ),
        headers="",
        linked=True,
    )
    await database.submit([odd])
    good = canvas.add(1, 2)
    good.link(canvas.tell_())
    await canvas.apply(good)
    await worker.take(odd.id)
    await canvas.lab.ends(odd.id)
    await canvas.lab.until(lambda: canvas.told)
    await canvas.quiet()
    assert canvas.told == [3]
    found = await database.fetch("SELECT reason FROM set_aside WHERE target = $1", odd.id)
    assert found or "errbacks" in embed
