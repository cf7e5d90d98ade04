"""Celery's task signals around publishing and running, in the job's own context, whatever runs it."""

from __future__ import annotations

import asyncio
import contextvars
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import celery
import pytest
from celery import chain, signals
from engines import Lab, Worker
from hopyard.specs import State

SPAN: contextvars.ContextVar[str] = contextvars.ContextVar("span", default="none")
RUN = ("task_prerun", "task_postrun", "task_success", "task_failure", "task_retry", "task_revoked")


class Heard:
    """What receivers were told: signal, sender's name, and all that came with it."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, str, dict[str, Any]]] = []

    def names(self) -> list[str]:
        return [name for name, _, _ in self.calls]

    def last(self, name: str) -> dict[str, Any]:
        return [named for found, _, named in self.calls if found == name][-1]


@contextmanager
def connected(receivers: dict[str, Callable[..., Any]]) -> Iterator[None]:
    for name, receiver in receivers.items():
        getattr(signals, name).connect(receiver, weak=False)
    try:
        yield
    finally:
        for name, receiver in receivers.items():
            getattr(signals, name).disconnect(receiver)


@pytest.fixture
def heard() -> Iterator[Heard]:
    made = Heard()

    def receiver(name: str) -> Callable[..., None]:
        def hear(sender: Any = None, signal: Any = None, **named: Any) -> None:
            made.calls.append((name, getattr(sender, "name", sender), named))

        return hear

    names = (*RUN, "task_received", "before_task_publish", "after_task_publish")
    with connected({name: receiver(name) for name in names}):
        yield made


async def asynchronous(job: Any) -> Any:
    return {"ran": job.attempt}


def plain(job: Any) -> Any:
    return {"ran": job.attempt}


@pytest.mark.parametrize(("task", "call"), [("site.call", asynchronous), ("site.plain", plain)])
async def test_a_success_is_told_before_and_after(
    lab: Lab, worker: Worker, heard: Heard, task: str, call: Any
) -> None:
    lab.calls["x"] = call
    id_ = await lab.submit(task, name="x")
    await lab.ends(id_)
    assert heard.names() == [
        "before_task_publish",
        "after_task_publish",
        "task_received",
        "task_prerun",
        "task_success",
        "task_postrun",
    ]
    assert {sender for name, sender, _ in heard.calls if name != "task_received"} == {task}
    assert heard.last("task_success")["result"] == {"ran": 1}
    prerun, postrun = heard.last("task_prerun"), heard.last("task_postrun")
    assert (prerun["task_id"], prerun["kwargs"]["name"], prerun["task"].name) == (id_, "x", task)
    assert (postrun["task_id"], postrun["state"], postrun["retval"]) == (id_, "SUCCESS", {"ran": 1})
    published = heard.last("before_task_publish")
    assert (published["headers"]["id"], published["routing_key"]) == (id_, "site")


async def test_a_failure_is_told_with_its_error(lab: Lab, worker: Worker, heard: Heard) -> None:
    async def fail(job: Any) -> None:
        raise ValueError("a bug")

    lab.calls["fail"] = fail
    id_ = await lab.submit(name="fail")
    await lab.ends(id_, State.DEAD)
    assert heard.names()[-2:] == ["task_failure", "task_postrun"]
    failure = heard.last("task_failure")
    assert (failure["task_id"], str(failure["exception"])) == (id_, "a bug")
    assert failure["traceback"] is not None
    assert "a bug" in str(failure["einfo"])
    assert heard.last("task_postrun")["state"] == "FAILURE"


async def test_a_retry_is_told_as_one(lab: Lab, worker: Worker, heard: Heard) -> None:
    def flaky(job: Any) -> int:
        if job.attempt == 1:
            raise ConnectionError("gone")
        return int(job.attempt)

    lab.calls["flaky"] = flaky
    id_ = await lab.submit("site.plain", name="flaky")
    await lab.ends(id_)
    run = [name for name in heard.names() if name in RUN]
    assert run == ["task_prerun", "task_retry", "task_postrun", "task_prerun", "task_success", "task_postrun"]
    retry = heard.last("task_retry")
    assert (str(retry["reason"]), retry["request"].id) == ("gone", id_)


async def test_a_cancelled_job_is_told_as_revoked(lab: Lab, worker: Worker, heard: Heard) -> None:
    began = threading.Event()

    async def wait(job: Any) -> None:
        began.set()
        await asyncio.sleep(600)

    lab.calls["wait"] = wait
    id_ = await lab.submit(name="wait")
    await lab.until(began.is_set)
    await lab.hopyard.handle(id_).cancel()
    await lab.ends(id_, State.CANCELLED)
    assert heard.names()[-2:] == ["task_revoked", "task_postrun"]
    assert heard.last("task_revoked")["request"].id == id_
    assert heard.last("task_postrun")["state"] == "REVOKED"


async def test_a_time_limit_is_told_as_a_failure(lab: Lab, worker: Worker, heard: Heard) -> None:
    async def wait(job: Any) -> None:
        await asyncio.sleep(600)

    lab.calls["wait"] = wait
    id_ = await lab.submit("site.short", name="wait")
    await lab.ends(id_, State.DEAD)
    assert "time limit" in str(heard.last("task_failure")["exception"])


async def test_arguments_that_cannot_be_read_are_told_as_a_failure(
    lab: Lab, worker: Worker, heard: Heard
) -> None:
    id_ = worker.foreign("site.typed")
    await lab.ends(id_, State.DEAD)
    assert heard.names() == ["task_received", "task_failure"]
    assert heard.last("task_failure")["task_id"] == id_


@pytest.mark.parametrize(("task", "call"), [("site.call", asynchronous), ("site.plain", plain)])
async def test_tracing_goes_from_the_submitter_into_the_run(
    lab: Lab, worker: Worker, task: str, call: Any
) -> None:
    """As OpenTelemetry does it: headers at the publish, a context between the two ends of the run."""
    tokens: dict[str, contextvars.Token[str]] = {}
    seen: list[str] = []
    left: list[str] = []

    def inject(headers: dict[str, Any], **_: Any) -> None:
        headers["traceparent"] = f"00-{SPAN.get()}"
        headers["id"] = "forged"
        headers["unfit"] = object()

    def attach(sender: Any, task_id: str, **_: Any) -> None:
        tokens[task_id] = SPAN.set(sender.request.traceparent)

    def detach(sender: Any, task_id: str, **_: Any) -> None:
        SPAN.reset(tokens.pop(task_id))  # raises in any other context
        left.append(SPAN.get())

    def look(job: Any) -> Any:
        seen.append(SPAN.get())
        return job.headers["traceparent"]

    async def look_async(job: Any) -> Any:
        return look(job)

    lab.calls["look"] = look_async if task == "site.call" else look
    receivers = {"before_task_publish": inject, "task_prerun": attach, "task_postrun": detach}
    with connected(receivers):  # type: ignore[arg-type]
        SPAN.set("parent")
        id_ = await lab.submit(task, name="look")
        SPAN.set("none")
        row = await lab.ends(id_)
        await lab.until(lambda: left)
    assert json.loads(row["result"]) == "00-parent"
    assert (seen, left, tokens) == (["00-parent"], ["none"], {})
    assert str(row["id"]) == id_


async def test_a_receiver_that_raises_harms_nobody(lab: Lab, worker: Worker) -> None:
    def wrong(**_: Any) -> None:
        raise ValueError("a receiver's bug")

    def worse(**_: Any) -> None:
        raise SystemExit("a receiver that exits")

    lab.calls["x"] = asynchronous
    for receiver in (wrong, worse):
        names = (*RUN, "task_received", "before_task_publish", "after_task_publish")
        with connected(dict.fromkeys(names, receiver)):
            await lab.ends(await lab.submit(name="x"))


async def test_every_job_of_a_chain_is_published_and_run(lab: Lab, worker: Worker, heard: Heard) -> None:
    add = lab.hopyard.celery.tasks["site.add"]
    applied = await asyncio.to_thread(chain(add.s(1, 2), add.s(10)).apply_async)
    await lab.ends(applied.id)
    assert heard.names().count("before_task_publish") == heard.names().count("after_task_publish") == 2
    assert heard.names().count("task_success") == 2


@pytest.mark.parametrize("task", ["site.call", "site.plain"])
async def test_a_job_is_celerys_current_task(lab: Lab, worker: Worker, task: str) -> None:
    def facts(job: Any) -> dict[str, Any]:
        request = celery.current_task.request
        return {
            "task": celery.current_task.name,
            "id": request.id == job.id,
            "place": [request.parent_id == job.parent, request.root_id == job.root, request.retries],
            "mine": [request.tenant, job.headers["tenant"], request.headers["tenant"]],
            "queue": [job.queue, job.priority, request.delivery_info["priority"]],
        }

    async def facts_async(job: Any) -> dict[str, Any]:
        return facts(job)

    lab.calls["facts"] = facts_async if task == "site.call" else facts
    submitted = lab.hopyard.task(task)
    applied = await asyncio.to_thread(
        lambda: submitted.apply_async(kwargs={"name": "facts"}, priority=7, headers={"tenant": "a"})
    )
    row = await lab.ends(applied.id)
    assert json.loads(row["result"]) == {
        "task": task,
        "id": True,
        "place": [True, True, 0],
        "mine": ["a", "a", "a"],
        "queue": ["site", 7, 7],
    }
    assert not celery.current_task
