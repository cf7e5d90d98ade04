"""What Celery's tables, events and receivers of `task_received` see of the jobs that run here.

Events cost only where somebody switched them on; they are sent in the consumer's thread.
"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from celery.worker import state

from hopyard.broker.envelope import headers_of
from hopyard.engine.observers import EndedRun, Observer
from hopyard.engine.running import Running
from hopyard.ledger.values import Again, Done
from hopyard.specs import State
from hopyard.tasks import signals

if TYPE_CHECKING:
    from hopyard.engine.celery_node.main_thread import MainThread


class CeleryEvents(Observer):
    """Keeps Celery's tables and sends its events, for one worker."""

    def __init__(self, main: MainThread) -> None:
        self._main = main
        self._dispatcher: Any = None
        self._consumer: Any = None

    def connected(self, consumer: Any) -> None:
        """Take the consumer whose dispatcher sends events now."""
        self._consumer = consumer
        self._dispatcher = consumer.event_dispatcher

    def begun(self, jobs: Sequence[Running]) -> None:
        """Say that jobs were received and run."""
        for running in jobs:
            state.requests[running.original] = running
        if signals.has_receivers("task_received"):
            for running in jobs:
                signals.fire("task_received", self._consumer, request=running)
        if self._watched:
            for running in jobs:
                self._send("task-received", running, **_received(running))
                self._send("task-started", running)

    def ended(self, runs: Sequence[EndedRun]) -> None:
        """Say that jobs no longer run."""
        for running, outcome in runs:
            self._ended(running, outcome)

    def _ended(self, running: Running, outcome: Done | Again | None) -> None:
        state.requests.pop(running.original, None)
        state.total_count[running.claim.task] += 1
        if not self._watched or outcome is None:
            return
        if isinstance(outcome, Again):
            self._send("task-retried", running, exception=outcome.reason, traceback="")
        elif outcome.state == State.SUCCEEDED:
            seconds = time.time() - running.began.timestamp()
            self._send("task-succeeded", running, result=(outcome.result or "")[:200], runtime=seconds)
        elif outcome.state == State.CANCELLED:
            self._send("task-revoked", running, terminated=True, signum=None, expired=False)
        else:
            error = json.loads(outcome.error or "{}")
            described = f"{error.get('kind')}({error.get('message')!r})"
            self._send("task-failed", running, exception=described, traceback=error.get("traceback"))

    @property
    def _watched(self) -> bool:
        dispatcher = self._dispatcher
        if dispatcher is None or not dispatcher.enabled:
            return False
        # Without `-E` it is there for the worker's own events only.
        return not dispatcher.groups or "task" in dispatcher.groups

    def _send(self, kind: str, running: Running, **fields: Any) -> None:
        dispatcher = self._dispatcher
        self._main.soon(lambda: dispatcher.send(kind, uuid=running.original, **fields))


def _received(running: Running) -> dict[str, Any]:
    headers = json.loads(headers_of(running.claim))
    return {
        "name": running.claim.task,
        "args": headers.get("argsrepr"),
        "kwargs": headers.get("kwargsrepr"),
        "root_id": headers.get("root_id"),
        "parent_id": headers.get("parent_id"),
        "retries": running.claim.attempt - 1,
        "eta": None,
        "expires": None,
    }
