"""A plugin is disabled under load and enabled again: what runs goes on, what waits is parked, all succeed."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from hopyard import current
from hopyard.ledger import migrations
from ledgers import migrated
from sites import Site

HOPFILE = """
import asyncio
from pathlib import Path
from hopyard import Job, Plugin, PluginSettings, Queue, hookimpl, task

class SiteSettings(PluginSettings):
    folder: str = "."

def note(what):
    with (Path(Site.current().settings.folder) / "done").open("a") as file: file.write(f"{what}\\n")

@task("site.count")
async def count(n: int) -> int:
    await asyncio.sleep(0.01)
    note(n)
    return n

@task("site.long")
async def long() -> list:
    folder = Path(Site.current().settings.folder)
    (folder / "began").touch()
    while not (folder / "gate").exists(): await asyncio.sleep(0.02)
    note("long")
    return [(await count.submit(n=n)).id for n in (-1, -2)]

class Site(Plugin[SiteSettings]):
    @hookimpl
    def register_queues(self): return [Queue("site", slots=4)]
    @hookimpl
    def register_tasks(self): return [count, long]
"""
JOBS = 300


@pytest.fixture(params=["sqlite", "postgresql"])
async def site(request: pytest.FixtureRequest, tmp_path: Path, valkey_url: str) -> AsyncIterator[Site]:
    """A site with a plugin."""
    url = await migrated(
        {migrations.CORE: migrations.CORE_PACKAGE},
        file=tmp_path / "ledger.db",
        server=None if request.param == "sqlite" else request.getfixturevalue("postgres_url"),
    )
    extra = f'[plugins]\nallow = ["site"]\n[plugins.site.settings]\nfolder = "{tmp_path}"\n'
    made = Site(tmp_path, broker=valkey_url, database=url, hopfile=HOPFILE, extra=extra)
    try:
        yield made
    finally:
        await asyncio.to_thread(made.stop)
        await made.hopyard.close()
        current.set_instance(None)


def run(site: Site, *arguments: str) -> str:
    """Run `hopyard`; return what it printed."""
    command = [str(Path(sys.executable).parent / "hopyard"), *arguments]
    ran = subprocess.run(
        command,
        cwd=site.folder,
        env=site.environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return ran.stdout


async def counts(site: Site) -> Counter[str]:
    """Return how many jobs are in each state."""
    found: Counter[str] = Counter()
    for table in ("job_live", "job_history"):
        for row in await site.rows(f"SELECT state, count(*) AS jobs FROM {table} GROUP BY state"):
            found[STATES[row["state"]]] += row["jobs"]
    return found


STATES = {0: "scheduled", 1: "queued", 2: "running", 3: "retrying", 4: "parked", 5: "succeeded"}


async def test_nothing_is_lost_while_it_is_disabled_under_load(site: Site) -> None:
    workers = [await site.worker(stock=True), await site.worker(stock=False)]
    long = await site.submit("site.long")
    await site.hopyard.task("site.count").submit_many([{"n": n} for n in range(JOBS)])
    await site.until(lambda: asyncio.to_thread((site.folder / "began").exists), "the long job runs")
    await asyncio.to_thread(run, site, "plugins", "disable", "site")

    async def all_rest() -> bool:
        found = await counts(site)
        return found["queued"] == 0 and found["running"] == 1 and found["parked"] > 0

    async def all_have_left() -> bool:
        rows = await site.rows("SELECT plugins FROM worker WHERE stopped IS NULL")
        return all("site" not in json.loads(row["plugins"]) for row in rows)

    await site.until(all_have_left, "both workers do without it")
    more = await site.hopyard.task("site.count").submit_many([{"n": JOBS + n} for n in range(20)])
    await site.until(all_rest, "what does not run is parked")
    explained = await asyncio.to_thread(run, site, "explain", more[0].id)
    assert "it is parked: plugin `site` is disabled here: disabled by " in explained
    assert "hopyard plugins enable site" in explained
    (site.folder / "gate").touch()
    children = await site.result(long)
    assert len(children) == 2
    assert {(await more[0].status()).state.label} == {"parked"}

    await asyncio.to_thread(run, site, "plugins", "enable", "site")

    async def all_over() -> bool:
        return (await counts(site)) == Counter(succeeded=JOBS + 20 + 3)

    await site.until(all_over, "all have succeeded")
    done = Counter((site.folder / "done").read_text().split())
    wanted: list[Any] = [*range(-2, JOBS + 20), "long"]
    assert done == Counter(str(one) for one in wanted)
    assert all(process.poll() is None for process in workers)
