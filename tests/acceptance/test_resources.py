"""Jobs never hold more of a resource than there is, at no instant, whichever workers are killed."""

from __future__ import annotations

import asyncio
import json
import random
import signal
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import redis
from hopyard.ledger import resources
from hopyard.ledger.explaining import explain
from servers import fresh_database
from sites import Site, site_in

TOTALS = {"gpu": 2, "vram_mb": 13_000}
NEEDS = {
    "site.train": {"gpu": 1},
    "site.render": {"vram_mb": 6_000},
    "site.both": {"gpu": 1, "vram_mb": 5_000},
}
#: So many jobs are submitted before each kill.
JOBS, KILLS = 40, 5

HOPFILE = """
import asyncio, json, os, time
from pathlib import Path
from hopyard import Job, Plugin, Queue, hookimpl, task

LOG = Path(__file__).with_name("runs.log")

def note(what, job):
    line = json.dumps([time.monotonic(), what, job.task, job.id, job.attempt, os.getpid()]) + "\\n"
    file = os.open(LOG, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(file, line.encode())
    os.close(file)

async def hold(job):
    note("begins", job)
    await asyncio.sleep(0.05)
    note("ends", job)

@task("site.train", resources={"gpu": 1})
async def train(job: Job): await hold(job)
@task("site.render", resources={"vram_mb": 6000})
async def render(job: Job): await hold(job)
@task("site.both", resources={"gpu": 1, "vram_mb": 5000})
async def both(job: Job): await hold(job)
@task("site.gate", resources={"gpu": 2})
async def gate() -> None:
    while not LOG.with_name("open").exists():
        await asyncio.sleep(0.02)
@task("site.huge", resources={"vram_mb": 99000})
async def huge() -> None: "Never runs."
@task("site.plain")
async def plain() -> None: "Needs nothing."

class Site(Plugin):
    @hookimpl
    def register_queues(self): return [Queue("site", slots=8)]
    @hookimpl
    def register_tasks(self): return [train, render, both, gate, huge, plain]
"""


@pytest.fixture(params=["sqlite", "postgresql"])
def site(request: pytest.FixtureRequest, tmp_path: Path, valkey_url: str) -> Iterator[Site]:
    database = f"sqlite:///{tmp_path / 'hopyard.db'}"
    if request.param == "postgresql":
        database = fresh_database(request.getfixturevalue("postgres_url"))
    extra = "[resources]\n" + "".join(f"{name} = {total}\n" for name, total in TOTALS.items())
    with ExitStack() as stack:
        with redis.Redis.from_url(valkey_url) as client:
            client.flushall()
        yield stack.enter_context(
            site_in(tmp_path / "site", broker=valkey_url, database=database, hopfile=HOPFILE, extra=extra)
        )


def runs(site: Site) -> list[list[Any]]:
    return [json.loads(line) for line in (site.folder / "runs.log").read_text().splitlines()]


def check_at_every_instant(noted: list[list[Any]], killed: dict[int, float]) -> None:
    """Go through all beginnings and ends in order; a run whose process was killed ended with it."""
    ended = {(id_, attempt) for _, what, _, id_, attempt, _ in noted if what == "ends"}
    changes = [(at, 1 if what == "begins" else -1, task, id_) for at, what, task, id_, attempt, pid in noted]
    changes += [
        (killed[pid], -1, task, id_)
        for _, what, task, id_, attempt, pid in noted
        if what == "begins" and (id_, attempt) not in ended
    ]
    held = dict.fromkeys(TOTALS, 0)
    most = dict(held)
    for _, sign, task, _ in sorted(changes):
        for name, amount in NEEDS[task].items():
            held[name] += sign * amount
            most[name] = max(most[name], held[name])
            assert held[name] <= TOTALS[name], f"{held[name]} of {name} were held"
    assert held == dict.fromkeys(TOTALS, 0)
    assert most["gpu"] == TOTALS["gpu"]  # it was used, too


async def upgraded(site: Site) -> None:
    await asyncio.to_thread(lambda: asyncio.run(site.hopyard.upgrade()))


async def test_never_more_than_there_is_though_workers_are_killed(site: Site) -> None:
    await upgraded(site)
    workers = [await site.worker(stock=False) for _ in range(3)]
    names = [*NEEDS]
    handles: list[Any] = []
    killed: dict[int, float] = {}
    for _ in range(KILLS):
        handles += [await site.submit(names[n % len(names)]) for n in range(JOBS)]
        before = len(runs(site)) if (site.folder / "runs.log").exists() else 0

        async def goes_on(before: int = before) -> bool:
            return (site.folder / "runs.log").exists() and len(runs(site)) >= before + 20

        await site.until(goes_on, "jobs run")
        victim = workers.pop(random.randrange(len(workers)))
        victim.send_signal(signal.SIGKILL)
        victim.wait()
        killed[victim.pid] = time.monotonic()
        workers.append(await site.worker(stock=False))
    for handle in handles:
        await site.result(handle, within=120)
    check_at_every_instant(runs(site), killed)
    left = await site.rows("SELECT * FROM job_resource WHERE claim IS NULL")
    assert left == []


async def test_who_waits_holds_no_slot_and_is_explained(site: Site) -> None:
    await upgraded(site)
    await site.worker(stock=False)
    gate = await site.submit("site.gate")
    await site.state(gate, "running")
    waiting = [await site.submit("site.train") for _ in range(20)]
    database = site.hopyard.client().database

    async def all_wait() -> bool:
        (row,) = await site.rows("SELECT count(*) AS n FROM job_resource WHERE claim IS NULL")
        return bool(row["n"] == 20)

    await site.until(all_wait, "20 jobs wait")
    assert await site.result(await site.submit("site.plain")) is None  # eight slots, and 20 that wait
    [gpu, _] = await resources.overview(database, TOTALS)
    assert (gpu["held"], gpu["waiting"], gpu["total"]) == (2, 20, 2)
    assert [one["job"] for one in gpu["holders"]] == [gate.id]
    lines = await explain(database, waiting[3].id)
    assert f"it waits for 1 of gpu; held: 2 by job {gate.id} (site.gate)" in lines
    status = await waiting[3].status()
    assert (status.state.label, status.attempt) == ("queued", 0)
    (site.folder / "open").touch()
    for handle in waiting:
        await site.result(handle)
    # In the order in which they came, whoever was called first.
    begun = [id_ for _, what, _, id_, _, _ in runs(site) if what == "begins"]
    assert set(begun[:5]) < {handle.id for handle in waiting[:9]}


async def test_what_cannot_be_had_waits_and_says_so(site: Site) -> None:
    await upgraded(site)
    await site.worker(stock=False)
    never = await site.submit("site.huge")
    behind = await site.submit("site.render")
    assert await site.result(await site.submit("site.train")) is None
    await site.until(lambda: resources.waits(site.hopyard.client().database, never.id), "it waits")
    assert await resources.waits(site.hopyard.client().database, never.id) == {"vram_mb": 99_000}
    # It can never begin, so it holds up nobody; the settings' check has told of it.
    assert await site.result(behind) is None
    [warning] = site.hopyard.plugins.warnings
    assert "99000 of vram_mb" in str(warning)
