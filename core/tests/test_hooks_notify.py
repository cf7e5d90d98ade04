"""The notify hooks: what plugins are told, in which thread, and that none of it touches a job."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from engines import Lab, Worker
from hopyard import Job, Plugin, PluginSettings, hookimpl
from hopyard.events import Event, PluginEvent, TaskEvent
from hopyard.loading import _telling
from hopyard.loading._records import Failure
from hopyard.specs import State

SUCCEEDED, DEAD, CANCELLED = State.SUCCEEDED, State.DEAD, State.CANCELLED


class Told:
    """What one plugin was told."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.threads: set[str] = set()
        self.lists = 0
        self.before: Callable[[], Any] = lambda: None

    def take(self, events: Sequence[Event]) -> None:
        self.lists += 1
        self.threads.add(threading.current_thread().name)
        self.before()
        assert isinstance(events, tuple)
        self.events += events

    def kinds(self, job: str) -> list[str]:
        return [one.kind for one in self.events if isinstance(one, TaskEvent) and one.job == job]

    def of(self, job: str, kind: str) -> TaskEvent:
        (found,) = (e for e in self.events if isinstance(e, TaskEvent) and (e.job, e.kind) == (job, kind))
        return found


TOLD: dict[str, Told] = {}


class Listening(Plugin[PluginSettings]):
    @hookimpl
    def on_event(self, events: Sequence[Event]) -> None:
        TOLD[self.name].take(events)


class Endings(Plugin[PluginSettings]):
    @hookimpl
    def on_task_succeeded(self, events: Sequence[TaskEvent]) -> None:
        TOLD[self.name].take(events)

    @hookimpl
    def on_task_dead(self, events: Sequence[TaskEvent]) -> None:
        TOLD[self.name].take(events)


def listening(lab: Lab, name: str = "ears", cls: type[Plugin[Any]] = Listening) -> Told:
    TOLD[name] = Told()
    lab.plugin(name, cls)
    return TOLD[name]


async def good(job: Job) -> str:
    job.progress(1, 2, "half")
    return "done"


async def bad(job: Job) -> None:
    raise ValueError("broken")


async def test_a_job_is_told_of_from_its_submit_to_its_end(lab: Lab, worker: Worker) -> None:
    told = listening(lab)
    lab.calls["call"] = good
    id_ = (await lab.hopyard.task("site.call").options(person="ada").submit()).id
    await lab.ends(id_)
    await lab.until(lambda: "succeeded" in told.kinds(id_))
    assert told.kinds(id_) == ["sent", "started", "progress", "succeeded"]
    sent, started, ended = (told.of(id_, kind) for kind in ("sent", "started", "succeeded"))
    assert (sent.task, sent.queue, sent.attempt, sent.worker, sent.person) == (
        *("site.call", "site", 0, None, "ada"),
    )
    assert (started.attempt, started.worker) == (1, worker.engine.number)
    assert ended.seconds is not None
    assert sent.at <= started.at <= ended.at
    progress = told.of(id_, "progress")
    assert (progress.current, progress.total, progress.message) == (1, 2, "half")
    assert told.threads == {"hopyard-notify-ears"}


async def test_a_failure_is_told_with_what_comes_of_it(lab: Lab, worker: Worker) -> None:
    told = listening(lab)
    lab.calls["call"] = bad
    id_ = await lab.submit()
    await lab.ends(id_, DEAD)
    await lab.until(lambda: "dead" in told.kinds(id_))
    failures = [kind for kind in told.kinds(id_) if kind not in ("sent", "started")]
    assert failures == ["failed", "dead"]
    dead = told.of(id_, "dead")
    assert (dead.error, dead.message, dead.category) == ("ValueError", "broken", "bug")


async def test_a_retry_is_told_with_its_time(lab: Lab, worker: Worker) -> None:
    async def once(job: Job) -> str:
        if job.attempt == 1:
            raise ConnectionError("busy")
        return "done"

    told = listening(lab)
    lab.calls["call"] = once
    id_ = await lab.submit()
    await lab.ends(id_)
    await lab.until(lambda: "succeeded" in told.kinds(id_))
    assert told.kinds(id_) == ["sent", "started", "failed", "retried", "started", "succeeded"]
    assert told.of(id_, "retried").eta is not None


async def test_cancelled_and_parked_jobs_are_told_of(lab: Lab, worker: Worker) -> None:
    told = listening(lab)
    began = threading.Event()

    async def waits(job: Job) -> None:
        began.set()
        await asyncio.Event().wait()

    lab.calls["call"] = waits
    id_ = await lab.submit()
    await lab.until(began.is_set)
    worker.engine._soon(worker.engine._cancel_here, id_)
    await lab.ends(id_, CANCELLED)
    unknown = worker.foreign("site.nothing")
    await lab.until(lambda: "parked" in told.kinds(unknown) and "cancelled" in told.kinds(id_))
    assert "no task site.nothing" in (told.of(unknown, "parked").message or "")


@pytest.mark.parametrize(("crashes", "end"), [(0, "retried"), (2, "dead")])
async def test_a_job_whose_worker_died_is_told_of(lab: Lab, crashes: int, end: str) -> None:
    told = listening(lab)
    claim = await lab.ledger.running(await lab.ledger.worker("dead"), task="site.call", queue="site")
    await lab.ledger.database.execute("UPDATE job_live SET crashes = $1", crashes)
    await lab.ledger.later("worker", "beat", 60)
    await lab.worker()
    await lab.until(lambda: end in told.kinds(claim.id))
    assert told.kinds(claim.id)[:2] == ["failed", end]
    event = told.of(claim.id, end)
    assert (event.error, event.category, event.attempt) == ("WorkerLost", "resource", 1)


async def test_only_what_a_plugin_wants_is_told(lab: Lab, worker: Worker) -> None:
    told = listening(lab, "ends", Endings)
    lab.calls.update(call=good, bad=bad)
    first, second = await lab.submit(), await lab.submit(name="bad")
    await lab.until(lambda: told.kinds(first) and told.kinds(second))
    assert (told.kinds(first), told.kinds(second)) == (["succeeded"], ["dead"])


async def test_a_plugin_that_fails_later_is_told_of_once(lab: Lab, worker: Worker) -> None:
    told = listening(lab)
    lab.plugin("broken", Plugin)
    lab.hopyard.plugins._withdraw("broken", Failure("start", "it is broken", "mend it"))
    await lab.until(lambda: told.events)
    (event,) = told.events
    assert isinstance(event, PluginEvent)
    assert (event.plugin, event.state, event.reason) == ("broken", "quarantined", "it is broken")


async def test_a_hook_that_raises_is_switched_off_and_touches_nothing(lab: Lab, worker: Worker) -> None:
    broken, well = listening(lab, "broken"), listening(lab, "well")

    def raises() -> None:
        raise SystemExit(3)

    broken.before = raises
    lab.calls["call"] = good
    while not lab.hopyard.plugins.record("broken").switched_off:
        id_ = await lab.submit()
        await lab.ends(id_)
        await lab.until(lambda: "succeeded" in well.kinds(id_))  # noqa: B023 - awaited here
    assert "10 times in a row" in lab.hopyard.plugins.record("broken").switched_off["on_event"]
    lists = broken.lists
    id_ = await lab.submit()
    await lab.until(lambda: "succeeded" in well.kinds(id_))
    assert broken.lists == lists


async def test_a_hook_that_hangs_costs_only_its_own_events(
    lab: Lab, worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_telling, "NOTIFY_SECONDS", 0.05)
    monkeypatch.setattr(_telling, "ROOM", 5)
    slow, well = listening(lab, "slow"), listening(lab, "well")
    go_on = threading.Event()
    slow.before = go_on.wait
    lab.calls["call"] = good
    try:
        while not lab.hopyard.plugins.record("slow").switched_off:
            id_ = await lab.submit()
            await lab.ends(id_)
            await lab.until(lambda: "succeeded" in well.kinds(id_))  # noqa: B023 - awaited here
    finally:
        go_on.set()
    assert "had not returned" in lab.hopyard.plugins.record("slow").switched_off["on_event"]


async def test_what_does_not_fit_is_dropped_and_counted(
    lab: Lab, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(_telling, "ROOM", 3)
    slow = listening(lab, "slow")
    go_on = threading.Event()
    slow.before = go_on.wait
    try:
        await lab.submit()
        await lab.until(lambda: slow.lists == 1)
        for _ in range(5):
            await lab.submit()
        assert lab.hopyard.plugins.record("slow").dropped_events == 2
        assert "plugin slow is too slow for its events" in caplog.text
    finally:
        go_on.set()
    await lab.until(lambda: len(slow.events) == 4)


async def test_what_is_dropped_in_a_worker_is_seen_from_other_processes(
    lab: Lab, worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As by `hopyard doctor`, which tells of all that was set aside lately."""
    monkeypatch.setattr(_telling, "ROOM", 3)
    slow, go_on = listening(lab, "slow"), threading.Event()
    slow.before = go_on.wait
    lab.calls["call"] = good
    try:
        for _ in range(5):
            await lab.ends(await lab.submit())
        kept = "SELECT target, reason FROM set_aside WHERE kind = 'events'"
        (row,) = await lab.until(lambda: lab.ledger.database.fetch(kept))
        assert (row["target"], "were not told" in row["reason"]) == ("slow", True)
    finally:
        go_on.set()


async def test_an_observer_that_raises_costs_nobody_else(lab: Lab, worker: Worker) -> None:
    class Broken(dict[str, Any]):
        def __or__(self, other: Any) -> Any:
            raise ValueError("an observer's own")

        __ior__ = __or__

    events = next(call.__self__ for call in worker.engine._observers._calls["begun"][1:])
    told = listening(lab)
    events._ended = Broken()
    lab.calls["call"] = good
    await lab.ends(await lab.submit())
    await lab.ends(await lab.submit())
    await lab.until(lambda: worker.engine._running == {})
    await lab.until(lambda: told.lists > 0)


async def test_nothing_is_made_where_nobody_listens(
    lab: Lab, worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[Any] = []
    monkeypatch.setattr("hopyard.engine.plugin_events.TaskEvent", lambda *a, **k: made.append(a))
    monkeypatch.setattr("hopyard.app.TaskEvent", lambda *a, **k: made.append(a))
    lab.calls.update(call=good, bad=bad)
    await lab.ends(await lab.submit())
    await lab.ends(await lab.submit(name="bad"), DEAD)
    assert made == []
    assert lab.hopyard.plugins.teller._queues == {}
