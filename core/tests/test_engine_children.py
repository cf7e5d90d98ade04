"""Child processes: their answers, their errors, their deaths, and what they print."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, nullcontext
from datetime import UTC, datetime
from typing import Any

import pytest
from engines import Lab, Worker
from hopyard.engine.processes.pool import ProcessPool, RemoteError
from hopyard.errors import ResourceError, TimeLimitExceeded
from hopyard.ledger.values import Claim, Progress, new_id
from hopyard.specs import State

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


class Host:
    """A worker that keeps what its jobs tell."""

    def __init__(self) -> None:
        self.told: list[tuple[float, float | None, str]] = []

    def note(self, progress: Progress) -> None:
        self.told.append((progress.current, progress.total, progress.message))

    async def save(self, *_: Any) -> None:
        """ProcessPool save by themselves."""

    def release_slot(self, id_: str) -> AbstractAsyncContextManager[None]:
        return nullcontext()

    def check(self, id_: str, claim: int) -> None:
        """Nobody stops them."""


def claim(do: str, n: int = 0, **values: Any) -> Claim:
    now = datetime.now(UTC)
    plain: dict[str, Any] = dict.fromkeys(Claim._fields) | {
        "id": new_id(),
        "claim": 1,
        "task": "site.child",
        "queue": "site",
        "body": json.dumps([[], {"do": do, "n": n}, None]),
        "headers": "{}",
        "attempt": 1,
        "crashes": 0,
        "created": now,
        "due": now,
        "cancel": False,
    }
    return Claim(**(plain | values))


@pytest.fixture
def host() -> Host:
    return Host()


@pytest.fixture
async def children(lab: Lab, host: Host) -> AsyncIterator[ProcessPool]:
    made = ProcessPool(host, {"HOPYARD_CONFIG": str(lab.hopyard.settings.file)})  # type: ignore[arg-type]
    yield made
    await made.close()


async def test_a_child_answers_and_is_kept_for_the_next_job(children: ProcessPool, host: Host) -> None:
    assert json.loads(await children.run(claim("echo", 3), {"page": 1}, 1, 60)) == [3, 1, {"page": 1}]
    first = children._idle[0].process
    assert int(await children.run(claim("pid"), {}, 1, 60)) == first.pid != os.getpid()
    assert await children.run(claim("progress"), {}, 1, 60) == "null"
    assert host.told == [(1, 2, "half")]


async def test_what_a_task_prints_is_no_answer(
    children: ProcessPool, capfd: pytest.CaptureFixture[str]
) -> None:
    assert json.loads(await children.run(claim("print"), {}, 1, 60)) == "real"
    await children.close()
    assert "forged" in capfd.readouterr().err


async def test_errors_come_with_their_kind_and_category(children: ProcessPool) -> None:
    with pytest.raises(RemoteError, match="slower") as limited:
        await children.run(claim("limited"), {}, 1, 60)
    assert (limited.value.kind, limited.value.category, limited.value.retry_after) == (
        "RateLimited",
        "rate_limited",
        7,
    )
    with pytest.raises(RemoteError, match="a bug") as wrong:
        await children.run(claim("wrong"), {}, 1, 60)
    assert wrong.value.category == "bug"
    assert 'raise ValueError("a bug' in wrong.value.remote_traceback
    with pytest.raises(RemoteError) as ended:
        await children.run(claim("exit"), {}, 1, 60)
    assert ended.value.kind == "SystemExit"
    assert len(children._idle) == 1, "the child lives on"


async def test_a_killed_child_is_named_with_its_signal(children: ProcessPool) -> None:
    with pytest.raises(ResourceError, match=r"site\.child died: killed by SIGKILL"):
        await children.run(claim("die"), {}, 1, 60)
    assert children._idle == []


async def test_a_child_that_died_while_idle_harms_no_job(children: ProcessPool) -> None:
    await children.run(claim("echo"), {}, 1, 60)
    child = children._idle[0].process
    child.kill()
    await child.wait()
    assert int(await children.run(claim("pid"), {}, 1, 60)) != child.pid


async def test_a_child_is_killed_at_its_time_limit_or_when_cancelled(children: ProcessPool) -> None:
    await children.run(claim("echo"), {}, 1, 60)
    child = children._idle[0].process
    with pytest.raises(TimeLimitExceeded, match=r"time limit of 0\.05 s"):
        await children.run(claim("sleep"), {}, 1, 0.05)
    assert child.returncode == -9
    await children.run(claim("echo"), {}, 1, 60)
    child = children._idle[0].process
    job = asyncio.create_task(children.run(claim("sleep"), {}, 1, 60))
    while children._idle:
        await asyncio.sleep(0)
    job.cancel()
    with pytest.raises(asyncio.CancelledError):
        await job
    assert child.returncode == -9


@pytest.mark.parametrize("do", ["daemon", "daemon_dies"])
async def test_what_a_task_started_and_left_behind_does_not_hold_up_the_end_of_its_job(
    children: ProcessPool, do: str
) -> None:
    """It has the child's standard output, of which asyncio would wait for the end."""
    limit = 0.5 if do == "daemon" else 60
    async with asyncio.timeout(10):
        with pytest.raises(TimeLimitExceeded if do == "daemon" else ResourceError):
            await children.run(claim(do), {}, 1, limit)


async def test_a_child_saves_under_its_jobs_fence_and_ends_with_its_parent(
    lab: Lab, children: ProcessPool
) -> None:
    worker = await lab.ledger.worker()
    held = await lab.ledger.running(worker, task="site.child", body=claim("save", 4).body)
    assert await children.run(held, {}, worker, 60) == "null"
    rows = await lab.ledger.database.fetch("SELECT data FROM job_checkpoint")
    assert [json.loads(row["data"]) for row in rows] == [{"page": 4}]
    with pytest.raises(RemoteError) as caught:
        await children.run(held, {}, worker + 1, 60)
    assert caught.value.kind == "StaleFence"
    child = children._idle[0]
    child.writer.close()
    assert await asyncio.wait_for(child.process.wait(), 20) == 0


async def test_the_worker_runs_process_tasks_in_children(lab: Lab) -> None:
    worker = await lab.worker()
    worker.fetch()
    good, bad = await lab.submit("site.child", do="echo", n=2), await lab.submit("site.child", do="wrong")
    assert json.loads((await lab.ends(good))["result"]) == [2, 1, {}]
    error = json.loads((await lab.ends(bad, State.DEAD))["error"])
    assert (error["kind"], error["category"]) == ("ValueError", "bug")


async def test_a_child_that_keeps_dying_is_not_tried_for_ever(lab: Lab) -> None:
    """Its third death ends the job, whatever the policy; each counts as a try of the policy before."""
    worker = await lab.worker()
    worker.fetch()
    id_ = await lab.submit("site.child", do="die")
    row = await lab.ends(id_, State.DEAD)
    assert (row["attempt"], error_of(row)["kind"]) == (3, "ProcessDied")
    assert "3 times what ran it died" in error_of(row)["message"]
    entries = json.loads(row["attempts"])
    assert [entry["evidence"]["exit"] for entry in entries] == ["killed by SIGKILL"] * 3


# --- cancelling


async def cancelled(lab: Lab, worker: Worker, do: str) -> dict[str, Any]:
    """Run a job until it says that it began, cancel it, and return how it ended."""
    id_ = await lab.submit("site.child_async" if do == "wait_async" else "site.child", do=do)
    await worker.take(id_)

    async def began() -> bool:
        rows = await lab.ledger.database.fetch("SELECT message FROM job_progress WHERE job_id = $1", id_)
        return bool(rows)

    await lab.until(began, "the job began")
    assert await lab.hopyard.handle(id_).cancel("enough") is State.RUNNING
    return await lab.ends(id_, State.CANCELLED)


@pytest.mark.parametrize("do", ["wait", "wait_async", "catch_once"])
async def test_a_cancelled_child_may_clean_up(lab: Lab, do: str) -> None:
    """Where it waits, and, should it go on, at its next word."""
    lab.hopyard.settings = patient(lab, 600)
    worker = await lab.worker()
    row = await cancelled(lab, worker, do)
    assert (row["reason"], row["error"]) == ("enough", None)
    assert (lab.hopyard.settings.data / "cleaned").read_text() == do
    assert worker.engine._processes._idle == [], "it is not used again"


async def test_a_child_that_ignores_a_cancel_is_killed_and_ends_cancelled_once(lab: Lab) -> None:
    lab.hopyard.settings = patient(lab, 0.05)
    worker = await lab.worker()
    row = await cancelled(lab, worker, "ignore")
    told = json.loads(row["error"])
    assert (told["kind"], row["attempt"], row["attempts"]) == ("JobCancelled", 1, None)
    assert "its process was killed" in told["message"]
    assert await lab.ledger.count("job_live") == 0
    pid = int((lab.hopyard.settings.data / "pid").read_text())
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


async def test_a_worker_that_drains_does_not_wait_for_a_child(lab: Lab) -> None:
    """Handed back, it runs elsewhere: there is nothing to clean up."""
    lab.hopyard.settings = patient(lab, 600)
    worker = await lab.worker()
    id_ = await lab.submit("site.child", do="ignore")
    await worker.take(id_)
    pid = lab.hopyard.settings.data / "pid"
    await lab.until(pid.exists)
    await worker.stop(0.0)
    assert await lab.state(id_) is State.QUEUED


def patient(lab: Lab, seconds: float) -> Any:
    """The lab's settings with another grace time for cancelled jobs."""
    lab.hopyard.settings.data.mkdir(exist_ok=True)
    changed = lab.hopyard.settings.worker.model_copy(update={"cancel_grace": seconds})
    return lab.hopyard.settings.model_copy(update={"worker": changed})


def error_of(row: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(row["error"])
    return found
