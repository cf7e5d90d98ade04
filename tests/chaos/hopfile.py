"""The site plugin of the fault suite: tasks that report every run to the sink."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Iterable
from typing import Any

from chaos import breaks, crashpoints, poison
from chaos.sink import tell, tell_now
from hopyard import Job, Plugin, PluginSettings, Queue, RetryPolicy, Task, hookimpl, task
from hopyard.specs import Effect, Reconciled

_SOON = RetryPolicy(max_retries=6, backoff=0.2, factor=1.0, jitter=0)


def _fence(job: Job) -> list[int]:
    """The claim under which a job runs: the checker compares it with what the ledger accepted."""
    return list(job._host.held(job.id, job._claim.claim)[1])


def _run(job: Job, what: str, **more: Any) -> dict[str, Any]:
    fence = _fence(job)
    return {"what": what, "job": job.id, "fence": fence, "pid": _WORKER, "attempt": job.attempt, **more}


#: The process of the worker: a fault that hits it hits its children too.
_WORKER = int(os.environ.setdefault("HOPYARD_INTERNAL_WORKER", str(os.getpid())))


@task("site.step", retry=_SOON)
async def step(job: Job, n: int = 0, seconds: float = 0.02) -> dict[str, Any]:
    """Two pages with checkpoints, an effect, an end. Every seventh fails at its first attempt."""
    fence = _fence(job)
    if seconds >= 1:
        crashpoints.note(job.id)
    await tell(**_run(job, "start", task="site.step", long=seconds >= 1))
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
    fence = _fence(job)
    if seconds >= 1:
        crashpoints.note(job.id)
    tell_now(**_run(job, "start", task="site.plain", long=seconds >= 1))
    time.sleep(seconds)
    tell_now(what="end", job=job.id, fence=fence, pid=os.getpid())
    return {"fence": fence}


@task("site.tick", queue="site.ticks", retry=_SOON)
async def tick(job: Job) -> dict[str, Any]:
    """What schedules fire."""
    await tell(**_run(job, "start", task="site.tick", schedule=job.schedule, due=str(job.due)))
    return {"fence": _fence(job)}


@task("site.busy", queue="site.busy", retry=_SOON)
async def busy(seconds: float) -> None:
    """Keep a queue from ever being empty."""
    await asyncio.sleep(seconds)


@task("site.brief", queue="site.many", retry=_SOON)
async def brief(n: int) -> None:
    """One of a million: tells nobody, the ledger has it."""


@task("site.ticking", queue="site.paged", retry=_SOON)
async def ticking(job: Job, seconds: float) -> dict[str, Any]:
    """Say every half second that it still runs."""
    fence = _fence(job)
    await tell(**_run(job, "start", task="site.ticking"))
    for _ in range(int(seconds * 2)):
        await asyncio.sleep(0.5)
        await tell(what="ticks", job=job.id, fence=fence, pid=_WORKER)
    await tell(what="end", job=job.id, fence=fence, pid=_WORKER)
    return {"fence": fence}


@task("site.stepwise", queue="site.paged", retry=_SOON)
async def stepwise(job: Job, steps: int) -> dict[str, Any]:
    """Half a second and a checkpoint for each step; without steps a tenth of a second."""
    fence = _fence(job)
    await tell(**_run(job, "start", task="site.stepwise"))
    await asyncio.sleep(0 if steps else 0.1)
    for page in range(job.checkpoint.get("page", 0), steps):
        await tell(**_run(job, "page", page=page))
        await asyncio.sleep(0.5)
        await job.save(page=page + 1)
    await tell(what="end", job=job.id, fence=fence, pid=_WORKER)
    return {"fence": fence}


@task("site.link", retry=_SOON)
async def link(job: Job, before: dict[str, Any], more: int) -> dict[str, Any]:
    """One of a chain, or a part of a chord: what the one before it left, and `more`."""
    fence = _fence(job)
    await tell(**_run(job, "start", task="site.link"))
    await asyncio.sleep(0.2)
    await tell(what="end", job=job.id, fence=fence, pid=_WORKER)
    return {"fence": fence, "value": before["value"] + more}


@task("site.total", retry=_SOON)
async def total(job: Job, parts: list[dict[str, Any]]) -> dict[str, Any]:
    """A chord's body: the sum of its parts, which tells one that came twice or not at all."""
    fence = _fence(job)
    await tell(**_run(job, "start", task="site.total"))
    await asyncio.sleep(0.1)
    await tell(what="end", job=job.id, fence=fence, pid=_WORKER)
    return {"fence": fence, "value": sum(part["value"] for part in parts)}


_PAGES = 5


async def _paged(job: Job, victim: int, death: str) -> dict[str, Any]:
    """Five pages, each a checkpoint; the process dies right after `victim` of them were saved."""
    from_page = job.checkpoint.get("page", 0)
    await tell(**_run(job, "start", task=job.task, from_page=from_page))
    for page in range(from_page, _PAGES):
        await tell(**_run(job, "page", page=page))
        await job.save(page=page + 1)
        await tell(**_run(job, "saved", page=page + 1))
        if page + 1 == victim:
            await tell(**_run(job, death))
            os.kill(os.getpid(), signal.SIGKILL)
    await tell(what="end", job=job.id, fence=_fence(job), pid=os.getpid())
    return {"fence": _fence(job)}


@task("site.paged", queue="site.paged", retry=_SOON)
async def paged(job: Job, victim: int) -> dict[str, Any]:
    """On the worker's loop: the whole worker dies."""
    return await _paged(job, victim, "dies")


@task("site.paged_child", queue="site.paged", pool="process", retry=_SOON)
async def paged_child(job: Job, victim: int) -> dict[str, Any]:
    """In a child process, which dies alone: to the worker that is a failure of the job."""
    return await _paged(job, victim, "fail")


class Site(Plugin[PluginSettings]):
    """Namespace `site`."""

    @hookimpl
    def register_queues(self) -> Iterable[Queue]:
        slots = {"site": 8, "site.ticks": 8, "site.poison": 2, "site.busy": 2, "site.paged": 12}
        slots["site.many"] = 64
        return [Queue(name, slots=count) for name, count in slots.items()]

    @hookimpl
    def register_tasks(self) -> Iterable[Task[..., Any]]:
        found = [*globals().values(), *vars(poison).values()]
        return [value for value in found if isinstance(value, Task)]

    @hookimpl
    def reconcile_effect(self, effect: Effect) -> Reconciled | None:
        """The sink knows whether a `sure` effect happened; of a `mail` nobody does."""
        if effect.name != "sure":
            return None
        return Reconciled(tell_now(ask="sure", job=effect.job), "sent")


breaks.install(os.environ.get("HOPYARD_INTERNAL_BREAK", ""))
crashpoints.install(os.environ.get("HOPYARD_INTERNAL_CRASH", ""))
