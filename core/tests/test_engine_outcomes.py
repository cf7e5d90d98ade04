"""What a `def` task's outcome runs of its own code runs in the task's thread, within its time limit."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from engines import Gate, Lab, Worker
from hopyard import hookimpl
from hopyard.errors import TransientError
from hopyard.monitor.health import run_checks
from hopyard.plugin import Plugin, PluginSettings
from hopyard.specs import Health, HealthCheck, State
from pydantic import BaseModel, model_serializer


@pytest.fixture
async def worker(lab: Lab) -> Worker:
    return await lab.worker()


class Odd(Exception):
    """An error whose text waits for a gate."""

    def __init__(self, gate: Gate) -> None:
        self._gate = gate

    def __str__(self) -> str:
        self._gate.pass_()
        return "its text"


class Noted(Exception):
    """An error whose notes, which a traceback shows, wait for a gate."""

    def __init__(self, gate: Gate) -> None:
        self._gate = gate

    @property
    def __notes__(self) -> list[str]:  # type: ignore[override]
        self._gate.pass_()
        return []


class Asking(TransientError):
    """An error that is asked when to try again."""

    def __init__(self, gate: Gate) -> None:
        self._gate = gate

    @property
    def retry_after(self) -> float:
        self._gate.pass_()
        raise SystemExit


class Model(BaseModel):
    """A result with a serializer of its own."""

    @model_serializer
    def dump(self) -> dict[str, int]:
        GATES[-1].pass_()
        return {"n": 1}


GATES: list[Gate] = []


def _raises(kind: type[Exception]) -> Callable[[Gate], Any]:
    def call(gate: Gate) -> None:
        raise kind(gate)

    return call


def _generator(gate: Gate) -> Iterator[int]:
    gate.pass_()
    yield 1


OUTCOMES: dict[str, tuple[Callable[[Gate], Any], State]] = {
    "text": (_raises(Odd), State.DEAD),
    "notes": (_raises(Noted), State.DEAD),
    "retry_after": (_raises(Asking), State.DEAD),
    "generator": (_generator, State.SUCCEEDED),
    "serializer": (lambda gate: Model(), State.SUCCEEDED),
}


@pytest.mark.parametrize(("outcome", "state"), OUTCOMES.values(), ids=OUTCOMES)
async def test_a_slow_outcome_holds_up_nobody_else(
    lab: Lab, worker: Worker, outcome: Callable[[Gate], Any], state: State
) -> None:
    gate = Gate()
    GATES.append(gate)
    lab.calls["slow"] = lambda job: outcome(gate)
    slow, good = await lab.submit("site.plain", name="slow"), await lab.submit("site.add", a=1, b=2)
    await worker.take(slow)
    await lab.until(lambda: gate.waiting, "the outcome's own code runs")
    await worker.take(good)
    await lab.ends(good)
    gate.open()
    assert (await lab.ends(slow, state))["state"] == state


@pytest.mark.parametrize("outcome", [one for one, _ in OUTCOMES.values()], ids=OUTCOMES)
async def test_an_outcome_that_never_comes_ends_at_the_time_limit(
    lab: Lab, worker: Worker, outcome: Callable[[Gate], Any]
) -> None:
    gate = Gate()
    GATES.append(gate)
    lab.calls["slow"] = lambda job: outcome(gate)
    slow = await lab.submit("site.short_plain", name="slow")
    await worker.take(slow)
    row = await lab.ends(slow, State.DEAD)
    assert json.loads(row["error"])["kind"] == "TimeLimitExceeded"
    gate.open()


async def test_types_that_check_slowly_hold_up_nobody_else(lab: Lab, worker: Worker) -> None:
    lab.calls["check"] = lambda value: value
    slow, good = await lab.submit("site.checked", n=1), await lab.submit("site.add", a=1, b=2)
    gate = Gate()
    lab.calls["check"] = lambda value: gate.pass_() or value  # type: ignore[func-returns-value]
    await worker.take(slow)
    await lab.until(lambda: gate.waiting)
    await worker.take(good)
    await lab.ends(good)
    gate.open()
    assert (await lab.ends(slow))["result"] == "1"


async def test_a_wrapper_that_hangs_behind_a_task_costs_neither_its_error_nor_its_result(
    lab: Lab, worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hopyard.engine.run.wrapping.WRAP_SECONDS", 0.1)
    gate, hangs = Gate(), Gate()

    class Hangs:
        def __enter__(self) -> None: ...

        def __exit__(self, *_: object) -> None:
            hangs.pass_()

    class Wrapping(Plugin[PluginSettings]):
        @hookimpl
        def run_task(self, job: Any) -> Any:
            return Hangs() if job.task == "site.plain" else None

    from contextlib import AbstractContextManager

    AbstractContextManager.register(Hangs)
    lab.plugin("wrapping", Wrapping)
    lab.calls["slow"] = lambda job: _raises(Odd)(gate)
    slow, good = await lab.submit("site.plain", name="slow"), await lab.submit("site.add", a=1, b=2)
    await worker.take(slow)
    await lab.until(lambda: gate.waiting, "the error is described, although the wrapper still hangs")
    await worker.take(good)
    await lab.ends(good)
    gate.open()
    assert json.loads((await lab.ends(slow, State.DEAD))["error"])["message"] == "its text"
    hangs.open()


async def test_a_health_check_is_bounded_whatever_it_returns(lab: Lab) -> None:
    gate = Gate()

    class Text(str):
        def __str__(self) -> str:
            gate.pass_()
            return "never"

        __format__ = __repr__ = __str__  # type: ignore[assignment]

    async def odd() -> Any:
        return Text("no health")

    async def error() -> Any:
        raise Odd(gate)

    async def text() -> Health:
        return Health(True, Text("well"))

    checks = [HealthCheck("odd", odd, 0.1), HealthCheck("error", error, 0.1), HealthCheck("text", text, 60)]
    found = {one.name: one for one in await run_checks([("site", check) for check in checks])}
    assert [found[name].ok for name in ("odd", "error", "text")] == [False, False, True]
    assert "no answer within 0.1 s" in found["odd"].detail
    assert type(found["text"].detail) is str
    gate.open()
