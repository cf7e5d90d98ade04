"""The site plugin of the compatibility tests: small tasks of every kind."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from hopyard import Category, Job, Plugin, PluginSettings, Queue, RetryPolicy, Task, hookimpl, task

_SOON = RetryPolicy(max_retries=2, backoff=0.2, jitter=0)


@task("site.echo")
async def echo(n: int = 0, text: str = "") -> dict[str, Any]:
    """Return the arguments."""
    return {"n": n, "text": text}


@task("site.pair")
async def pair(x: Any = None, y: Any = None) -> list[Any]:
    """Return the arguments, whatever they are."""
    return [x, y]


@task("site.plain")
def plain(n: int) -> list[int]:
    """As echo, in a thread."""
    return [n, n + 1]


@task("site.child", pool="process", retry=_SOON)
def child(job: Job, n: int = 0, crash_once: bool = False) -> dict[str, int]:
    """In a process of its own."""
    job.progress(1, 2, "in a child")
    if crash_once and job.attempt == 1:
        os.kill(os.getpid(), 9)
    return {"n": n, "pid": os.getpid(), "attempt": job.attempt}


@task("site.flaky", retry=_SOON)
async def flaky(job: Job, good_from: int = 3) -> int:
    """Fail as a network does until the attempt `good_from`."""
    if job.attempt < good_from:
        raise ConnectionError(f"attempt {job.attempt}")
    return job.attempt


@task("site.wrong", retry=RetryPolicy(max_retries=3, backoff=0.1, on=frozenset({Category.TRANSIENT})))
async def wrong() -> None:
    """Fail as a bug does."""
    raise ValueError("a bug")


@task("site.slow_async", time_limit=1)
async def slow_async() -> None:
    """Run over its time limit on the loop."""
    await asyncio.sleep(600)


@task("site.slow_thread", time_limit=1)
def slow_thread() -> None:
    """Run over its time limit in a thread."""
    end = time.monotonic() + 600
    while time.monotonic() < end:
        time.sleep(0.05)


@task("site.slow_child", time_limit=1, pool="process")
def slow_child() -> None:
    """Run over its time limit in a child."""
    time.sleep(600)


@task("site.gated")
async def gated(job: Job, gate: Path, mark: Path | None = None) -> int:
    """Say that it runs, and end when the gate is opened (the file exists)."""
    job.progress(0, 1, "waits")
    if mark is not None:
        with mark.open("a") as file:
            file.write(f"{os.getpid()}\n")
    while not gate.exists():
        await asyncio.sleep(0.02)
    return job.attempt


@task("site.paged")
async def paged(job: Job, gate: Path, log: Path) -> list[int]:
    """Save each of three pages; after the first one wait for the gate."""
    for page in range(job.checkpoint.get("page", 0), 3):
        with log.open("a") as file:
            file.write(f"{page}\n")
        await job.save(page=page + 1)
        job.progress(page + 1, 3, f"page {page}")
        while page == 0 and not gate.exists():
            await asyncio.sleep(0.02)
    return [job.checkpoint["page"], job.attempt]


@task("site.note", queue="site.one")
async def note(log: Path, text: str) -> None:
    """Append a line; its queue runs one job at a time."""
    with log.open("a") as file:
        file.write(f"{text}\n")


@task("site.hold", queue="site.one")
async def hold(job: Job, gate: Path) -> None:
    """Keep the queue's one slot until the gate is opened."""
    while not gate.exists():
        await asyncio.sleep(0.02)


class Site(Plugin[PluginSettings]):
    """Namespace `site`."""

    @hookimpl
    def register_queues(self) -> Iterable[Queue]:
        return [Queue("site", slots=8), Queue("site.one", slots=1)]

    @hookimpl
    def register_tasks(self) -> Iterable[Task[..., Any]]:
        return [value for value in globals().values() if isinstance(value, Task)]
