"""What a worker of its own shows beside Celery: plain tasks, options without effect, strangers, signals."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import redis
from compat.conftest import HOPFILE
from sites import Site, site_in

PLAIN = """
from hopyard.celery import app

@app.task(name="plain.double")
def double(n, mark):
    with open(mark, "a") as file:
        file.write(f"{n * 2}\\n")
"""


async def test_a_plain_celery_task_runs_outside_of_the_ledger(any_site: Site, tmp_path: Path) -> None:
    site = any_site
    (site.folder / "plain_tasks.py").write_text(PLAIN)
    await site.worker("-I", "plain_tasks")
    mark = tmp_path / "mark"

    def send() -> None:
        app = site.hopyard.celery
        for n in range(5):
            app.send_task("plain.double", args=[n], kwargs={"mark": str(mark)}, queue="hopyard")

    await asyncio.to_thread(send)

    async def ran() -> bool:
        return mark.exists() and sorted(mark.read_text().split()) == ["0", "2", "4", "6", "8"]

    await site.until(ran, "all five ran")
    assert await site.rows("SELECT id FROM job_live") == []


async def test_options_and_settings_without_effect_are_told(site: Site) -> None:
    (site.folder / "plain_tasks.py").write_text(
        "from hopyard.celery import app\n"
        "app.conf.beat_schedule = {'nightly': {'task': 'site.echo', 'schedule': 60}}\n"
        "app.conf.task_routes = {'site.*': 'elsewhere'}\n"
    )
    options = ("-c", "8", "--time-limit", "5", "-P", "prefork", "--max-tasks-per-child", "10")
    await site.worker("-I", "plain_tasks", *options, "--autoscale", "8,2")
    logs = site.logs()
    for word in ("--concurrency", "--time-limit", "--pool prefork", "--max-tasks-per-child", "--autoscale"):
        assert f"{word} has no effect" in logs, logs
    assert "nightly" in logs
    assert "`task_routes` moves no job" in logs
    assert (await site.result(await site.submit("site.echo", n=1)))["n"] == 1


STOCK = """
from celery import Celery
app = Celery("stock", broker={broker!r})
app.conf.task_default_queue = "site"
"""


async def test_doctor_finds_a_stock_worker_on_our_queues(site: Site) -> None:
    from hopyard.monitor.health import CHECKS, run_checks

    await site.worker()
    (check,) = [one for one in CHECKS if one.name == "stock workers"]
    (before,) = await run_checks([("hopyard", check)])
    assert before.ok, before
    # A worker that was given up, and lives, stands in the ledger as stopped.
    await site.hopyard.client().database.execute("UPDATE worker SET name = 'another@test'")
    with redis.Redis.from_url(site.broker) as broker:
        broker.client_kill_filter(skipme=True)  # the connections of this process's pool are no good any more
    (unknown,) = await run_checks([("hopyard", check)])
    assert unknown.ok, unknown
    (site.folder / "stock_app.py").write_text(STOCK.format(broker=site.broker))
    site.start("celery", "-A", "stock_app", "worker", "-P", "solo", "-n", "stranger@test")

    async def found() -> Any:
        (answer,) = await run_checks([("hopyard", check)])
        return None if answer.ok else answer.detail

    assert "stranger@test takes site" in await site.until(found, "the stock worker is found")


CHILD = (
    HOPFILE
    + """

from celery import signals

TOLD = []

@signals.task_prerun.connect(weak=False)
def _prerun(sender, task_id, **_):
    if sender.name == "site.signalled":
        TOLD.append(["prerun", os.getpid(), sender.request.id == task_id])

@task("site.signalled", pool="process")
def signalled() -> list:
    return [TOLD, os.getpid()]
"""
)


async def test_signals_fire_in_the_child_that_runs_a_job(valkey_url: str, tmp_path: Path) -> None:
    database = f"sqlite:///{tmp_path / 'hopyard.db'}"
    with site_in(tmp_path / "site", broker=valkey_url, database=database, hopfile=CHILD) as site:
        await asyncio.to_thread(lambda: asyncio.run(site.hopyard.upgrade()))
        worker = await site.worker()
        told, pid = await site.result(await site.submit("site.signalled"))
        assert pid != worker.pid
        assert told == [["prerun", pid, True]]
        await site.hopyard.close()
