"""What must hold on every broker: stock producers, priorities, and a worker that is killed."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path

import pytest
from celery import Celery
from compat.conftest import HOPFILE
from hopyard.ledger.values import job_id
from servers import running_rabbitmq
from sites import Site, site_in

FOREIGN_ID = "order 4711 / not a uuid"
OWN_ID = "6f1f2f9e-93a4-4f4c-9d86-000000000001"


def stock_producer(site: Site) -> Celery:
    """A Celery app that knows nothing of Hopyard."""
    app = Celery("stock", broker=site.broker, set_as_current=False)
    if site.broker.startswith("amqp"):
        from kombu.entity import Exchange, Queue

        most = {"x-max-priority": 9}
        site_exchange = Exchange("site", type="direct")
        app.conf.task_queues = [Queue("site", site_exchange, routing_key="site", queue_arguments=most)]
    return app


async def test_stock_worker_and_stock_producer_share_the_queues(any_site: Site) -> None:
    site = any_site
    await site.worker()
    handles = [await site.submit("site.echo", n=n, text="grüße") for n in range(5)]
    assert [(await site.result(handle))["n"] for handle in handles] == [0, 1, 2, 3, 4]
    assert await site.result(await site.submit("site.plain", n=3)) == [3, 4]

    def send() -> None:
        with stock_producer(site) as app:
            app.send_task("site.echo", kwargs={"n": 7}, task_id=FOREIGN_ID, queue="site")
            app.send_task("site.plain", args=[8], task_id=OWN_ID, queue="site")
            app.send_task("site.plain", args=[8], task_id=OWN_ID, queue="site")
            app.send_task("site.echo", kwargs={"n": 9}, task_id="later", countdown=1, queue="site")

    await asyncio.to_thread(send)
    foreign = job_id(FOREIGN_ID)
    assert await site.result(site.hopyard.handle(OWN_ID)) == [8, 9]
    assert (await site.result(site.hopyard.handle(foreign)))["n"] == 7
    assert (await site.result(site.hopyard.handle(job_id("later"))))["n"] == 9
    rows = await site.rows("SELECT origin, attempt, state FROM job_history WHERE id = $1", foreign)
    assert rows == [{"origin": FOREIGN_ID, "attempt": 1, "state": 5}]
    assert await site.rows("SELECT id FROM job_live") == []


async def test_hopyards_own_worker_does_the_same(any_site: Site) -> None:
    site = any_site
    await site.worker(stock=False)
    assert (await site.result(await site.submit("site.echo", n=1)))["n"] == 1

    def send() -> None:
        with stock_producer(site) as app:
            app.send_task("site.echo", kwargs={"n": 7}, task_id=FOREIGN_ID, queue="site")

    await asyncio.to_thread(send)
    assert (await site.result(site.hopyard.handle(job_id(FOREIGN_ID))))["n"] == 7


async def test_higher_priorities_run_first(any_site: Site, tmp_path: Path) -> None:
    site = any_site
    gate, log = tmp_path / "gate", tmp_path / "log"
    # Submitted while nobody works: one slot takes them by priority.
    handles = []
    for priority in (0, 3, 6, 9):
        handles.append(
            await site.submit("site.note", {"priority": priority}, log=str(log), text=str(priority))
        )
    gate.touch()
    await site.worker("-Q", "site.one", "--prefetch-multiplier", "1")
    for handle in handles:
        await site.result(handle)
    assert log.read_text().split() == ["9", "6", "3", "0"]


async def test_a_killed_workers_job_runs_again_and_ends_once(any_site: Site, tmp_path: Path) -> None:
    site = any_site
    gate, mark = tmp_path / "gate", tmp_path / "mark"
    first = await site.worker()
    handle = await site.submit("site.gated", gate=str(gate), mark=str(mark))
    await site.until(lambda: asyncio.to_thread(mark.exists), "the job runs")
    second = await site.worker()
    os.killpg(first.pid, signal.SIGKILL)
    gate_opened = site.until(
        lambda: asyncio.to_thread(lambda: len(mark.read_text().split()) == 2), "the job runs again"
    )
    await gate_opened
    gate.touch()
    assert await site.result(handle) == 2
    assert mark.read_text().split() == [str(first.pid), str(second.pid)]
    job = await site.ended(handle.id)
    assert (job["state"], job["attempt"], job["crashes"]) == ("succeeded", 2, 1)
    assert await site.rows("SELECT id FROM job_live") == []


@pytest.mark.rabbitmq
async def test_messages_that_wait_longer_than_rabbitmq_allows_end_no_worker(tmp_path: Path) -> None:
    gate, log = tmp_path / "gate", tmp_path / "log"
    # In production half an hour, looked at once a minute: one long job before others is enough.
    with running_rabbitmq("-rabbit consumer_timeout 1000 channel_tick_interval 500") as url:
        database = f"sqlite:///{tmp_path / 'hopyard.db'}"
        with site_in(tmp_path / "site", broker=url, database=database, hopfile=HOPFILE) as site:
            await asyncio.to_thread(lambda: asyncio.run(site.hopyard.upgrade()))
            worker = await site.worker()
            holding = await site.submit("site.hold", gate=gate)
            await site.state(holding, "running")
            waiting = [await site.submit("site.note", log=log, text=str(n)) for n in range(2)]

            async def closed() -> bool:
                return "PRECONDITION_FAILED" in site.logs()

            await site.until(closed, "RabbitMQ closes the channel of messages that wait")
            gate.touch()
            for handle in (holding, *waiting):
                await site.result(handle)
            assert worker.poll() is None
            rows = await site.rows("SELECT attempt, crashes FROM job_history")
            assert rows == [{"attempt": 1, "crashes": 0}] * 3
            await site.hopyard.close()
