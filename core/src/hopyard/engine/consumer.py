"""Celery's consumer, except that a message of an unknown task is parked instead of thrown away."""

from __future__ import annotations

from typing import Any

from celery.worker.consumer import Consumer


class LedgerConsumer(Consumer):  # type: ignore[misc]  # Celery has no types
    """Stock Celery discards messages of tasks that it does not know (a plugin missing here, say)."""

    def on_unknown_task(self, body: Any, message: Any, exc: Any) -> None:
        """Hand the message to the engine, which parks its job in the ledger with the reason."""
        self.controller.hopyard_engine.park(message)
