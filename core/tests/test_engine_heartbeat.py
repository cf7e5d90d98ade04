"""The lease is renewed whatever the event loop does; a blocked loop is named, and a lost lease told."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hopyard import portal
from hopyard.engine import heartbeat as module
from hopyard.engine.heartbeat import Heartbeat
from hopyard.errors import LedgerUnavailable
from hopyard.ledger import cancelling, workers
from hopyard.ledger.database import open_database

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
Ledger = Any


class Told:
    def __init__(self) -> None:
        self.commands: list[Any] = []
        self.lost = 0
        self.patience: list[float] = []
        """For how long the ledger's answers are waited for."""
        self.blocked_for: list[float] = []
        self.ended: list[tuple[str, BaseException]] = []

    def lose(self) -> None:
        self.lost += 1

    async def blocked(self, database: Any, seconds: float) -> None:
        self.blocked_for.append(seconds)

    def end(self, why: str, error: BaseException) -> None:
        self.ended.append((why, error))


@pytest.fixture
def told() -> Told:
    return Told()


@pytest.fixture
def start(database_url: str, told: Told) -> Iterator[Callable[..., Heartbeat]]:
    made: list[Heartbeat] = []

    def start(worker: int, lease: float = 60.0, seen: int = 0, interval: float = 0.01) -> Heartbeat:
        def opened(seconds: float) -> Any:
            told.patience.append(seconds)
            return open_database(database_url, seconds)

        beating = Heartbeat(
            opened,
            worker=lambda: worker,
            lease=lease,
            interval=interval,
            loop=portal.loop(),
            on_commands=told.commands.extend,
            on_lost=told.lose,
            on_blocked=told.blocked,
            on_end=told.end,
            seen=seen,
        )
        beating.start()
        made.append(beating)
        return beating

    yield start
    for beating in made:
        beating.stop()


async def beats(ledger: Ledger, worker: int) -> Any:
    return (await ledger.database.fetch("SELECT beat FROM worker WHERE id = $1", worker))[0]["beat"]


async def test_a_blocked_loop_is_named_and_costs_no_lease(
    ledger: Ledger,
    start: Callable[..., Heartbeat],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    until: Any,
) -> None:
    monkeypatch.setattr(module, "_BLOCKED_SECONDS", 0.05)
    worker, gate = await ledger.worker(), threading.Event()

    def a_task_that_blocks() -> None:
        gate.wait(20)

    portal.loop().call_soon_threadsafe(a_task_that_blocks)
    try:
        start(worker)
        await until(lambda: "the event loop is blocked" in caplog.text)
        assert "a_task_that_blocks" in caplog.text
        before = await beats(ledger, worker)
        while await beats(ledger, worker) == before:
            continue
    finally:
        gate.set()
    assert len([r for r in caplog.records if r.levelno == logging.WARNING]) == 1, "once is enough"


async def test_a_slow_ledger_is_no_blocked_loop(
    ledger: Ledger,
    start: Callable[..., Heartbeat],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    until: Any,
) -> None:
    monkeypatch.setattr(module, "_BLOCKED_SECONDS", 0.05)
    calls, slow = [], threading.Event()

    async def beat(*_: Any) -> bool:
        calls.append(1)
        slow.wait(0.1)
        return True

    monkeypatch.setattr(workers, "beat", beat)
    start(await ledger.worker())
    await until(lambda: len(calls) >= 4)
    slow.set()
    assert "blocked" not in caplog.text


async def test_commands_since_the_worker_registered_are_told_once(
    ledger: Ledger, start: Callable[..., Heartbeat], told: Told, until: Any
) -> None:
    """A job may run, and be cancelled, before the first beat; what is older is nobody's here."""
    worker = await ledger.worker()
    old, early, new = [await ledger.running(worker) for _ in range(3)]
    await cancelling.cancel(ledger.database, [old.id], "long ago")
    await ledger.later("command", "created", 3600)
    seen = await workers.last_command(ledger.database)
    await cancelling.cancel(ledger.database, [early.id], "before the first beat")
    start(worker, seen=seen)
    await until(lambda: told.commands)
    await cancelling.cancel(ledger.database, [new.id], "now")
    await until(lambda: len(told.commands) > 1)
    before = await beats(ledger, worker)
    while await beats(ledger, worker) == before:
        continue
    assert [command.target for command in told.commands] == [early.id, new.id]


async def test_a_command_that_became_visible_after_a_later_one_is_told(
    ledger: Ledger, start: Callable[..., Heartbeat], told: Told, until: Any
) -> None:
    start(await ledger.worker())
    now = ledger.database.dialect.now
    for n in (20, 19):
        await ledger.database.execute(
            f"INSERT INTO command (n, kind, target, created) VALUES ({n}, 'cancel', $1, {now})", str(n)
        )
        await until(lambda n=n: [c for c in told.commands if c.n == n])
    assert [command.target for command in told.commands] == ["20", "19"]


async def test_a_lost_lease_is_told(
    ledger: Ledger, start: Callable[..., Heartbeat], told: Told, until: Any
) -> None:
    worker = await ledger.worker()
    await workers.leave(ledger.database, worker)
    beating = start(worker)
    await until(lambda: told.lost)
    assert not beating.holds(worker)
    assert beating.holds(worker + 1), "it goes on under another number"


async def test_a_process_that_was_frozen_knows_that_its_lease_is_over_before_its_timer_does(
    ledger: Ledger, start: Callable[..., Heartbeat], told: Told, monkeypatch: pytest.MonkeyPatch, until: Any
) -> None:
    frozen = threading.Event()

    async def beat(*_: Any) -> bool:
        frozen.wait(20)  # with it the loop on which the timer is
        return True

    monkeypatch.setattr(workers, "beat", beat)
    worker = await ledger.worker()
    beating = start(worker, lease=0.5)
    try:
        await until(lambda: not beating.holds(worker))
        assert not told.lost
    finally:
        frozen.set()


async def test_an_answer_about_a_number_that_is_no_longer_ours_is_no_loss(
    ledger: Ledger, start: Callable[..., Heartbeat], told: Told, monkeypatch: pytest.MonkeyPatch, until: Any
) -> None:
    """It was given up and has gone on under another number, while the ledger's answer was on its way."""
    asked: list[int] = []
    made = threading.Event()

    async def beat(_: Any, number: int) -> bool:
        made.wait(20)
        asked.append(number)
        beating._worker = lambda: 2
        return number == 2

    monkeypatch.setattr(workers, "beat", beat)
    beating = start(1)
    made.set()
    await until(lambda: len(asked) > 2)
    assert asked[:2] == [1, 2]
    assert not told.lost
    assert beating.holds(2)


@pytest.mark.parametrize("error", [LedgerUnavailable("away"), ValueError("a bug")])
async def test_without_a_beat_for_a_whole_lease_it_counts_as_lost(
    ledger: Ledger,
    start: Callable[..., Heartbeat],
    told: Told,
    monkeypatch: pytest.MonkeyPatch,
    until: Any,
    error: Exception,
) -> None:
    """Also where the reason is one that nobody thought of: the thread goes on."""

    async def beat(*_: Any) -> bool:
        raise error

    monkeypatch.setattr(workers, "beat", beat)
    start(await ledger.worker(), lease=0.03)
    await until(lambda: told.lost >= 2)


async def test_an_answer_that_never_comes_leaves_time_for_another_beat(
    ledger: Ledger, start: Callable[..., Heartbeat], told: Told, until: Any
) -> None:
    start(await ledger.worker(), lease=60.0)
    await until(lambda: told.patience)
    assert told.patience == [20.0]


async def test_a_beat_that_failed_is_soon_tried_again(
    ledger: Ledger, start: Callable[..., Heartbeat], monkeypatch: pytest.MonkeyPatch, until: Any
) -> None:
    calls = []

    async def beat(*_: Any) -> bool:
        calls.append(1)
        raise LedgerUnavailable("it starts")

    monkeypatch.setattr(workers, "beat", beat)
    start(await ledger.worker(), lease=3000.0, interval=1000.0)
    await until(lambda: len(calls) > 1)


async def test_a_lease_ends_while_an_answer_is_waited_for(
    ledger: Ledger, start: Callable[..., Heartbeat], told: Told, monkeypatch: pytest.MonkeyPatch, until: Any
) -> None:
    """On a line that was cut a statement comes back long after the lease has ended."""
    away = asyncio.Event()

    async def beat(*_: Any) -> bool:
        await away.wait()
        raise LedgerUnavailable("cut")

    monkeypatch.setattr(workers, "beat", beat)
    beating = start(await ledger.worker(), lease=0.03)
    await until(lambda: told.lost)
    loop = beating._end._loop  # type: ignore[union-attr]
    loop.call_soon_threadsafe(away.set)


async def test_a_heartbeat_that_ends_ends_the_process(
    start: Callable[..., Heartbeat], told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def beat(self: Heartbeat) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Heartbeat, "_beat", beat)
    start(1)._thread.join(10)
    assert [why for why, _ in told.ended] == ["the heartbeat ended"]
