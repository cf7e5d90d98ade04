"""What Celery's own bookkeeping and events are told of a job; called in the thread of the consumer."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from celery.worker import state

from hopyard.ledger.values import Again, Done
from hopyard.specs import State

if TYPE_CHECKING:
    from hopyard.engine.delivery import Delivery


def acknowledge(batch: Sequence[Delivery], gone: Sequence[Delivery]) -> None:
    """Acknowledge a batch of messages; those that are `gone` are nobody's to run here."""
    for delivery in batch:
        delivery.request.acknowledge()
    for delivery in gone:
        state.task_ready(delivery.request)


def started(request: Any) -> None:
    """Say that a job runs."""
    request.time_start = time.time()
    request.worker_pid = os.getpid()
    state.task_accepted(request)
    request.send_event("task-started")


def ended(request: Any, outcome: Done | Again | None) -> None:
    """Say that a job no longer runs; without an outcome it was given to another worker."""
    state.task_ready(request)
    if isinstance(outcome, Again):
        request.send_event("task-retried", exception=outcome.reason, traceback="")
    elif outcome is None:
        return
    elif outcome.state == State.SUCCEEDED:
        seconds = time.time() - request.time_start
        request.send_event("task-succeeded", result=(outcome.result or "")[:200], runtime=seconds)
    elif outcome.state == State.CANCELLED:
        request.send_event("task-revoked", terminated=True, signum=None, expired=False)
    else:
        error = json.loads(outcome.error or "{}")
        described = f"{error.get('kind')}({error.get('message')!r})"
        request.send_event("task-failed", exception=described, traceback=error.get("traceback"))
