"""Celery's consumer, except for what loses a message or never comes back."""

from __future__ import annotations

from typing import Any

from celery.worker.consumer import Consumer
from kombu.common import ignore_errors


class LedgerConsumer(Consumer):  # type: ignore[misc]  # Celery has no types
    """Stock Celery discards messages of tasks that it does not know (a plugin missing here, say)."""

    def on_unknown_task(self, body: Any, message: Any, exc: Any) -> None:
        """Hand the message to the engine, which parks its job in the ledger with the reason."""
        self.controller.hopyard_engine.park(message)

    def on_connection_error_after_connected(self, exc: Exception) -> None:
        """As Celery does, and drop the events' connection, too.

        Celery says goodbye on it before it makes a new one. On a line to RabbitMQ that was cut without notice
        it waits for an answer until TCP gives up, and consumes nothing meanwhile.
        """
        super().on_connection_error_after_connected(exc)
        if self.event_dispatcher is not None and self.event_dispatcher.connection:
            ignore_errors(self, self.event_dispatcher.connection.collect)  # type: ignore[no-untyped-call]
