"""Celery's consumer, except for what loses a message, ends the worker, or never comes back."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from celery.worker.consumer import Consumer
from kombu.common import ignore_errors


class LedgerConsumer(Consumer):  # type: ignore[misc]  # Celery has no types
    """Stock Celery discards messages of tasks that it does not know, and trusts the others' headers."""

    def create_task_handler(self, promise: Any = None) -> Callable[[Any], None]:
        """Return what takes each message: Celery's handler for its own tasks, the engine for all others."""
        engine = self.controller.hopyard_engine
        stock = super().create_task_handler()

        def handle(message: Any) -> None:
            headers = message.headers
            task = headers.get("task") if isinstance(headers, dict) else None
            if isinstance(task, str) and isinstance(headers.get("id"), str) and engine.celery_runs(task):
                if not engine.takes_from_celery(message):
                    stock(message)
            else:
                engine.receive(message)

        return handle

    def on_connection_error_after_connected(self, exc: Exception) -> None:
        """As Celery does, and drop the events' connection, too.

        Celery says goodbye on it before it makes a new one. On a line to RabbitMQ that was cut without notice
        it waits for an answer until TCP gives up, and consumes nothing meanwhile.
        """
        super().on_connection_error_after_connected(exc)
        if self.event_dispatcher is not None and self.event_dispatcher.connection:
            ignore_errors(self, self.event_dispatcher.connection.collect)  # type: ignore[no-untyped-call]
