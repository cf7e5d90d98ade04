"""`route_task` and `admit_task`: where calls go, whether they are taken, and what a faulty answer costs."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest
from engines import Lab
from hopyard import Plugin, PluginSettings, hookimpl
from hopyard.errors import NotAdmitted, SpecError
from hopyard.loading import _callers
from hopyard.routing import Admission, Route
from hopyard.specs import Category, State, Verdict

ANSWERS: dict[str, Callable[..., Any]] = {}


class Routing(Plugin[PluginSettings]):
    @hookimpl
    def route_task(self, task: str, arguments: Any, person: str | None) -> Any:
        return ANSWERS["route"](task, arguments, person)


class Admitting(Plugin[PluginSettings]):
    @hookimpl
    def admit_task(self, task: str, arguments: Any, person: str | None) -> Any:
        return ANSWERS["admit"](task, arguments, person)


class Classifying(Plugin[PluginSettings]):
    @hookimpl
    def classify_error(self, task: str, error: BaseException) -> Any:
        return ANSWERS["classify"](task, error)


async def test_a_plugin_routes_single_calls(lab: Lab) -> None:
    asked = []

    def route(task: str, arguments: Any, person: str | None) -> Route | None:
        asked.append((task, arguments, person))
        return Route("site.one", 9) if arguments["n"] else None

    ANSWERS["route"] = route
    lab.plugin("router", Routing)
    call = lab.hopyard.task("site.call")
    handles = [await call.options(person="ada").submit(n=1), *await call.submit_many([{"n": 0}, {"n": 2}])]
    rows = [await lab.row(handle.id) for handle in handles]
    routes = [(row["queue"], row["priority"]) for row in rows]
    assert routes == [("site.one", 9), ("site", 5), ("site.one", 9)]
    assert asked == [
        ("site.call", {"n": 1}, "ada"),
        ("site.call", {"n": 0}, None),
        ("site.call", {"n": 2}, None),
    ]


async def test_what_the_caller_says_comes_before_a_route(lab: Lab) -> None:
    ANSWERS["route"] = lambda *_: Route("site.one", 9)
    lab.plugin("router", Routing)
    call = lab.hopyard.task("site.call")
    row = await lab.row((await call.options(queue="site", priority=0).submit()).id)
    assert (row["queue"], row["priority"]) == ("site", 0)


async def test_celerys_ways_to_call_are_routed_as_well(lab: Lab) -> None:
    ANSWERS["route"] = lambda task, arguments, person: Route("site.one") if arguments == {"a": 1} else None
    lab.plugin("router", Routing)
    await lab.worker()  # which takes no messages, and closes what Celery's calls open
    row = await lab.row(lab.hopyard.task("site.add").apply_async((1,)).id)
    assert row["queue"] == "site.one"


async def test_a_plugin_refuses_a_call_with_its_reason(lab: Lab) -> None:
    ANSWERS["admit"] = lambda task, *_: Admission(refused="over your quota") if task == "site.call" else None
    lab.plugin("gate", Admitting)
    with pytest.raises(NotAdmitted, match=r"site\.call is not taken: over your quota"):
        await lab.submit()
    assert await lab.ledger.database.fetch("SELECT id FROM job_live") == []
    assert await lab.state(await lab.submit("site.plain")) == State.QUEUED


async def test_a_plugin_delays_a_call(lab: Lab) -> None:
    ANSWERS["admit"] = lambda *_: Admission(delay=3600)
    lab.plugin("gate", Admitting)
    row = await lab.row(await lab.submit())
    assert row["state"] == State.SCHEDULED
    later = await lab.row((await lab.hopyard.task("site.call").options(delay=7200).submit()).id)
    assert later["eta"] > row["eta"]


def raises(*_: Any) -> Any:
    raise ValueError("no idea")


def ends(*_: Any) -> Any:
    raise SystemExit(3)


@pytest.mark.parametrize(
    "answer",
    [raises, ends, lambda *_: "site.one", lambda *_: Route("nowhere"), lambda *_: Route(priority=77)],
    ids=["raises", "exits", "text", "unknown queue", "no priority"],
)
async def test_a_faulty_answer_is_none(lab: Lab, answer: Any) -> None:
    ANSWERS["route"], ANSWERS["admit"] = answer, raises
    lab.plugin("router", Routing)
    lab.plugin("gate", Admitting)
    row = await lab.row(await lab.submit())
    assert (row["queue"], row["priority"], row["state"]) == ("site", 5, State.QUEUED)
    assert lab.hopyard.plugins.record("gate").hook_failures == 1


async def test_the_next_plugin_is_asked_where_one_has_no_answer(lab: Lab) -> None:
    class Second(Plugin[PluginSettings]):
        @hookimpl
        def route_task(self, task: str) -> Route:
            return Route(priority=8)

    ANSWERS["route"] = raises
    lab.plugin("second", Second)
    lab.plugin("router", Routing)
    assert (await lab.row(await lab.submit()))["priority"] == 8


@pytest.mark.parametrize("kind", ["route", "admit"])
async def test_a_hook_that_hangs_is_not_asked_again(
    lab: Lab, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    go_on, asked = threading.Event(), []

    def hangs(*_: Any) -> None:
        asked.append(1)
        go_on.wait()

    plugins = lab.hopyard.plugins
    ANSWERS[kind] = hangs
    lab.plugin("slow", Routing if kind == "route" else Admitting)
    monkeypatch.setattr(plugins, "_decide", _in_a_tenth_of_a_second(plugins))
    try:
        for _ in range(3):
            assert await lab.state(await lab.submit()) == State.QUEUED
    finally:
        go_on.set()
    assert len(asked) == 1
    assert f"{kind}_task" in plugins.record("slow").switched_off


def _in_a_tenth_of_a_second(plugins: Any) -> Any:
    decide = plugins._decide
    return lambda *args, **options: decide(*args, **{**options, "seconds": 0.1})


async def test_a_classification_that_hangs_costs_no_other_job(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    go_on = threading.Event()
    ANSWERS["classify"] = lambda *_: go_on.wait()
    lab.plugin("slow", Classifying)
    plugins = lab.hopyard.plugins
    monkeypatch.setattr(plugins, "_decide", _in_a_tenth_of_a_second(plugins))
    try:
        assert plugins.classify("site.call", ValueError("x")) is None
    finally:
        go_on.set()
    ANSWERS["classify"] = lambda *_: Verdict(Category.TRANSIENT)
    assert plugins.classify("site.call", ValueError("x")) is None  # it is switched off


async def test_nobody_is_asked_where_no_plugin_decides(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hopyard.tasks.declaration.decided", raises)
    monkeypatch.setattr(_callers, "bounded", raises)
    assert await lab.state(await lab.submit()) == State.QUEUED


@pytest.mark.parametrize(
    ("make", "expected"),
    [
        (lambda: Route(), "a queue, a priority, or both"),
        (lambda: Route(priority=10), "from 0 to 9"),
        (lambda: Route(queue=""), "not empty"),
        (lambda: Admission(refused=" "), "not empty"),
        (lambda: Admission(delay=-1), "from 0"),
        (lambda: Admission(delay=float("nan")), "from 0"),
    ],
)
def test_answers_check_themselves(make: Callable[[], Any], expected: str) -> None:
    with pytest.raises(SpecError, match=expected):
        make()
