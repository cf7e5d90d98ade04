"""A job that runs in this worker."""

from __future__ import annotations

import asyncio
import json
import logging
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

from hopyard.ledger.values import Claim, Done, utcnow
from hopyard.specs import State

if TYPE_CHECKING:
    from hopyard.engine.slots import Slots

log = logging.getLogger("hopyard.engine")


@dataclass(slots=True)
class Running:
    """A claimed job in this process; to Celery's remote control it is a request."""

    claim: Claim
    original: str
    """The id that its sender knows it by."""
    worker: int
    """The number under which it was claimed: the first half of its fence."""
    slots: Slots
    task: Any
    """Celery's, of the same name."""
    revoke: Callable[[str], None]
    run: asyncio.Task[None] | None = None
    why: str | None = None
    """Why it was told to stop: `cancel`, `release` or `lost`."""
    began: datetime = field(default_factory=utcnow)
    waits: int = 0
    """In how many places it waits without its slot."""
    over: bool = False
    """It is recorded, or others have it: nothing that its task still does counts."""

    @property
    def seconds(self) -> float:
        """For how long it has run."""
        return (utcnow() - self.began).total_seconds()

    @property
    def id(self) -> str:
        """As Celery's request."""
        return self.original

    @property
    def task_id(self) -> str:
        """As Celery's request."""
        return self.original

    @property
    def name(self) -> str:
        """As Celery's request: the task's name."""
        return self.claim.task

    def terminate(self, pool: Any, signal: Any = None) -> None:
        """As Celery's request: stop the job wherever it is."""
        self.revoke(self.claim.id)

    def info(self, safe: bool = False) -> dict[str, Any]:
        """As Celery's request."""
        args, kwargs, _ = json.loads(self.claim.body)
        return {
            "id": self.original,
            "name": self.claim.task,
            "args": repr(args) if safe else args,
            "kwargs": repr(kwargs) if safe else kwargs,
            "type": self.claim.task,
            "time_start": self.began.timestamp(),
            "acknowledged": True,
            "delivery_info": {"exchange": "", "routing_key": self.claim.queue, "redelivered": False},
            "worker_pid": os.getpid(),
        }

    def cancelled(self, how: str) -> Done:
        """Return what is recorded of a job that was cancelled."""
        if how:
            log.warning("job %s was cancelled: %s", self.claim.id, how)
        told = json.dumps({"kind": "JobCancelled", "category": "cancelled", "message": how}) if how else None
        return Done(self.claim.id, self.claim.claim, State.CANCELLED, None, told, None)

    def handed_back(self) -> str:
        """Return what the job's history says of an attempt that is handed back, as JSON text."""
        why = "its worker lost its lease" if self.why == "lost" else "its worker drains"
        return json.dumps(
            {
                "attempt": self.claim.attempt,
                "outcome": "handed back",
                "worker": self.worker,
                "began": self.began.isoformat(),
                "at": utcnow().isoformat(),
                "message": why,
            }
        )
