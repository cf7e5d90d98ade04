"""What Celery gives a worker's engine, as the engine sees it: a hub, a channel, a consumer of messages."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any


class Hub:
    """Celery's hub: the test's loop watches what the engine wants watched."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self.readers: set[int] = set()

    def add_reader(self, descriptor: int, call: Callable[[], None]) -> None:
        self.readers.add(descriptor)
        self._loop.call_soon_threadsafe(self._loop.add_reader, descriptor, call)

    def close(self) -> None:
        for descriptor in self.readers:
            self._loop.remove_reader(descriptor)


class Channel:
    """What messages acknowledge to."""

    no_ack_consumers = None

    def __init__(self) -> None:
        self.acked: list[str] = []

    def basic_ack(self, tag: str, multiple: bool = False) -> None:
        self.acked.append(tag)

    def basic_reject(self, tag: str, requeue: bool = False) -> None:
        raise AssertionError(f"message {tag} was rejected")


class Taking:
    """kombu's consumer: from which queues messages are taken."""

    def __init__(self, queues: set[str]) -> None:
        self.queues = queues
        self.added: list[str] = []
        self.left: list[str] = []

    def cancel_by_queue(self, name: str) -> None:
        self.left.append(name)
        self.queues.discard(name)

    def add_queue(self, queue: Any) -> None:
        self.added.append(queue.name)

    def consume(self) -> None:
        self.queues.update(self.added)


class Qos:
    """How many messages the broker may send ahead: `sent` once `update` was called."""

    value = 0
    sent = 0

    def update(self) -> None:
        self.sent = self.value


class Consumer:
    """Celery's consumer, as the engine and requests see it."""

    connection_errors = ()
    qos_global = False
    initial_prefetch_count = 0
    enabled = True  # it is its own event dispatcher
    groups: frozenset[str] = frozenset()  # of events that are sent; none is all

    def __init__(self, worker: Any) -> None:
        self.app = worker.app
        self.controller = worker
        self.hostname = worker.hostname
        self.event_dispatcher = self
        self.task_consumer = Taking(set(worker.app.amqp.queues.consume_from))
        self.qos = Qos()
        self.events: list[tuple[str, str]] = []

    def send(self, kind: str, **fields: Any) -> None:
        self.events.append((kind, fields["uuid"]))
