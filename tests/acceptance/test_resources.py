"""Jobs never hold more of a resource than there is, at no instant, whichever workers are killed.

It runs at the size of the acceptance, 200 jobs and 5 kills on each database, unless
`HOPYARD_INTERNAL_RESOURCE_JOBS` and `HOPYARD_INTERNAL_RESOURCE_KILLS` say otherwise.
Of jobs there must be about eight for each kill: one that is cut off three times ends dead, as it should.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import redis
from hopyard.ledger import resources
from hopyard.ledger.explaining import explain
from hopyard.specs import State
from servers import fresh_database
from sites import Site, site_in

TOTALS = {"gpu": 2, "vram_mb": 13_000}
NEEDS = {
    "site.train": {"gpu": 1},
    "site.render": {"vram_mb": 6_000},
    "site.both": {"gpu": 1, "vram_mb": 5_000},
    "site.small": {"vram_mb": 1_500},
}
JOBS = int(os.environ.get("HOPYARD_INTERNAL_RESOURCE_JOBS", "200"))
KILLS = int(os.environ.get("HOPYARD_INTERNAL_RESOURCE_KILLS", "5"))
WORKERS = 3

HOPFILE = """
import asyncio, json, os, random, time
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
    await asyncio.sleep(random.uniform(0.02, 0.2))
    note("ends", job)

@task("site.train", resources={"gpu": 1})
async def train(job: Job): await hold(job)
@task("site.render", resources={"vram_mb": 6000})
async def render(job: Job): await hold(job)
@task("site.both", resources={"gpu": 1, "vram_mb": 5000})
async def both(job: Job): await hold(job)
@task("site.small", resources={"vram_mb": 1500})
async def small(job: Job): await hold(job)
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
    def register_tasks(self): return [train, render, both, small, gate, huge, plain]
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
    log = site.folder / "runs.log"
    return [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []


def cut_off(noted: list[list[Any]]) -> set[tuple[str, int, int]]:
    """Return the runs that have begun and not ended: job, attempt and process."""
    ended = {(id_, attempt) for _, what, _, id_, attempt, _ in noted if what == "ends"}
    return {
        (id_, attempt, pid)
        for _, what, _, id_, attempt, pid in noted
        if what == "begins" and (id_, attempt) not in ended
    }


def check_at_every_instant(noted: list[list[Any]], killed: dict[int, float]) -> dict[str, int]:
    """Go through all beginnings and ends in order; a run whose process was killed ended with it.

    Return the most that was held at an instant.
    """
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
    return most


async def check_all_over_once(site: Site, ids: list[str]) -> None:
    """Each job is in the history once, as succeeded, and nothing of it is left: no row, no token."""
    ended = await site.rows("SELECT id, state FROM job_history WHERE task LIKE 'site.%'")
    assert Counter(str(row["id"]) for row in ended) == Counter(ids)
    assert {row["state"] for row in ended} == {State.SUCCEEDED}
    assert await site.rows("SELECT id FROM job_live WHERE task LIKE 'site.%'") == []
    for one in await resources.overview(site.hopyard.client().database, TOTALS):
        assert (one["held"], one["waiting"], one["holders"]) == (0, 0, [])
    assert await site.result(await site.submit("site.gate")) is None  # which needs both GPUs


async def kill_one_that_works(site: Site, begun: int, rng: random.Random) -> Any:
    """Kill a worker that runs jobs, once so many runs have begun in all; return it, dead."""

    async def working() -> list[Any]:
        noted = runs(site)
        busy = {pid for _, _, pid in cut_off(noted)}
        enough = sum(what == "begins" for _, what, *_ in noted) >= begun
        return [one for one in site.processes if enough and one.pid in busy and one.poll() is None]

    victim = rng.choice(await site.until(working, f"{begun} runs have begun, and some go on"))
    victim.send_signal(signal.SIGKILL)
    await asyncio.to_thread(victim.wait)
    return victim


def moments_of_kills(jobs: int, kills: int, rng: random.Random) -> list[int]:
    """Return after how many beginnings each worker is killed: at a random one in each of equal shares.

    The last fifth of the beginnings is left out: there must be work that is cut off. Shares may be smaller
    than a beginning.
    """
    share = max(1, jobs * 4 // 5) / kills
    return [1 + int((n + rng.random()) * share) for n in range(kills)]


@pytest.mark.parametrize(("jobs", "kills"), [(200, 5), (40, 28), (40, 2), (5, 5), (1, 3)])
def test_kills_are_spread_over_the_jobs_however_many(jobs: int, kills: int) -> None:
    found = moments_of_kills(jobs, kills, random.Random(1))
    assert len(found) == kills
    assert found == sorted(found)
    assert 1 <= found[0] <= found[-1] <= max(1, jobs * 4 // 5)
    for n, at in enumerate(found):
        assert abs(at - jobs * 4 / 5 * (n + 0.5) / kills) <= jobs * 4 / 5 / kills + 1


async def upgraded(site: Site) -> None:
    await asyncio.to_thread(lambda: asyncio.run(site.hopyard.upgrade()))


@pytest.mark.timeout(300)
async def test_never_more_than_there_is_though_workers_are_killed(
    site: Site, record_property: Callable[[str, object], None]
) -> None:
    """Workers die at random moments while they run jobs, and others come in their place."""
    await upgraded(site)
    rng = random.Random(os.environ.get("HOPYARD_INTERNAL_SEED", "4110"))
    await asyncio.gather(*(site.worker(stock=False) for _ in range(WORKERS)))
    names = [*NEEDS]
    handles = [await site.submit(names[n % len(names)]) for n in range(JOBS)]
    killed: dict[int, float] = {}
    coming: list[asyncio.Task[Any]] = []
    for begun in moments_of_kills(JOBS, KILLS, rng):
        victim = await kill_one_that_works(site, begun, rng)
        killed[victim.pid] = time.monotonic()
        coming.append(asyncio.create_task(site.worker(stock=False)))
    for handle in handles:
        await site.result(handle, within=120)
    await asyncio.gather(*coming)
    noted = runs(site)
    most = check_at_every_instant(noted, killed)
    assert most["gpu"] == TOTALS["gpu"], "it was used, too"
    cut = cut_off(noted)
    assert {pid for _, _, pid in cut} <= killed.keys()
    assert cut, "no job was killed"
    (site.folder / "open").touch()
    await check_all_over_once(site, [handle.id for handle in handles])
    record_property("killed while they ran", len(cut))
    print({"jobs": JOBS, "workers killed": len(killed), "runs cut off": len(cut), "most held": most})  # noqa: T201


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

    async def told() -> Any:  # a job that is just looked at, and put back, waits for a moment less
        gpu, _ = await resources.overview(database, TOTALS)
        return gpu if gpu["waiting"] == 20 else None

    gpu = await site.until(told, "20 jobs are told to wait")
    assert (gpu["held"], gpu["total"]) == (2, 2)
    assert [one["job"] for one in gpu["holders"]] == [gate.id]
    lines = await explain(database, waiting[3].id)
    assert f"it waits for 1 of gpu; held: 2 by job {gate.id} (site.gate)" in lines
    lines = await explain(database, waiting[3].id, concerns=lambda task: task != "site.gate")
    assert "it waits for 1 of gpu; held: 2 by a job of another plugin" in lines
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
