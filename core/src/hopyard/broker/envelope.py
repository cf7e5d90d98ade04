"""Celery's message protocol 2, as kombu's Redis transport lays it out."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Mapping
from typing import Any, Final

from hopyard.ledger.values import MARK, Ring

#: The embed part of a body without links.
EMBED: Final = {"callbacks": None, "errbacks": None, "chain": None, "chord": None}

_ORIGIN: Final = f"hopyard@{socket.gethostname()}"


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
    return json.dumps(
        {
            "lang": "py",
            "task": task,
            "id": id_,
            "shadow": None,
            "eta": None,
            "expires": None,
            "group": None,
            "group_index": None,
            "retries": 0,
            "timelimit": [None, None],
            "root_id": root or id_,
            "parent_id": parent,
            "argsrepr": argsrepr,
            "kwargsrepr": kwargsrepr,
            "origin": _ORIGIN,
            "ignore_result": True,
            "replaced_task_nesting": 0,
            "stamped_headers": None,
            "stamps": {},
            MARK: 1,
        }
    )


def body(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> str:
    """Return the body `[args, kwargs, embed]` as JSON text; raises TypeError for what JSON cannot hold."""
    return json.dumps([args, kwargs, EMBED])


def kombu_priority(priority: int) -> int:
    """Map 0 to 9, 9 first, to kombu's Redis priorities, 0 first."""
    return 9 - priority


def envelope(ring: Ring) -> str:
    """Return the whole message as kombu's Redis transport would have written it."""
    properties = json.dumps(
        {
            "correlation_id": ring.id,
            "reply_to": "",
            "delivery_mode": 2,
            "delivery_info": {"exchange": "", "routing_key": ring.queue},
            "priority": kombu_priority(ring.priority),
            "body_encoding": "utf-8",
            "delivery_tag": os.urandom(16).hex(),
        }
    )
    return (
        f'{{"body": {json.dumps(ring.body)}, "content-encoding": "utf-8", '
        f'"content-type": "application/json", "headers": {ring.headers}, "properties": {properties}}}'
    )
