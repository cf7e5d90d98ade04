"""Workers: what they serve, what they have loaded, what they are at."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from fastapi import APIRouter
from pydantic import BaseModel

from hopyard.ledger import leader
from hopyard.ledger.read import workers
from hopyard.ledger.read.summary import JobSummary
from hopyard.web.api.deps import Here, Watcher

router = APIRouter(tags=["workers"])


@dataclass(frozen=True, slots=True)
class WorkerState:
    """A worker that lives, with what it runs."""

    id: int
    name: str
    host: str
    pid: int
    queues: list[str]
    plugins: dict[str, str]
    started: datetime
    jobs: list[JobSummary]


class Workers(BaseModel):
    """All workers that live. `mixed` names plugins of which they have different versions."""

    workers: list[WorkerState]
    mixed: dict[str, list[str]]
    scheduler: str | None


@router.get("/workers")
async def list_workers(here: Here, viewer: Watcher) -> Workers:
    """List the workers that live, with the jobs that they run."""
    found = await workers.living(here.database)
    running = await workers.running(here.database, [one.id for one in found])
    return Workers(
        workers=[
            WorkerState(
                one.id,
                one.name,
                one.host,
                one.pid,
                one.queues,
                one.plugins,
                one.started,
                [job for job in running if job.worker == one.id and viewer.concerns(job.task)],
            )
            for one in found
        ],
        mixed=workers.mixed(found),
        scheduler=await leader.holder(here.database, "schedule"),
    )
