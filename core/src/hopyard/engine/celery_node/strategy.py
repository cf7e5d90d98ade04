"""Celery's way of handing a received message to whoever runs it: here the engine."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


def strategy(task: Any, app: Any, consumer: Any, **options: Any) -> Callable[..., None]:
    """Return what handles the messages of one task."""
    engine = consumer.controller.hopyard_engine

    def handle(message: Any, body: Any, ack: Any, reject: Any, callbacks: Any, **extra: Any) -> None:
        engine.receive(message)

    return handle
