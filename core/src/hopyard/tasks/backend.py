"""A Celery result backend on the ledger, so that `AsyncResult` answers."""

from __future__ import annotations

import json
from contextvars import ContextVar
from typing import Any

from celery import states
from celery.backends.base import BaseBackend
from celery.result import ResultSet

from hopyard import current, portal
from hopyard.errors import JobCancelled, JobFailed, UnknownJob
from hopyard.ledger import cancelling
from hopyard.ledger.values import job_id
from hopyard.specs import State
from hopyard.tasks import canvas

_STATES = {
    State.SCHEDULED: states.PENDING,
    State.QUEUED: states.PENDING,
    State.PARKED: states.PENDING,
    State.RUNNING: states.STARTED,
    State.RETRYING: states.RETRY,
    State.SUCCEEDED: states.SUCCESS,
    State.DEAD: states.FAILURE,
    State.CANCELLED: states.REVOKED,
}


#: Shapes of a chord whose header is about to be collected: Celery tells of them just before.
_announced: ContextVar[dict[str, canvas.Shape] | None] = ContextVar("hopyard_chord_shapes", default=None)


class LedgerBackend(BaseBackend):  # type: ignore[misc]  # Celery has no types
    """Reads jobs from the ledger. Writes nothing but a revoke, which is a cancel."""

    persistent = True

    def _get_task_meta_for(self, task_id: str) -> dict[str, Any]:
        return portal.run(_meta(job_id(task_id)), within_loop=True)

    def get_task_meta(self, task_id: str, cache: bool = True) -> dict[str, Any]:
        """Return Celery's description of a job."""
        return self._get_task_meta_for(task_id)

    def wait_for(
        self, task_id: str, timeout: float | None = None, interval: float = 0.05, **kwargs: Any
    ) -> Any:
        """As Celery's, looking twenty times a second."""
        return super().wait_for(task_id, timeout=timeout, interval=min(interval, 0.05), **kwargs)

    def store_result(self, task_id: str, result: Any, state: str, *args: Any, **kwargs: Any) -> Any:
        """Cancel the job for REVOKED. Other states are the engine's to record, which has done so."""
        if state == states.REVOKED:
            database = portal.run(_client(), within_loop=True).database
            portal.run(
                cancelling.cancel(database, [job_id(task_id)], "revoked through Celery"), within_loop=True
            )
        return result

    def apply_chord(self, header_result_args: Any, body: Any, **kwargs: Any) -> None:
        """Take how a chord's results are nested, if they are, to be stored with its parts.

        Each part carries the body, and the last one that succeeds has it stored.
        """
        group_id, members = header_result_args
        if any(isinstance(member, ResultSet) for member in members):
            found, shapes = canvas.collection(), {job_id(group_id): _shape(members)}
            if found is not None:
                found.shapes |= shapes
            else:
                _announced.set(shapes)

    def set_chord_size(self, group_id: str, chord_size: int) -> None:
        """Take a chord's size, to be stored with its parts."""
        found = canvas.collection()
        if found is not None:
            found.sizes[job_id(group_id)] = chord_size
            found.shapes |= _announced.get() or {}
            _announced.set(None)

    def forget(self, task_id: str) -> None:
        """Keep the job: retention is the ledger's."""


def _shape(members: Any) -> canvas.Shape:
    return [_shape(one.results) if isinstance(one, ResultSet) else job_id(one.id) for one in members]


async def _client() -> Any:
    return current.get().client()


async def _meta(id_: str) -> dict[str, Any]:
    meta: dict[str, Any] = {
        "task_id": id_,
        "status": states.PENDING,
        "result": None,
        "traceback": None,
        "children": [],
    }
    try:
        status = await current.get().handle(id_).status()
    except UnknownJob:
        return meta
    meta["status"] = _STATES[status.state]
    if not status.state.final:
        return meta
    ended = (await current.get().client().ended([id_]))[id_]
    if status.state is State.SUCCEEDED:
        meta["result"] = None if ended.result is None else json.loads(ended.result)
    elif ended.error is not None:
        error = json.loads(ended.error)
        meta["traceback"] = error.get("traceback")
        meta["result"] = JobFailed(
            f"{error.get('kind')}: {error.get('message')}",
            kind=error.get("kind", ""),
            category=error["category"],
        )
    elif status.state is State.CANCELLED:
        meta["result"] = JobCancelled(f"job {id_} was cancelled")
    return meta
