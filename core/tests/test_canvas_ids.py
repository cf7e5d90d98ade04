"""A canvas with the id of a job that exists already: refused at the call, or told of and given up later."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest
from canvases import Canvas
from celery import chain, chord, group
from engines import Gate, Worker
from hopyard import Job
from hopyard.errors import JobFailed, SpecError
from hopyard.ledger import following
from hopyard.ledger.values import job_id
from hopyard.specs import State

CANCELLED, DEAD = State.CANCELLED, State.DEAD


#: By name: a canvas of which one member has the id "taken".
MADE: dict[str, Callable[[Canvas, Any], Any]] = {
    "first of a chain": lambda c, taken: chain(c.add(1, 2).set(task_id=taken), c.add(1)),
    "second of a chain": lambda c, taken: chain(c.add(1, 2), c.add(1).set(task_id=taken), c.add(2)),
    "of a group": lambda c, taken: group(c.add(1, 2), c.add(3, 4).set(task_id=taken)),
    "of a header": lambda c, taken: chord([c.add(1, 2), c.add(3, 4).set(task_id=taken)], c.total()),
    "a body": lambda c, taken: chord([c.add(1, 2), c.add(3, 4)], c.total().set(task_id=taken)),
    "in a group in a chain": lambda c, taken: chain(
        c.add(1, 2), group(c.add(1), c.add(2).set(task_id=taken)), c.total()
    ),
    "a link": lambda c, taken: _linked(c.add(1, 2), c.add(1).set(task_id=taken)),
    "a linked job": lambda c, taken: _linked(c.add(1, 2).set(task_id=taken), c.add(1)),
}


def _linked(signature: Any, link: Any) -> Any:
    signature.link(link)
    return signature


@pytest.mark.parametrize("over", [False, True], ids=["live", "over"])
@pytest.mark.parametrize("make", MADE.values(), ids=MADE)
async def test_an_id_that_is_known_is_refused_at_the_call(
    canvas: Canvas, make: Callable[[Canvas, Any], Any], over: bool
) -> None:
    first = await canvas.apply(canvas.add(5, 5).set(task_id="taken"))
    if over:
        worker = await canvas.lab.worker()
        await worker.take(first.id)
        await canvas.lab.ends(first.id)
    with pytest.raises(SpecError, match=rf"{job_id('taken')}, the id of a job of site\.add"):
        await canvas.apply(make(canvas, "taken"))
    rows = await canvas.lab.ledger.database.fetch(
        "SELECT id FROM job_live UNION ALL SELECT id FROM job_history"
    )
    assert [str(row["id"]) for row in rows] == [first.id], "nothing of the canvas was stored"


async def test_the_same_canvas_again_is_the_same_jobs(canvas: Canvas, worker: Worker) -> None:
    def made() -> Any:
        return chain(canvas.add(1, 2).set(task_id="a"), canvas.add(10).set(task_id="b"))

    applied = await canvas.apply(made())
    assert (await canvas.lab.ends(job_id("b")))["result"] == "13"
    assert (await canvas.apply(made())).id == applied.id
    await canvas.quiet()
    assert await canvas.runs("site.add") == 2


async def test_an_id_twice_in_one_canvas_is_refused(canvas: Canvas) -> None:
    for twice in (
        group(canvas.add(1, 2).set(task_id="x"), canvas.add(3, 4).set(task_id="x")),
        chain(canvas.add(1, 2).set(task_id="x"), canvas.add(1).set(task_id="x")),
    ):
        with pytest.raises(SpecError, match="is given to two jobs of one canvas"):
            await canvas.apply(twice)


#: Canvases whose member "taken" comes later, and the ids that somebody waits for.
LATER: dict[str, Callable[[Canvas], tuple[Any, list[str]]]] = {
    "a chain": lambda c: (
        chain(
            c.tell_(1), c.add(1).set(task_id="taken"), c.add(1).set(task_id="x"), c.add(1).set(task_id="y")
        ),
        ["x", "y"],
    ),
    "a chain's group": lambda c: (
        chain(
            c.tell_(1),
            group(c.add(1).set(task_id="taken"), c.add(2).set(task_id="x")),
            c.total().set(task_id="y"),
        ),
        ["x", "y"],
    ),
    "a body": lambda c: (
        chain(chord([c.tell_(1), c.tell_(2)], c.total().set(task_id="taken")), c.add(1).set(task_id="x")),
        ["x"],
    ),
    "a link": lambda c: (
        _linked(c.tell_(1), _linked(c.add(1).set(task_id="taken"), c.add(2).set(task_id="x"))),
        ["x"],
    ),
}


@pytest.mark.parametrize("make", LATER.values(), ids=LATER)
async def test_an_id_that_is_taken_meanwhile_gives_up_what_hangs_on_it(
    canvas: Canvas, make: Callable[[Canvas], tuple[Any, list[str]]]
) -> None:
    signature, waiting = make(canvas)
    applied = await canvas.apply(signature)
    await canvas.apply(canvas.add(5, 5).set(task_id="taken"))
    worker = await canvas.lab.worker()
    worker.fetch()
    for id_ in waiting:
        row = await canvas.lab.ends(job_id(id_), CANCELLED)
        assert f"its id {job_id('taken')} is that of a job of site.add" in row["reason"]
    assert await canvas.lab.ends(job_id("taken")), "the job that had the id first is not touched"
    await canvas.quiet()
    kept = await canvas.lab.ledger.database.fetch("SELECT target, reason FROM set_aside")
    assert len(kept) == 1, applied
    assert job_id("taken") in kept[0]["reason"]


async def test_what_a_failed_jobs_links_promise_is_given_up(canvas: Canvas, worker: Worker) -> None:
    failing = _linked(
        canvas.tell_({"fail": True}), _linked(canvas.add(1).set(task_id="x"), canvas.add(2).set(task_id="y"))
    )
    await canvas.apply(failing)
    for id_ in ("x", "y"):
        await canvas.lab.ends(job_id(id_), CANCELLED)


async def test_an_id_taken_while_follow_ups_are_stored_is_seen(
    canvas: Canvas, worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the look into the ledger and the insert: here by a look that sees nothing, once."""
    looks, existing = 0, following.existing

    async def blind(*args: Any) -> Any:
        nonlocal looks
        looks += 1
        return {} if looks == 1 else await existing(*args)

    gate = Gate()

    async def first(job: Job) -> int:
        await gate.passed()
        return 1

    canvas.lab.calls["first"] = first
    begin = canvas.lab.hopyard.celery.tasks["site.call"].s(name="first")
    applied = await canvas.apply(chain(begin, canvas.add(1).set(task_id="taken"), canvas.add(1)))
    monkeypatch.setattr(following, "existing", blind)
    await canvas.lab.hopyard.task("site.add").options(id="taken").submit(a=5, b=5)
    gate.open()
    await canvas.lab.ends(applied.id, CANCELLED)
    assert looks >= 2


async def test_a_chain_behind_a_number_without_end(canvas: Canvas, worker: Worker) -> None:
    """A result that no reader of JSON takes: the chain ends, and nobody else notices."""
    canvas.lab.calls["big"] = lambda job: 10**5000
    tasks = canvas.lab.hopyard.celery.tasks
    applied = await canvas.apply(
        chain(tasks["site.plain"].s(name="big"), canvas.add(1, 2).set(immutable=True))
    )
    good = await canvas.apply(chain(canvas.add(1, 2), canvas.add(3)))
    assert await canvas.result(good) == 6
    await canvas.quiet()
    first, last = await canvas.lab.row(applied.parent.id), await canvas.lab.row(applied.id)
    assert first["state"] == DEAD, first
    assert "digits" in json.loads(first["error"])["message"]
    assert last["state"] == CANCELLED
    with pytest.raises(JobFailed, match="5,001 digits"):
        await asyncio.to_thread(applied.parent.get, timeout=60)
