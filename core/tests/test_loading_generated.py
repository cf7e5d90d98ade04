"""Plugins of any kind: each is enabled and right, or out with its reason, and never hurts another."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from hopyard import (
    HealthCheck,
    Notifier,
    Plugin,
    PluginSettings,
    Queue,
    RetryPolicy,
    Rule,
    Schedule,
    Tool,
    hookimpl,
    task,
)
from hopyard.errors import TransientError
from hopyard.loading import PluginState, load_plugins
from hopyard.settings import Settings
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import SecretStr


class Own(BaseException):
    """No Exception."""


class Odd:
    """Cannot even be shown."""

    def __repr__(self) -> str:
        raise RuntimeError("no text")

    def __eq__(self, other: object) -> bool:
        raise RuntimeError("no comparison")

    __hash__ = None  # type: ignore[assignment]


def raising(error: BaseException) -> Callable[..., Any]:
    def behave(*_: Any) -> Any:
        raise error

    return behave


def giving(value: Any) -> Callable[..., Any]:
    return lambda *_: value


def declared(**options: Any) -> Callable[..., Any]:
    """Declare a task within the hook, as some plugins do."""

    def behave(*_: Any) -> Any:
        def made(value: Any = 1) -> Any: ...

        annotation = options.get("annotation", int)
        made.__annotations__ = {"value": annotation, "return": options.get("returns", int)}
        name = options.get("name", "bad.work")
        rest = {key: value for key, value in options.items() if key not in ("annotation", "returns", "name")}
        return [task(name, **rest)(made)]

    return behave


ERRORS = [
    *(ValueError("\ud800"), SystemExit(3), Own("x"), GeneratorExit(), StopIteration(), TransientError("t")),
    *(asyncio.CancelledError(), RecursionError("deep"), MemoryError(), ExceptionGroup("g", [ValueError()])),
]
ODD = [None, 5, "text", b"x", {}, {"a": 1}, [None], [Odd()], [[]], [int], [Plugin], Odd(), object(), [print]]
ANY = st.sampled_from([*map(raising, ERRORS), *map(giving, ODD)])
TASKS = st.builds(
    declared,
    name=st.sampled_from(["bad.work", "good.work", "bad", "bad.a b", "bad." + "x" * 300, "bad.\ud800", ""]),
    annotation=st.sampled_from([int, "Nowhere", Odd, SecretStr, Any, "1/0", 5, list["Later"], Callable]),  # type: ignore[name-defined]  # noqa: F821
    returns=st.sampled_from([int, None, "Nowhere", Odd, SecretStr]),
    priority=st.sampled_from([None, 0, 9, 10, "5", True]),
    queue=st.sampled_from([None, "bad", "good", "nobody", "", 5]),
    time_limit=st.sampled_from([None, 1, 0, -1, float("nan"), "1"]),
    retry=st.sampled_from([None, RetryPolicy(), 5]),
    tool=st.sampled_from([True, False, Tool(), "yes"]),
    pool=st.sampled_from(["auto", "process", "prefork"]),
)
GOOD_TASK = giving([task("bad.work")(lambda: None)])


def making(kind: Callable[..., Any], *arguments: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """A hook that makes one value of a kind from arguments that are right or odd."""
    odd = st.sampled_from([None, "", 5, "\0", float("nan"), object()])
    return st.tuples(*(argument | odd for argument in arguments)).map(
        lambda values: lambda *_: [kind(*(v() if callable(v) else v for v in values))]
    )


RULES = st.sampled_from(
    [
        lambda: Rule(every=60),
        lambda: Rule(after="good.tick"),
        lambda: Rule(cron="61 * * * *"),
        lambda: Rule(rrule="FREQ=YEARLY;BYEASTER=0"),
        lambda: Rule(),
    ]
)
HOOKS = {
    "register_tasks": st.just(GOOD_TASK) | TASKS | ANY,
    "register_queues": making(Queue, st.just("bad"), st.integers(1, 5)) | ANY,
    "register_schedules": making(Schedule, st.just("bad.tick"), st.sampled_from(["bad.work", "a.b"]), RULES)
    | ANY,
    "register_health_checks": making(HealthCheck, st.just("check"), st.just(lambda: print)) | ANY,
    "register_notifiers": making(Notifier, st.just("bird"), st.just(lambda: print)) | ANY,
    "start_process": ANY,
}


@task("good.work")
def work(n: int = 0) -> None: ...


async def deliver(address: str, message: Any) -> None: ...


class Good(Plugin[PluginSettings]):
    @hookimpl
    def register_tasks(self) -> Any:
        return [work]

    @hookimpl
    def register_schedules(self) -> Any:
        return [Schedule("good.tick", "good.work", Rule(every=60))]

    @hookimpl
    def register_notifiers(self) -> Any:
        return [Notifier("pigeon", deliver)]


@settings(deadline=None)
@given(st.fixed_dictionaries({}, optional=HOOKS))
def test_a_plugin_is_right_or_out_alone(hooks: dict[str, Callable[..., Any]]) -> None:
    def method(behave: Callable[..., Any]) -> Any:
        def hook(self: Any) -> Any:
            return behave()

        return hookimpl(hook)

    bad = type("Bad", (Plugin,), {name: method(behave) for name, behave in hooks.items()})
    plugins = load_plugins(
        Settings(),
        role="cli",
        builtin={
            "good": Good,
            "bad": bad,
        },
        distributions=[],
    )
    plugins.start_process("worker", time_limit=5)
    assert "good" in plugins.names
    assert plugins.schedules["good.tick"].rule.zone == "UTC"
    assert plugins.options["good.work"].queue == "good"
    assert "pigeon" in plugins.notifiers
    record = plugins.record("bad")
    if record.state is PluginState.ENABLED:
        for name, made in plugins.tasks.items():
            assert made.payload.schema()
            assert plugins.options[name].queue in plugins.queues
        return
    assert record.stage
    assert (record.reason + record.hint + record.traceback + record.stage).encode()
    assert not [name for name in (*plugins.tasks, *plugins.queues) if name.startswith("bad")]
