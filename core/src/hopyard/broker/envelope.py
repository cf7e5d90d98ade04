"""Celery's message protocol 2, as kombu's Redis transport lays it out."""

from __future__ import annotations

import json
import socket
from collections.abc import Mapping
from typing import Any, Final, Protocol

from hopyard.ledger.values import MARK, QueueMessage, random_text

#: The embed part of a body without links.
EMBED: Final = {"callbacks": None, "errbacks": None, "chain": None, "chord": None}

_ORIGIN: Final = f"hopyard@{socket.gethostname()}"
_text: Final = json.encoder.encode_basestring_ascii
# Messages are put together from texts: of all that submitting a job costs, encoding the same keys again and
# again was a fifth (measured).
_KEPT: Final = (
    f'"eta": null, "expires": null, "group": null, "group_index": null, "retries": 0, '
    f'"timelimit": [null, null], "origin": {_text(_ORIGIN)}, "ignore_result": true, '
    f'"replaced_task_nesting": 0, "stamped_headers": null, "stamps": {{}}, "{MARK}": 1}}'
)
_BEGIN: Final = "[[], "
_END: Final = f", {json.dumps(EMBED)}]"


def headers(
    id_: str,
    task: str,
    *,
    root: str | None = None,
    parent: str | None = None,
    argsrepr: str = "()",
    kwargsrepr: str = "{}",
) -> str:
    """Return the headers of a job's message as JSON text."""
    return (
        f'{{"lang": "py", "task": {_text(task)}, "id": {_text(id_)}, "shadow": null, '
        f'"root_id": {_text(root or id_)}, "parent_id": {_text(parent) if parent else "null"}, '
        f'"argsrepr": {_text(argsrepr)}, "kwargsrepr": {_text(kwargsrepr)}, {_KEPT}'
    )


class _Job(Protocol):
    """What has a message: `NewJob`, `QueueMessage`, `Claim`."""

    @property
    def id(self) -> str: ...
    @property
    def task(self) -> str: ...
    @property
    def body(self) -> str: ...
    @property
    def headers(self) -> str: ...


def headers_of(job: _Job) -> str:
    """Return the headers of a job's message as JSON text; most rows have none of their own.

    They are three quarters of what a row would be, and say nothing that its other columns do not say.
    """
    return job.headers or headers(job.id, job.task, kwargsrepr=(named_only(job.body) or "{}")[:200])


def body(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> str:
    """Return the body `[args, kwargs, embed]` as JSON text; raises TypeError for what JSON cannot hold."""
    return json.dumps([args, kwargs, EMBED])


def body_of(kwargs: str) -> str:
    """Return the body of a call by name, whose arguments are JSON text already."""
    return f"{_BEGIN}{kwargs}{_END}"


def named_only(body: str) -> str | None:
    """Return the arguments of a call by name without links, as JSON text; None of any other body."""
    if body.startswith(_BEGIN) and body.endswith(_END):
        return body[len(_BEGIN) : -len(_END)]
    return None


def kombu_priority(priority: int) -> int:
    """Map 0 to 9, 9 first, to kombu's Redis priorities, 0 first."""
    return 9 - priority


def envelope(message: QueueMessage) -> str:
    """Return the whole message as kombu's Redis transport would have written it."""
    return (
        f'{{"body": {_text(message.body)}, "content-encoding": "utf-8", '
        f'"content-type": "application/json", "headers": {headers_of(message)}, '
        f'"properties": {{"correlation_id": {_text(message.id)}, "reply_to": "", "delivery_mode": 2, '
        f'"delivery_info": {{"exchange": "", "routing_key": {_text(message.queue)}}}, '
        f'"priority": {kombu_priority(message.priority)}, "body_encoding": "utf-8", '
        f'"delivery_tag": "{random_text()}"}}}}'
    )
