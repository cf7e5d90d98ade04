"""Queues: how full they are, how long jobs wait in them; pausing and resuming them; resources."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from pydantic import BaseModel

from hopyard.ledger import queues, resources
from hopyard.ledger.read import counting
from hopyard.web.api.deps import Here, Operator, Watcher
from hopyard.web.problems import Refused
from hopyard.web.state import Served
from hopyard.web.viewer import Viewer

router = APIRouter(tags=["queues"])


class QueueState(BaseModel):
    """A queue: its live jobs by state, and of its latest jobs how long they waited and ran, in seconds."""

    queue: str
    paused: datetime | None = None
    paused_by: str | None = None
    oldest: datetime | None = None
    scheduled: int = 0
    queued: int = 0
    running: int = 0
    retrying: int = 0
    parked: int = 0
    slots: int | None = None
    waited_p50: float | None = None
    waited_p95: float | None = None
    ran_p50: float | None = None
    ran_p95: float | None = None
    ended_last_hour: int = 0


class Queues(BaseModel):
    """All queues that there are."""

    queues: list[QueueState]


class Resources(BaseModel):
    """What the installation has only so much of: who holds it, who waits."""

    resources: list[dict[str, Any]]


class Changed(BaseModel):
    """Whether a queue was in another state before."""

    queue: str
    changed: bool


@router.get("/queues")
async def list_queues(here: Here, viewer: Watcher) -> Queues:
    """List all queues."""
    return Queues(queues=[one for one in await overview(here) if viewer.concerns(one.queue)])


async def overview(here: Served) -> list[QueueState]:
    """Return all queues, by name."""
    declared = here.hopyard.plugins.queues
    found = {name: QueueState(queue=name, slots=queue.slots) for name, queue in declared.items()}

    def of(name: str) -> QueueState:
        return found.setdefault(name, QueueState(queue=name))

    for count in await here.hub.counts.get():
        one = of(count.queue)
        setattr(one, count.state.label, getattr(one, count.state.label) + count.jobs)
        if count.state.label == "queued":
            one.oldest = min(count.oldest, one.oldest or count.oldest)
    for name, at, by in await queues.paused(here.database):
        one = of(name)
        one.paused, one.paused_by = at, by
    for latency in await counting.latencies(here.database):
        one = of(latency.queue)
        one.waited_p50, one.waited_p95 = latency.waited_p50, latency.waited_p95
        one.ran_p50, one.ran_p95 = latency.ran_p50, latency.ran_p95
    for ended in await counting.ended(here.database, minutes=60, span=60):
        of(ended.queue).ended_last_hour += ended.jobs
    return [found[name] for name in sorted(found)]


@router.post("/queues/{queue}/pause")
async def pause(
    queue: str,
    request: Request,
    here: Here,
    viewer: Operator,
    reason: Annotated[str | None, Query(max_length=500)] = None,
) -> Changed:
    """Start no more jobs of a queue, on any worker; what runs goes on."""
    await _known(here, viewer, queue)
    await here.audit(request, viewer, "pause queue", queue, reason=reason)
    by = f"{viewer.name} ({reason})" if reason else viewer.name
    return Changed(queue=queue, changed=await queues.pause(here.database, queue, by))


@router.post("/queues/{queue}/resume")
async def resume(queue: str, request: Request, here: Here, viewer: Operator) -> Changed:
    """Let a queue go on."""
    await _known(here, viewer, queue)
    await here.audit(request, viewer, "resume queue", queue)
    return Changed(queue=queue, changed=await queues.resume(here.database, queue) is not None)


@router.get("/resources")
async def list_resources(here: Here, viewer: Watcher) -> Resources:
    """Say how much of each resource there is, which jobs hold it, and how many wait."""
    found = await resources.overview(here.database, here.hopyard.settings.resources)
    return Resources(
        resources=[
            one | {"holders": [job for job in one["holders"] if viewer.concerns(job["task"])]}
            for one in found
        ]
    )


async def _known(here: Served, viewer: Viewer, queue: str) -> None:
    """Raise `Refused` for a queue that there is not, or that the viewer may not change."""
    known = {one.queue for one in await overview(here)}
    if queue not in known or not viewer.concerns(queue):
        raise Refused(404, f"there is no queue `{queue[:80]}`")
