"""The site plugin of the fault suite: tasks that report every run to the sink."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Iterable
from typing import Any

from chaos import breaks, crashpoints
from chaos.sink import tell, tell_now
from hopyard import Job, Plugin, PluginSettings, Queue, RetryPolicy, Task, hookimpl, task
from hopyard.specs import Effect, Reconciled

_SOON = RetryPolicy(max_retries=6, backoff=0.2, factor=1.0, jitter=0)


def _fence(job: Job) -> list[int]:
    """The claim under which a job runs: the checker compares it with what the ledger accepted."""
    return list(job._host.held(job.id, job._claim.claim)[1])


def _run(job: Job, what: str, **more: Any) -> dict[str, Any]:
    fence = _fence(job)
    return {"what": what, "job": job.id, "fence": fence, "pid": os.getpid(), "attempt": job.attempt, **more}


@task("site.step", retry=_SOON)
async def step(job: Job, n: int = 0, seconds: float = 0.02) -> dict[str, Any]:
    """Two pages with checkpoints, an effect, an end. Every seventh fails at its first attempt."""
    fence = _fence(job)
    await tell(**_run(job, "start", task="site.step"))
    for page in range(job.checkpoint.get("page", 0), 2 if n % 3 == 0 else 0):
        await tell(**_run(job, "page", page=page))
        await job.save(page=page + 1)
    await asyncio.sleep(seconds)
    if n % 7 == 0 and job.attempt == 1:
        await tell(**_run(job, "fail"))
        raise ConnectionError("as planned")

    async def mail(sure: bool) -> str:
        await tell(what="effect", job=job.id, fence=fence, pid=os.getpid(), name="sure" if sure else "mail")
        return "sent"

    sure = n % 2 == 0
    await job.effect("sure" if sure else "mail", mail, sure=sure)
    await tell(what="end", job=job.id, fence=fence, pid=os.getpid())
    return {"fence": fence}


@task("site.plain", retry=_SOON)
def plain(job: Job, n: int = 0, seconds: float = 0.02) -> dict[str, Any]:
    """In a thread."""
    import time

    fence = _fence(job)
    tell_now(**_run(job, "start", task="site.plain"))
    time.sleep(seconds)
    tell_now(what="end", job=job.id, fence=fence, pid=os.getpid())
    return {"fence": fence}


@task("site.tick", queue="site.ticks", retry=_SOON)
async def tick(job: Job) -> dict[str, Any]:
    """What schedules fire."""
    await tell(**_run(job, "start", task="site.tick", schedule=job.schedule, due=str(job.due)))
    return {"fence": _fence(job)}


@task("site.segfault", queue="site.poison", pool="process", retry=RetryPolicy(max_retries=2, backoff=0.1))
def segfault() -> None:
    """Die as a broken library makes a process die."""
    os.kill(os.getpid(), signal.SIGSEGV)


@task("site.killer", queue="site.poison", retry=_SOON)
async def killer(job: Job) -> None:
    """Take the whole worker down."""
    await tell(**_run(job, "start", task="site.killer"))
    os._exit(1)


class Site(Plugin[PluginSettings]):
    """Namespace `site`."""

    @hookimpl
    def register_queues(self) -> Iterable[Queue]:
        return [Queue("site", slots=8), Queue("site.ticks", slots=8), Queue("site.poison", slots=2)]

    @hookimpl
    def register_tasks(self) -> Iterable[Task[..., Any]]:
        return [value for value in globals().values() if isinstance(value, Task)]

    @hookimpl
    def reconcile_effect(self, effect: Effect) -> Reconciled | None:
        """The sink knows whether a `sure` effect happened; of a `mail` nobody does."""
        if effect.name != "sure":
            return None
        return Reconciled(tell_now(ask="sure", job=effect.job), "sent")


breaks.install(os.environ.get("HOPYARD_INTERNAL_BREAK", ""))
crashpoints.install(os.environ.get("HOPYARD_INTERNAL_CRASH", ""))
