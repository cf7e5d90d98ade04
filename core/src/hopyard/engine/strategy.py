"""Celery's way of handing a received message to whoever runs it: here the engine."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from celery.exceptions import InvalidTaskError
from celery.worker import state
from celery.worker.request import Request

from hopyard.engine.delivery import Delivery, is_foreign
from hopyard.ledger.values import job_id


class JobRequest(Request):  # type: ignore[misc]  # Celery has no types
    """Celery's view of a job, for `inspect`, `revoke` and events."""

    engine: Any = None

    def terminate(self, pool: Any, signal: Any = None) -> None:
        """Celery's `revoke(terminate=True)`: stop the job wherever it is."""
        self.engine.revoke(job_id(self.id), "revoked through Celery")

    def cancel(self, pool: Any, signal: Any = None, **kwargs: Any) -> None:
        """Celery's cancel on connection loss: nothing to do, the ledger holds the job."""


def _check(message: Any) -> None:
    """Raise `InvalidTaskError` for a message that is no job's: Celery logs it and throws it away."""
    payload = message.payload
    kinds = [list | tuple, dict, dict | None]
    if (
        not isinstance(payload, list | tuple)
        or len(payload) != len(kinds)
        or not all(isinstance(part, kind) for part, kind in zip(payload, kinds, strict=True))
    ):
        raise InvalidTaskError("its body is not [args, kwargs, embed]")
    if not isinstance(message.headers.get("id"), str):
        raise InvalidTaskError(f"its id is {message.headers.get('id')!r}, expected a text")


def strategy(task: Any, app: Any, consumer: Any, **options: Any) -> Callable[..., None]:
    """Return what handles the messages of one task."""
    engine = consumer.controller.hopyard_engine
    hostname = consumer.hostname
    eventer = consumer.event_dispatcher
    connection_errors = consumer.connection_errors

    def handle(message: Any, body: Any, ack: Any, reject: Any, callbacks: Any, **extra: Any) -> None:
        _check(message)
        request = JobRequest(
            message,
            on_ack=ack,
            on_reject=reject,
            app=app,
            hostname=hostname,
            eventer=eventer,
            task=task,
            connection_errors=connection_errors,
            body=message.body,
            headers=message.headers,
        )
        request.engine = engine
        # The broker's thread acknowledges; going through Celery's promise would wait for the hub's next turn.
        request._on_ack = message.ack_log_error
        state.task_reserved(request)
        request.send_event(
            "task-received",
            name=request.name,
            args=request.argsrepr,
            kwargs=request.kwargsrepr,
            root_id=request.root_id,
            parent_id=request.parent_id,
        )
        engine.receive(
            Delivery(
                job_id(request.id),
                engine.queue_of(message),
                request.type,
                request,
                is_foreign(message.headers),
            )
        )

    return handle
