"""A broker message on its way to becoming a running job."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any, NamedTuple

from hopyard.ledger.values import MARK, NewJob, job_id
from hopyard.specs import State
from hopyard.tasks import canvas


class Delivery(NamedTuple):
    """One message. `request` is Celery's view of it; `foreign` where its job may not be in the ledger."""

    id: str
    queue: str
    task: str
    request: Any
    foreign: bool


def is_foreign(headers: dict[str, Any]) -> bool:
    """Say whether a stock producer made the message."""
    return MARK not in headers


def adopted(request: Any, queue: str, priority: int, body: str) -> NewJob:
    """Return the row for a stock producer's message."""
    headers = dict(request.request_dict)
    for name in ("args", "kwargs", "properties", "delivery_info", "hostname", "reply_to", "correlation_id"):
        headers.pop(name, None)  # what Celery's request adds to the message's own headers
    original = str(request.id)
    id_ = job_id(original)
    headers["id"] = id_
    eta = request.eta.astimezone(UTC) if request.eta else None
    later = eta is not None and eta > datetime.now(UTC)
    return NewJob(
        id=id_,
        task=request.type,
        queue=queue,
        priority=priority,
        body=body,
        headers=json.dumps(headers, default=str),
        state=State.SCHEDULED if later else State.QUEUED,
        eta=eta if later else None,
        parent=job_id(request.parent_id) if request.parent_id else None,
        root=job_id(request.root_id) if request.root_id else None,
        origin=original if original != id_ else None,
        linked=bool(canvas.links(body)),
    )
