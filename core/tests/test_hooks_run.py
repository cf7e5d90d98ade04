"""`run_task`: what plugins put around runs, and that a wrapper's faults cost no task of another plugin."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import AsyncIterator, Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from engines import Lab, Worker
from hopyard import Job, Plugin, PluginSettings, hookimpl
from hopyard.engine.processes import main
from hopyard.engine.run import wrapping
from hopyard.ledger import set_aside
from hopyard.specs import State

SUCCEEDED, DEAD, CANCELLED = State.SUCCEEDED, State.DEAD, State.CANCELLED


class Wrapping(Plugin[PluginSettings]):
    """Wraps runs in what a test says."""

    @hookimpl
    def run_task(self, job: Job) -> Any:
        return WRAP["of"](job)


WRAP: dict[str, Any] = {}


def wrap(lab: Lab, made: Any, name: str = "other") -> None:
    WRAP["of"] = made
    lab.plugin(name, Wrapping)


async def here(job: Job) -> str:
    return threading.current_thread().name


def plain(job: Job) -> str:
    return threading.current_thread().name


async def test_a_plain_wrapper_is_entered_where_the_task_runs(lab: Lab, worker: Worker) -> None:
    seen: list[tuple[str, str, str]] = []

    @contextlib.contextmanager
    def around(job: Job) -> Iterator[None]:
        seen.append(("enter", job.task, threading.current_thread().name))
        yield
        seen.append(("leave", job.task, threading.current_thread().name))

    wrap(lab, around)
    lab.calls.update(call=here, plain=plain)
    for task, kind in (("site.call", "call"), ("site.plain", "plain")):
        row = await lab.ends(await lab.submit(task, name=kind))
        thread = row["result"].strip('"')
        assert [(what, where) for what, name, where in seen if name == task] == [
            ("enter", thread),
            ("leave", thread),
        ]


async def test_an_async_wrapper_is_entered_on_the_loop(lab: Lab, worker: Worker) -> None:
    seen: list[tuple[str, asyncio.AbstractEventLoop]] = []

    @contextlib.asynccontextmanager
    async def around(job: Job) -> AsyncIterator[None]:
        seen.append((job.task, asyncio.get_running_loop()))
        yield
        seen.append((job.task, asyncio.get_running_loop()))

    wrap(lab, around)
    lab.calls.update(call=here, plain=plain)
    await lab.ends(await lab.submit("site.call"))
    await lab.ends(await lab.submit("site.plain", name="plain"))
    loop = worker.engine._loop
    assert seen == [("site.call", loop)] * 2 + [("site.plain", loop)] * 2


class Faulty:
    """A wrapper that does something wrong as it is entered or left; also that it swallows errors."""

    def __init__(self, enter: Any = None, leave: Any = None) -> None:
        self._enter, self._leave = enter, leave

    def __enter__(self) -> None:
        if self._enter is not None:
            raise self._enter

    def __exit__(self, *error: Any) -> bool:
        if self._leave is not None:
            raise self._leave
        return True


class FaultyAsync(Faulty):
    __enter__ = __exit__ = None  # type: ignore[assignment]

    async def __aenter__(self) -> None:
        Faulty.__enter__(self)

    async def __aexit__(self, *error: Any) -> bool:
        return Faulty.__exit__(self, *error)


def raises(job: Job) -> Any:
    raise ValueError("the hook itself")


FAULTS = {
    "the hook raises": raises,
    "no context manager": lambda job: 7,
    "entering raises": lambda job: Faulty(enter=ValueError("no entry")),
    "entering exits": lambda job: Faulty(enter=SystemExit(3)),
    "leaving raises": lambda job: Faulty(leave=KeyboardInterrupt()),
    "swallows": lambda job: Faulty(),
    "async entering raises": lambda job: FaultyAsync(enter=ValueError("no entry")),
    "async leaving raises": lambda job: FaultyAsync(leave=asyncio.CancelledError()),
    "async swallows": lambda job: FaultyAsync(),
}


@pytest.mark.parametrize("fault", FAULTS)
async def test_a_faulty_wrapper_changes_no_outcome_of_others(lab: Lab, worker: Worker, fault: str) -> None:
    wrap(lab, FAULTS[fault])

    async def fails(job: Job) -> None:
        raise ValueError("the task's own")

    def fails_plainly(job: Job) -> None:
        raise ValueError("the task's own")

    lab.calls.update(call=here, plain=plain, fails=fails, fails_plainly=fails_plainly)
    for task, good, bad in (("site.call", "call", "fails"), ("site.plain", "plain", "fails_plainly")):
        await lab.ends(await lab.submit(task, name=good))
        row = await lab.ends(await lab.submit(task, name=bad), DEAD)
        assert "the task's own" in row["error"]
    record = lab.hopyard.plugins.record("other")
    assert (record.hook_failures > 0) == ("swallows" not in fault)


@pytest.mark.parametrize("kind", [Faulty, FaultyAsync])
@pytest.mark.parametrize("where", ["enter", "leave"])
async def test_around_its_own_tasks_a_wrappers_error_is_the_tasks(
    lab: Lab, worker: Worker, kind: type[Faulty], where: str
) -> None:
    wrap(lab, lambda job: kind(**{where: ValueError("my own wrapper")}))
    lab.hopyard.plugins.callers._of["run_task"] = tuple(
        caller._replace(plugin="site") for caller in lab.hopyard.plugins.callers.of("run_task")
    )
    lab.calls.update(call=here, plain=plain)
    for task, name in (("site.call", "call"), ("site.plain", "plain")):
        row = await lab.ends(await lab.submit(task, name=name), DEAD)
        assert "my own wrapper" in row["error"]


@pytest.mark.parametrize("where", ["enter", "leave"])
async def test_a_wrapper_that_hangs_is_left_behind(
    lab: Lab, worker: Worker, where: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wrapping, "WRAP_SECONDS", 0.2)
    go_on = threading.Event()

    class Hanging(contextlib.AbstractContextManager[None]):
        def __enter__(self) -> None:
            if where == "enter":
                go_on.wait()

        def __exit__(self, *error: Any) -> None:
            if where == "leave":
                go_on.wait()

    runs = []

    def once(job: Job) -> str:
        runs.append(job.id)
        return "done"

    wrap(lab, lambda job: Hanging())
    lab.calls["once"] = once
    try:
        id_ = await lab.submit("site.plain", name="once")
        await lab.ends(id_)
    finally:
        go_on.set()
    assert runs == [id_]
    assert "`run_task`: it had not returned" in lab.hopyard.plugins.record("other").switched_off["run_task"]
    await lab.ends(await lab.submit("site.plain", name="once"))


@pytest.mark.parametrize("where", ["enter", "leave"])
async def test_an_async_wrapper_that_hangs_is_left_behind(
    lab: Lab, worker: Worker, where: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wrapping, "WRAP_SECONDS", 0.2)

    @contextlib.asynccontextmanager
    async def around(job: Job) -> AsyncIterator[None]:
        if where == "enter":
            await asyncio.Event().wait()
        yield
        if where == "leave":
            await asyncio.Event().wait()

    wrap(lab, around)
    lab.calls["call"] = here
    await lab.ends(await lab.submit())
    assert "run_task" in lab.hopyard.plugins.record("other").switched_off


async def test_a_job_is_cancelled_within_a_wrapper(lab: Lab, worker: Worker) -> None:
    left = []

    @contextlib.asynccontextmanager
    async def around(job: Job) -> AsyncIterator[None]:
        try:
            yield
        finally:
            left.append(job.id)

    began = threading.Event()

    async def waits(job: Job) -> None:
        began.set()
        await asyncio.Event().wait()

    wrap(lab, around)
    lab.calls["call"] = waits
    id_ = await lab.submit()
    await lab.until(began.is_set)
    worker.engine._soon(worker.engine._cancel_here, id_)
    await lab.ends(id_, CANCELLED)
    assert left == [id_]


async def test_a_wrapper_that_fails_ten_times_in_a_row_is_switched_off(lab: Lab, worker: Worker) -> None:
    calls = []

    def around(job: Job) -> Any:
        calls.append(job.id)
        raise ValueError("always")

    wrap(lab, around)
    lab.calls["call"] = here
    for _ in range(12):
        await lab.ends(await lab.submit())
    assert len(calls) == 10
    record = lab.hopyard.plugins.record("other")
    assert record.hook_failures == 10
    assert "10 times in a row" in record.warnings[0]

    async def told() -> bool:
        found = await set_aside.of(lab.ledger.database, "other")
        return [one["kind"] for one in found] == ["hook"]

    await lab.until(told)  # for `hopyard doctor`, which looks from another process


def child(lab: Lab, task: str, function: Any) -> Any:
    """Run a task's function as the child process of `pool="process"` does, in the main thread."""
    lab.calls["child"] = function
    job = SimpleNamespace(id="1", task=task)
    return main._value(lab.hopyard, job, lab.hopyard.task(task), {"job": job, "name": "child"})  # type: ignore[arg-type]


@pytest.mark.parametrize("fault", FAULTS)
async def test_in_a_child_process_a_faulty_wrapper_changes_no_outcome(lab: Lab, fault: str) -> None:
    wrap(lab, FAULTS[fault])

    async def well(job: Any) -> str:
        return "well"

    assert child(lab, "site.plain", lambda job: "well") == "well"
    assert child(lab, "site.call", well) == "well"
    with pytest.raises(ValueError, match="the task's own"):
        child(lab, "site.plain", lambda job: raises_own())


def raises_own() -> None:
    raise ValueError("the task's own")


@pytest.mark.parametrize("where", ["__enter__", "__exit__"])
async def test_in_a_child_process_a_wrapper_that_hangs_is_left_behind(
    lab: Lab, where: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wrapping, "WRAP_SECONDS", 0.2)
    forever = type("Forever", (Faulty,), {where: lambda self, *error: threading.Event().wait()})
    wrap(lab, lambda job: forever())
    assert child(lab, "site.plain", lambda job: "well") == "well"
    assert "run_task" in lab.hopyard.plugins.record("other").switched_off


async def test_without_a_wrapper_nothing_is_put_around_a_run(
    lab: Lab, worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hopyard.engine.run.runner.Wrappers", None)
    lab.calls.update(call=here, plain=plain)
    await lab.ends(await lab.submit())
    await lab.ends(await lab.submit("site.plain", name="plain"))
