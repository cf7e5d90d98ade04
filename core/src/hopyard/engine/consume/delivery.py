"""A broker message on its way to becoming a running job."""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NamedTuple

from hopyard.ledger.values import MARK, NewJob, job_id
from hopyard.specs import State
from hopyard.tasks import canvas

if TYPE_CHECKING:
    from celery import Celery


class Delivery(NamedTuple):
    """One message. `original` is the id that its sender knows it by."""

    id: str
    original: str
    queue: str
    task: str
    #: Celery's view of a stock producer's message, whose job may not be in the ledger; else None.
    foreign: Any
    #: Tells the broker that the message is done with.
    acknowledge: Callable[[], object]
    #: The message as it came, where it was taken in a batch.
    raw: bytes = b""


class Nameless:
    """What Celery's request asks of a task that is not there."""

    ignore_result = True

    def __init__(self, name: str) -> None:
        self.name = name


def nothing(*_: Any, **__: Any) -> None:
    """Acknowledge or reject what the broker no longer knows."""


def from_message(app: Celery, message: Any, queue: str, acknowledge: Callable[[], object]) -> Delivery:
    """Return what kombu delivered. Raises `ValueError` for a message that is no job's."""
    headers = message.headers
    original, task = headers.get("id"), headers.get("task")
    if not isinstance(original, str) or not isinstance(task, str):
        raise ValueError(f"its id is {original!r} and its task {task!r}, expected texts")
    if MARK in headers:
        return Delivery(original, original, queue, task, None, acknowledge)
    return Delivery(job_id(original), original, queue, task, _request(app, message, task), acknowledge)


def from_envelope(app: Celery, queue: str, raw: bytes) -> Delivery:
    """Return what stood in a Redis list. Raises `ValueError` for a message that is no job's."""
    from pydantic_core import from_json

    envelope = from_json(raw)
    headers = envelope["headers"]
    if MARK in headers:  # its row has all the rest
        return Delivery(headers["id"], headers["id"], queue, headers["task"], None, nothing, raw)
    return from_message(app, message_of(envelope, queue), queue, nothing)._replace(raw=raw)


def message_of(envelope: dict[str, Any], queue: str) -> Any:
    """Return kombu's message of an envelope, bound to no channel."""
    from kombu.message import Message

    made: Any = Message
    properties, body = envelope["properties"], envelope["body"]
    if properties.get("body_encoding") == "base64":
        body = base64.b64decode(body)
    return made(
        body=body,
        delivery_tag=properties.get("delivery_tag") or os.urandom(16).hex(),
        content_type=envelope.get("content-type"),
        content_encoding=envelope.get("content-encoding"),
        delivery_info={"exchange": "", "routing_key": queue},
        properties=properties,
        headers=envelope["headers"],
        accept={"application/json"},
    )


def _request(app: Celery, message: Any, task: str) -> Any:
    from celery.worker.request import Request

    _check(message)
    known = app.tasks.get(task) or Nameless(task)
    return Request(message, app=app, task=known, body=message.body, headers=message.headers)


def _check(message: Any) -> None:
    from kombu.exceptions import KombuError

    try:
        payload = message.payload
    except KombuError as error:
        raise ValueError(f"its body cannot be read: {error}") from error
    kinds = [list | tuple, dict, dict | None]
    if (
        not isinstance(payload, list | tuple)
        or len(payload) != len(kinds)
        or not all(isinstance(part, kind) for part, kind in zip(payload, kinds, strict=True))
    ):
        raise ValueError("its body is not [args, kwargs, embed]")


def adopted(delivery: Delivery, priority: int) -> NewJob:
    """Return the row for a stock producer's message."""
    request = delivery.foreign
    headers = dict(request.request_dict)
    for name in ("args", "kwargs", "properties", "delivery_info", "hostname", "reply_to", "correlation_id"):
        headers.pop(name, None)  # what Celery's request adds to the message's own headers
    headers["id"] = delivery.id
    body = request.body.decode() if isinstance(request.body, bytes) else str(request.body)
    eta = request.eta.astimezone(UTC) if request.eta else None
    later = eta is not None and eta > datetime.now(UTC)
    return NewJob(
        id=delivery.id,
        task=delivery.task,
        queue=delivery.queue,
        priority=priority,
        body=body,
        headers=json.dumps(headers, default=str),
        state=State.SCHEDULED if later else State.QUEUED,
        eta=eta if later else None,
        parent=job_id(request.parent_id) if request.parent_id else None,
        root=job_id(request.root_id) if request.root_id else None,
        origin=delivery.original if delivery.original != delivery.id else None,
        linked=bool(canvas.links(body)),
    )
