"""What tasks do that no task should: each costs its own job, and a healthy one runs afterwards."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sys
import time
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from engines import Gate, Lab, Worker
from hopyard.specs import State

SUCCEEDED, DEAD, CANCELLED = State.SUCCEEDED, State.DEAD, State.CANCELLED


class Panic(BaseException):
    """As extensions in Rust raise it, and gevent's timeouts."""


class Untold(Exception):
    """Its text ends the process."""

    def __str__(self) -> str:
        sys.exit(3)


class Retextless(Exception):
    def __str__(self) -> str:
        raise Panic


async def exits_inside(job: Any) -> None:
    async def helper() -> None:
        sys.exit(4)

    await asyncio.gather(helper())


async def stops_the_loop(job: Any) -> None:
    asyncio.get_running_loop().stop()


async def interrupts(job: Any) -> None:
    raise KeyboardInterrupt


async def panics(job: Any) -> None:
    raise Panic("out of the tree")


async def cancels_itself(job: Any) -> None:
    task = asyncio.current_task()
    assert task is not None
    task.cancel()
    await asyncio.sleep(0)


async def lets_out_a_cancellation(job: Any) -> None:
    raise asyncio.CancelledError


async def ends_by_generator_exit(job: Any) -> None:
    raise GeneratorExit


async def has_no_text(job: Any) -> None:
    raise Untold


async def panics_in_its_text(job: Any) -> None:
    raise Retextless


async def returns_what_has_no_json(job: Any) -> Any:
    return {"a": float("nan")}


async def forks_and_returns(job: Any) -> None:
    pid = os.fork()
    if pid:
        os.waitpid(pid, 0)
        raise ValueError("of the parent")


def next_of_nothing(job: Any) -> Any:
    return next(iter([]))


def cancelled_inside(job: Any) -> Any:
    async def main() -> None:
        raise asyncio.CancelledError

    asyncio.run(main())


def thread_panics(job: Any) -> Any:
    raise Panic("in a thread")


def thread_exits(job: Any) -> Any:
    sys.exit(5)


def thread_forks_and_returns(job: Any) -> Any:
    pid = os.fork()
    if pid:
        os.waitpid(pid, 0)
        raise ValueError("of the parent")


async def kind_of(lab: Lab, id_: str) -> str:
    error: dict[str, Any] = json.loads((await lab.ends(id_, DEAD))["error"])
    return str(error["kind"])


ASYNC: list[tuple[Callable[[Any], Awaitable[Any]], str]] = [
    (exits_inside, "SystemExit"),
    (interrupts, "KeyboardInterrupt"),
    (panics, "Panic"),
    (cancels_itself, "RuntimeError"),
    (lets_out_a_cancellation, "RuntimeError"),
    (ends_by_generator_exit, "GeneratorExit"),
    (has_no_text, "Untold"),
    (panics_in_its_text, "Retextless"),
    (forks_and_returns, "ValueError"),
]
PLAIN: list[tuple[Callable[[Any], Any], str]] = [
    (next_of_nothing, "StopIteration"),
    (cancelled_inside, "RuntimeError"),
    (thread_panics, "Panic"),
    (thread_exits, "SystemExit"),
    (thread_forks_and_returns, "ValueError"),
]


@pytest.mark.parametrize(("call", "kind"), ASYNC, ids=lambda one: getattr(one, "__name__", ""))
async def test_whatever_a_coroutine_raises_it_ends_dead(
    lab: Lab, worker: Worker, call: Callable[[Any], Any], kind: str
) -> None:
    lab.calls["bad"], lab.calls["good"] = call, fine
    bad = await lab.submit("site.call", name="bad")
    assert await kind_of(lab, bad) == kind
    await lab.ends(await lab.submit("site.call", name="good"))
    await all_slots_free(lab, worker)


@pytest.mark.parametrize(("call", "kind"), PLAIN, ids=lambda one: getattr(one, "__name__", ""))
async def test_whatever_a_function_raises_it_ends_dead(
    lab: Lab, worker: Worker, call: Callable[[Any], Any], kind: str
) -> None:
    lab.calls["bad"], lab.calls["good"] = call, lambda job: "fine"
    bad = await lab.submit("site.plain", name="bad")
    assert await kind_of(lab, bad) == kind
    await lab.ends(await lab.submit("site.plain", name="good"))
    await all_slots_free(lab, worker)


async def fine(job: Any) -> str:
    return "fine"


async def all_slots_free(lab: Lab, worker: Worker) -> None:
    await lab.until(lambda: all(slots.free == slots.size for slots in worker.engine.slots.values()))


async def test_a_task_that_stops_the_loop_stops_nobody(lab: Lab, worker: Worker) -> None:
    lab.calls["bad"], lab.calls["good"] = stops_the_loop, fine
    bad = await lab.submit("site.call", name="bad")
    await lab.ends(bad)
    await lab.ends(await lab.submit("site.call", name="good"))


async def test_a_job_cancels_only_what_is_its_own(
    lab: Lab, worker: Worker, caplog: pytest.LogCaptureFixture
) -> None:
    """Everything on the loop is shown by `all_tasks`: other jobs, and the worker's own work."""
    gate, cancelled = Gate(), []

    async def neighbour(job: Any) -> str:
        await asyncio.gather(gate.passed(), asyncio.sleep(0))
        return "undisturbed"

    async def own(job: Any) -> None:
        async def sleeps() -> None:
            try:
                await asyncio.sleep(600)
            except asyncio.CancelledError:
                cancelled.append(1)
                raise

        mine = asyncio.create_task(sleeps())
        await asyncio.sleep(0)
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await mine
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(0.01):
                await asyncio.sleep(600)

    lab.calls["neighbour"], lab.calls["bad"], lab.calls["good"] = neighbour, own, fine
    other = await lab.submit("site.call", name="neighbour")
    await lab.until(lambda: gate.waiting)
    await lab.ends(await lab.submit("site.call", name="bad"))
    assert cancelled == [1]
    gate.open()
    assert json.loads((await lab.ends(other))["result"]) == "undisturbed"
    await lab.ends(await lab.submit("site.call", name="good"))
    assert "tried to cancel what is not its own" in caplog.text


async def test_a_coroutine_that_swallows_the_cancel_of_its_limit_does_not_outlive_it(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hopyard.engine.run.runner.GRACE_SECONDS", 0.05)
    worker = await lab.worker()
    worker.fetch()
    gate = Gate()

    async def swallows(job: Any) -> str:
        while True:
            try:
                await gate.passed()
            except asyncio.CancelledError:
                continue
            return "too late"

    lab.calls["bad"] = swallows
    bad = await lab.submit("site.short", name="bad")
    assert await kind_of(lab, bad) == "TimeLimitExceeded"
    await all_slots_free(lab, worker)
    gate.open()


async def test_a_coroutine_that_swallows_the_cancel_once_and_returns_has_not_succeeded(
    lab: Lab, worker: Worker
) -> None:
    async def swallows_once(job: Any) -> str:
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.sleep(600)
        return "in spite of it"

    lab.calls["bad"] = swallows_once
    assert await kind_of(lab, await lab.submit("site.short", name="bad")) == "TimeLimitExceeded"


async def test_a_coroutine_that_swallows_an_operators_cancel_ends_cancelled(
    lab: Lab, worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hopyard.engine.run.jobs._GIVE_UP_SECONDS", 0.05)
    gate = Gate()

    async def swallows(job: Any) -> None:
        while True:
            with contextlib.suppress(asyncio.CancelledError):
                await gate.passed()
                return

    lab.calls["bad"] = swallows
    bad = await lab.submit("site.call", name="bad")
    await lab.until(lambda: gate.waiting)
    await lab.hopyard.handle(bad).cancel("enough")
    row = await lab.ends(bad, CANCELLED)
    assert "did not stop" in json.loads(row["error"])["message"]
    await all_slots_free(lab, worker)
    gate.open()


async def test_threads_that_ignore_their_limit_take_none_from_others(
    lab: Lab, worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hopyard.engine.run.runner.GRACE_SECONDS", 0.01)
    gate = Gate()

    def ignores(job: Any) -> None:
        while True:
            with contextlib.suppress(Exception):
                gate.pass_()
                return

    lab.calls["bad"], lab.calls["good"] = ignores, lambda job: "fine"
    lost = [await lab.submit("site.short_plain", name="bad") for _ in range(50)]
    for id_ in lost:
        assert await kind_of(lab, id_) == "TimeLimitExceeded"
    assert gate.waiting >= 50, "each began: nobody is charged for another's time"
    row = await lab.ends(await lab.submit("site.plain", name="good"))
    assert (row["attempt"], json.loads(row["result"])) == (1, "fine")
    gate.open()


async def test_a_job_that_awaits_another_of_its_own_queue_gives_its_slot_back(
    lab: Lab, worker: Worker
) -> None:
    async def parent(job: Any) -> str:
        child = await lab.hopyard.task("site.one").submit(name="child")
        return f"after {await child.result(timeout=30)}"

    lab.calls["parent"], lab.calls["child"] = parent, fine
    id_ = await lab.submit("site.one", name="parent")
    assert json.loads((await lab.ends(id_))["result"]) == "after fine"
    await all_slots_free(lab, worker)


async def test_a_result_without_a_json_form_is_told(lab: Lab, worker: Worker) -> None:
    lab.calls["bad"] = returns_what_has_no_json
    assert await kind_of(lab, await lab.submit("site.call", name="bad")) == "PayloadError"


async def test_a_coroutine_that_blocks_the_loop_beyond_its_limit_ends_the_process(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its failure is recorded, its neighbours are handed back uncharged, and the process is gone."""
    ended: list[int] = []
    released = asyncio.Event()
    loop = asyncio.get_running_loop()

    def exit_(status: int) -> None:
        ended.append(status)
        loop.call_soon_threadsafe(released.set)

    monkeypatch.setattr("hopyard.engine.blocked.os._exit", exit_)
    monkeypatch.setattr("hopyard.engine.blocked.GRACE_SECONDS", 0.1)
    monkeypatch.setattr("hopyard.engine.heartbeat._BLOCKED_SECONDS", 0.2)
    worker = await lab.worker()
    worker.fetch()
    gate = Gate()

    async def blocks(job: Any) -> None:
        while not ended:
            time.sleep(0.01)

    lab.calls["bad"], lab.calls["neighbour"] = blocks, lambda job: gate.passed()
    neighbour = await lab.submit("site.call", name="neighbour")
    await lab.until(lambda: gate.waiting)
    bad = await lab.submit("site.short", name="bad")
    await asyncio.wait_for(released.wait(), 30)
    assert ended[0] == 70
    assert await kind_of(lab, bad) == "TimeLimitExceeded"
    row = await lab.row(neighbour)
    assert (row["state"], row["attempt"], row["crashes"]) == (State.QUEUED, 0, 0)
    gate.open()


async def test_a_log_handler_that_raises_leaves_no_job_running(lab: Lab, worker: Worker) -> None:
    import logging

    class Raises(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            raise SystemExit(6)

    handler = Raises(level=logging.ERROR)

    async def leaves_it(job: Any) -> None:
        logging.getLogger("hopyard.engine").addHandler(handler)
        raise ValueError("as planned")

    lab.calls["bad"], lab.calls["good"] = leaves_it, fine
    try:
        await lab.ends(await lab.submit("site.call", name="bad"), DEAD)
        await lab.ends(await lab.submit("site.call", name="good"))
    finally:
        logging.getLogger("hopyard.engine").removeHandler(handler)
