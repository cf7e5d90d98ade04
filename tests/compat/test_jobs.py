"""Jobs through a stock worker: every way to call, to run, to fail, and to be stopped."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from celery.exceptions import TimeoutError as CeleryTimeout
from hopyard.errors import HopyardError, JobCancelled, JobFailed
from sites import Site

# --- Celery's own ways to call


async def test_celerys_calls_are_jobs(running: Site) -> None:
    echo = running.hopyard.task("site.echo")

    def calls() -> list[Any]:
        app = running.hopyard.celery
        return [
            echo.delay(n=1),
            echo.apply_async((2,), {"text": "x"}),
            app.send_task("site.echo", kwargs={"n": 3}),
            echo.celery.s(n=4).apply_async(),
            app.send_task("site.echo", args=[5], task_id="my own id", priority=9),
        ]

    results = await asyncio.to_thread(calls)
    values = await asyncio.to_thread(lambda: [result.get(timeout=30) for result in results])
    assert [value["n"] for value in values] == [1, 2, 3, 4, 5]
    assert all(result.state == "SUCCESS" and result.ready() for result in results)
    for result in results:
        assert (await running.hopyard.handle(result.id).status()).state.label == "succeeded"


async def test_a_countdown_waits_in_the_ledger(running: Site) -> None:
    echo = running.hopyard.task("site.echo")
    later = await asyncio.to_thread(lambda: echo.apply_async(kwargs={"n": 1}, countdown=3600))
    status = await running.hopyard.handle(later.id).status()
    assert status.state.label == "scheduled"
    assert await asyncio.to_thread(lambda: later.state) == "PENDING"
    await running.hopyard.handle(later.id).cancel()
    soon = await asyncio.to_thread(lambda: echo.apply_async(kwargs={"n": 2}, countdown=0.2))
    assert (await asyncio.to_thread(lambda: soon.get(timeout=30)))["n"] == 2


async def test_a_failure_is_a_failure_for_celery_too(running: Site) -> None:
    wrong = running.hopyard.task("site.wrong")
    result = await asyncio.to_thread(wrong.delay)
    with pytest.raises(JobFailed, match="a bug"):
        await asyncio.to_thread(lambda: result.get(timeout=30))
    assert result.state == "FAILURE"
    assert 'raise ValueError("a bug")' in result.traceback


async def test_a_revoke_cancels_a_running_job(running: Site, tmp_path: Path) -> None:
    gated = running.hopyard.task("site.gated")
    result = await asyncio.to_thread(lambda: gated.delay(gate=str(tmp_path / "never")))
    await running.state(running.hopyard.handle(result.id), "running")
    await asyncio.to_thread(lambda: result.revoke(terminate=True))
    assert (await running.ended(result.id))["state"] == "cancelled"
    assert await asyncio.to_thread(lambda: result.state) == "REVOKED"


async def test_get_gives_up_after_its_timeout_and_the_job_goes_on(running: Site, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    result = await asyncio.to_thread(lambda: running.hopyard.task("site.gated").delay(gate=str(gate)))
    with pytest.raises(CeleryTimeout):
        await asyncio.to_thread(lambda: result.get(timeout=0.2))
    gate.touch()
    assert await asyncio.to_thread(lambda: result.get(timeout=30)) == 1


async def test_what_hopyard_cannot_keep_is_refused(running: Site) -> None:
    echo = running.hopyard.task("site.echo")
    with pytest.raises(HopyardError, match="`expires` is not supported"):
        await asyncio.to_thread(lambda: echo.apply_async(expires=60))


# --- remote control


async def test_the_worker_answers_celerys_remote_control(running: Site, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    handle = await running.submit("site.gated", gate=str(gate))
    await running.state(handle, "running")
    ping, active, registered, stats = await asyncio.gather(
        *(asyncio.to_thread(running.celery, "inspect", what, "--json") for what in _INSPECTIONS)
    )
    assert ping == {"w0@test": {"ok": "pong"}}
    assert [job["id"] for job in active["w0@test"]] == [handle.id]
    assert {"site.echo", "site.child", "hopyard.deliver"} <= set(registered["w0@test"])
    assert stats["w0@test"]["pid"] == running.processes[0].pid
    gate.touch()
    await running.result(handle)
    assert await asyncio.to_thread(running.celery, "inspect", "active", "--json") == {"w0@test": []}


_INSPECTIONS = ("ping", "active", "registered", "stats")


# --- running


async def test_a_child_process_runs_and_tells_its_progress(running: Site) -> None:
    handle = await running.submit("site.child", n=4)
    result = await running.result(handle)
    assert result["n"] == 4
    assert result["pid"] != running.processes[0].pid

    async def told() -> bool:
        status = await handle.status()
        return (status.current, status.total, status.message) == (1, 2, "in a child")

    await running.until(told, "the child's progress is in the ledger")


async def test_a_killed_child_is_a_resource_error_and_tried_again(running: Site) -> None:
    handle = await running.submit("site.child", n=1, crash_once=True)
    assert (await running.result(handle))["attempt"] == 2
    failed, succeeded = (await running.ended(handle.id))["attempts"]
    assert (succeeded["attempt"], succeeded["outcome"]) == (2, "succeeded")
    assert (failed["category"], failed["kind"]) == ("resource", "ProcessDied")
    assert "SIGKILL" in failed["message"]


async def test_a_transient_error_is_retried_with_growing_pauses(running: Site) -> None:
    handle = await running.submit("site.flaky", good_from=3)
    assert await running.result(handle) == 3
    job = await running.ended(handle.id)
    assert [(a["attempt"], a["outcome"], a.get("category")) for a in job["attempts"]] == [
        (1, "failed", "transient"),
        (2, "failed", "transient"),
        (3, "succeeded", None),
    ]


async def test_retries_end(running: Site) -> None:
    handle = await running.submit("site.flaky", good_from=99)
    with pytest.raises(JobFailed, match="attempt 3"):
        await running.result(handle)
    job = await running.ended(handle.id)
    assert (job["state"], job["attempt"], job["error"]["category"]) == ("dead", 3, "transient")


async def test_a_bug_is_not_retried(running: Site) -> None:
    handle = await running.submit("site.wrong")
    with pytest.raises(JobFailed) as failed:
        await running.result(handle)
    assert (failed.value.kind, failed.value.category) == ("ValueError", "bug")
    assert (await running.ended(handle.id))["attempt"] == 1


@pytest.mark.parametrize("task", ["site.slow_async", "site.slow_thread", "site.slow_child"])
async def test_a_time_limit_holds_in_every_pool(running: Site, task: str) -> None:
    handle = await running.submit(task)
    # The policy of the task would try a timeout again: one failed attempt is what is asked for here.
    status = await running.state(handle, "retrying", "dead")
    assert status.attempt == 1
    await handle.cancel()
    job = await running.ended(handle.id)
    assert job["attempts"][0]["category"] == "timeout"
    assert "1 s" in job["attempts"][0]["message"]


async def test_a_cancelled_job_stops(running: Site, tmp_path: Path) -> None:
    handle = await running.submit("site.gated", gate=str(tmp_path / "never"))
    await running.state(handle, "running")
    await handle.cancel("no longer wanted")
    with pytest.raises(JobCancelled):
        await running.result(handle)


async def test_arguments_are_checked_again_at_the_worker(running: Site) -> None:
    """A stock producer sends what it likes."""
    from celery import Celery

    def send() -> str:
        with Celery("stock", broker=running.broker, set_as_current=False) as app:
            return str(app.send_task("site.echo", kwargs={"n": "many"}, queue="site").id)

    job = await running.ended(await asyncio.to_thread(send))
    assert (job["state"], job["error"]["category"]) == ("dead", "invalid_input")
    assert "n: " in job["error"]["message"]


async def test_a_job_of_an_unknown_task_is_parked_not_thrown_away(running: Site) -> None:
    from celery import Celery

    def send() -> str:
        with Celery("stock", broker=running.broker, set_as_current=False) as app:
            return str(app.send_task("gone.task", kwargs={"a": 1}, queue="site").id)

    handle = running.hopyard.handle(await asyncio.to_thread(send))

    async def known() -> Any:
        rows = await running.rows("SELECT state, reason, body FROM job_live WHERE id = $1", handle.id)
        return rows if rows and rows[0]["state"] == 4 else None

    (row,) = await running.until(known, "the job is parked")
    assert "plugin `gone`" in row["reason"]
    assert '"a": 1' in row["body"]
    # The worker still works.
    assert (await running.result(await running.submit("site.echo", n=1)))["n"] == 1
    await handle.cancel()


async def test_many_jobs_wait_at_once_in_one_process(running: Site, tmp_path: Path) -> None:
    """More submitters than slots, and a slot for each in the end."""
    handles = await running.hopyard.task("site.echo").submit_many([{"n": n} for n in range(300)])
    results = await asyncio.gather(*(running.result(handle) for handle in handles))
    assert [result["n"] for result in results] == [*range(300)]
