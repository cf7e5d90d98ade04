"""Where the engine hooks into Celery's worker."""

from __future__ import annotations

import logging
import threading
from typing import Any

from celery import bootsteps
from celery.signals import worker_shutdown

from hopyard import current
from hopyard.ending import end_soon
from hopyard.engine.celery_node import control, options

log = logging.getLogger("hopyard.engine")


class EngineStep(bootsteps.StartStopStep):  # type: ignore[misc]  # Celery has no types
    """Starts the engine with the worker. It outlives broker connections and stops after the consumer."""

    requires = ("celery.worker.components:Hub", "celery.worker.components:Pool")

    def __init__(self, worker: Any, **options: Any) -> None:
        super().__init__(worker, **options)
        worker.hopyard_engine = None

    def create(self, worker: Any) -> Any:
        from hopyard.broker.publisher import is_redis
        from hopyard.engine.engine import Engine

        hopyard = current.get()
        control.install()
        for warning in [*options.without_effect(worker), *worker.app.without_effect()]:
            log.warning("%s", warning)
        worker.hopyard_engine = Engine(hopyard, worker, batches=is_redis(hopyard.broker_url))
        if (
            threading.current_thread() is threading.main_thread()
        ):  # the process is the worker's: it ends with it
            worker_shutdown.connect(_end, sender=worker, weak=False)
        return worker.hopyard_engine

    def terminate(self, worker: Any) -> None:
        if self.obj is not None:
            self.obj.stop(0.0)


def _end(sender: Any, **_: Any) -> None:
    """End the process of a worker that has stopped, whatever threads plugins have left in it.

    One that runs in a thread, as in a test, has no process of its own.
    """
    if threading.current_thread() is threading.main_thread():
        end_soon(sender.exitcode)


class ConsumerStep(bootsteps.StartStopStep):  # type: ignore[misc]
    """Tells the engine of each new consumer, after a start and after every reconnect."""

    requires = ("celery.worker.consumer.tasks:Tasks",)

    def start(self, consumer: Any) -> None:
        consumer.controller.hopyard_engine.connected(consumer)

    def stop(self, consumer: Any) -> None:
        consumer.controller.hopyard_engine.disconnected()
