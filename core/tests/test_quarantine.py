"""Jobs that take down what runs them, in real processes: dead after three deaths, with the evidence."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import redis
from hopyard import current
from hopyard.ledger.read import listing
from hopyard.specs import State
from sites import Site, site_in

HOPFILE = """
import ctypes, logging, os
from hopyard import Job, Plugin, PluginSettings, Queue, RetryPolicy, hookimpl, task

OFTEN = RetryPolicy(max_retries=20, backoff=0.05, jitter=0)

@task("site.segfault", pool="process", retry=OFTEN)
def segfault(job: Job):
    print("about to read address 0 at attempt", job.attempt, flush=True)
    ctypes.string_at(0)

@task("site.killer", retry=OFTEN)
async def killer(job: Job):
    job.log.warning("attempt %d takes the worker down; redis://user:hidden-pw@host", job.attempt)
    if job.attempt < 3:
        os.kill(os.getpid(), 9)
    os._exit(7)

@task("site.good")
async def good(): return "good"

class Site(Plugin[PluginSettings]):
    @hookimpl
    def register_queues(self): return [Queue("site", slots=4)]
    @hookimpl
    def register_tasks(self): return [segfault, killer, good]
"""


@pytest.fixture
async def site(valkey_url: str, database_url: str, tmp_path: Path) -> AsyncIterator[Site]:
    """An installation with `hopyard worker`: a supervisor and one worker process."""
    with redis.Redis.from_url(valkey_url) as client:
        client.flushall()
    extra = '[plugins]\nallow = ["site"]\n'
    place = {"broker": valkey_url, "database": database_url, "hopfile": HOPFILE, "extra": extra}
    # The supervisor has this long to tell what it saw, before the next worker takes the jobs.
    with site_in(tmp_path / "site", **place, lease=6) as made:
        await asyncio.to_thread(made.start, "hopyard", "worker", log="worker")
        yield made
        await made.hopyard.close()
    current.set_instance(None)


async def test_poison_ends_dead_with_its_evidence(site: Site) -> None:
    poison = await site.submit("site.segfault")
    job = await site.ended(poison.id)
    assert (job["state"], job["error"]["kind"], job["crashes"]) == ("dead", "ProcessDied", 3)
    assert "killed by SIGSEGV; 3 times" in job["error"]["message"]
    for n, one in enumerate(job["attempts"], 1):
        seen = one["evidence"]
        assert (one["attempt"], one["outcome"], seen["exit"]) == (n, "failed", "killed by SIGSEGV")
        assert f"about to read address 0 at attempt {n}" in seen["log"][0], (
            "its own words, from its beginning"
        )
        assert any("Segmentation fault" in line for line in seen["log"])
        assert seen["memory"] > 1_000_000
    poison = await site.submit("site.killer")
    job = await site.ended(poison.id)
    assert (job["state"], job["error"]["kind"], job["crashes"]) == ("dead", "WorkerLost", 3)
    ends = ["killed by SIGKILL", "killed by SIGKILL", "exit status 7"]
    assert [(one["outcome"], one["evidence"]["exit"]) for one in job["attempts"]] == [
        ("lost", end) for end in ends
    ]
    for n, one in enumerate(job["attempts"], 1):
        said = "\n".join(one["evidence"]["log"])
        assert f"attempt {n} takes the worker down" in said
        assert "hidden-pw" not in said
        assert one["evidence"]["memory"] > 1_000_000
    assert len({one["worker"] for one in job["attempts"]}) == 3
    dead: list[dict[str, Any]] = await listing.jobs(
        site.hopyard.client().database, listing.JobFilter([State.DEAD])
    )
    told = {one["task"]: one["error"]["message"] for one in dead}
    assert told["site.killer"] == "what ran it died 3 times, the last time: exit status 7"
    assert await site.result(await site.submit("site.good")) == "good", "the worker goes on"
