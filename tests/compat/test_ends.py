"""How workers end: by a kill, by a signal, by remote control; and what becomes of their jobs."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path

import pytest
from sites import DEADLINE, Site


async def lines(path: Path) -> list[str]:
    return path.read_text().split() if path.exists() else []


async def test_a_job_of_a_killed_worker_goes_on_at_its_checkpoint(site: Site, tmp_path: Path) -> None:
    gate, log = tmp_path / "gate", tmp_path / "log"
    first = await site.worker()
    handle = await site.submit("site.paged", gate=str(gate), log=str(log))

    async def saved() -> bool:
        return bool(await site.rows("SELECT data FROM job_checkpoint WHERE job_id = $1", handle.id))

    await site.until(saved, "the first page is saved")
    os.killpg(first.pid, signal.SIGKILL)
    gate.touch()
    await site.worker()
    assert await site.result(handle) == [3, 2]
    assert await lines(log) == ["0", "1", "2"]


async def test_a_warm_shutdown_hands_jobs_back_without_burning_an_attempt(site: Site, tmp_path: Path) -> None:
    gate, mark = tmp_path / "gate", tmp_path / "mark"
    first = await site.worker()
    handle = await site.submit("site.gated", gate=str(gate), mark=str(mark))
    await site.until(lambda: lines(mark), "the job runs")
    os.kill(first.pid, signal.SIGTERM)
    assert await asyncio.to_thread(first.wait, DEADLINE) == 0
    (row,) = await site.rows("SELECT state, attempt, crashes, worker FROM job_live WHERE id = $1", handle.id)
    assert row == {"state": 1, "attempt": 0, "crashes": 0, "worker": None}
    gate.touch()
    await site.worker()
    assert await site.result(handle) == 1
    assert await site.rows("SELECT id FROM worker WHERE stopped IS NOT NULL AND pid = $1", first.pid)


async def test_a_shutdown_by_remote_control_finishes_what_it_can(site: Site, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    worker = await site.worker()
    handle = await site.submit("site.gated", gate=str(gate))
    await site.state(handle, "running")
    # Celery's own status for an order that nobody answers, as this one.
    await asyncio.to_thread(lambda: site.celery("control", "shutdown", status=69))
    gate.touch()
    assert await asyncio.to_thread(worker.wait, DEADLINE) == 0
    assert (await site.ended(handle.id))["attempt"] == 1


@pytest.mark.parametrize("stock", [True, False])
async def test_a_thread_of_a_plugin_that_never_ends_keeps_no_worker(site: Site, stock: bool) -> None:
    hopfile = site.folder / "hopfile.py"
    thread = "import threading\nthreading.Thread(target=threading.Event().wait, name='for ever').start()\n"
    head, future, rest = hopfile.read_text().partition("from __future__ import annotations\n")
    hopfile.write_text(head + future + thread + rest if future else thread + head)
    worker = await site.worker(stock=stock)
    os.kill(worker.pid, signal.SIGTERM)
    assert await asyncio.to_thread(worker.wait, DEADLINE) == 0
    assert "without the threads that do not end: for ever" in site.logs()


async def test_a_job_that_kills_its_workers_ends_dead(site: Site, tmp_path: Path) -> None:
    """Three workers, one after the other; the fourth would be spared."""
    gate, mark = tmp_path / "never", tmp_path / "mark"
    handle = await site.submit("site.gated", gate=str(gate), mark=str(mark))
    for n in range(1, 4):
        worker = await site.worker()

        async def runs(n: int = n) -> bool:
            return len(await lines(mark)) == n

        await site.until(runs, f"worker {n} runs the job")
        os.killpg(worker.pid, signal.SIGKILL)
        worker.wait()
    await site.worker()
    job = await site.ended(handle.id)
    assert (job["state"], job["crashes"], job["error"]["kind"]) == ("dead", 3, "WorkerLost")


async def test_jobs_wait_for_a_worker_that_comes_later(site: Site) -> None:
    handles = [await site.submit("site.echo", n=n) for n in range(3)]
    await site.worker()
    assert [(await site.result(handle))["n"] for handle in handles] == [0, 1, 2]
