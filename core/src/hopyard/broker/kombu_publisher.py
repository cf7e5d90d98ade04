"""Ringing through any broker of Celery's but Redis and its like: RabbitMQ first."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

from hopyard.broker.envelope import headers_of
from hopyard.broker.publisher import EPOCH_KEY, MOST, Publisher
from hopyard.errors import BrokerError
from hopyard.ledger.values import QueueMessage

#: A broker that has not answered after so long does not.
_ANSWER_SECONDS: Final = 10.0


class KombuPublisher(Publisher):
    """kombu, in a thread of its own."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._connection: Any = None
        self._outlet: _Outlet | None = None
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="hopyard-broker")

    def _producer(self) -> Any:
        if self._connection is None:
            from kombu.connection import Connection

            # Of AMQP: on a line that was cut without notice an answer is waited for until TCP gives up.
            patience = {"read_timeout": _ANSWER_SECONDS, "write_timeout": _ANSWER_SECONDS}
            self._connection = Connection(  # type: ignore[no-untyped-call]
                self._url, transport_options=patience if self._url.startswith("amqp") else {}
            )
        if not self._connection.connected:  # it is made anew, and an old channel leads nowhere
            self._outlet = None
        return self._connection.ensure_connection(max_retries=2, interval_start=0.2)

    async def _call(self, work: Any) -> Any:
        def call() -> Any:
            self._producer()
            try:
                return work(self._connection)
            except self._connection.connection_errors:
                # Without a goodbye: a broker that is gone answers none.
                self._connection.collect(socket_timeout=_ANSWER_SECONDS)
                self._connection = self._outlet = None
                raise
            except self._connection.channel_errors:
                self._outlet = None
                raise

        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, call)
        except Exception as error:
            raise BrokerError(f"the broker cannot be used now: {error!r}") from error

    async def publish(self, messages: Sequence[QueueMessage]) -> None:
        def work(connection: Any) -> None:
            if self._outlet is None:
                self._outlet = _Outlet(connection)
            self._outlet.publish(messages)

        await self._call(work)

    async def empty(self, queues: Iterable[str]) -> set[str]:
        def work(connection: Any) -> set[str]:
            with connection.channel() as channel:
                return {name for name in queues if not _declare(name, channel).message_count}

        return set(await self._call(work))

    async def remembers(self, epoch: str) -> bool:
        # A durable queue of this name stands for the epoch: it goes when the broker's memory goes.
        def work(connection: Any) -> bool:
            from kombu.exceptions import KombuError

            channel = connection.channel()
            try:
                channel.queue_declare(EPOCH_KEY, passive=True)
            except (KombuError, *connection.channel_errors):
                with connection.channel() as fresh:
                    fresh.queue_declare(EPOCH_KEY, durable=True, auto_delete=False)
                return False
            channel.close()
            return True

        return bool(await self._call(work))

    async def ping(self) -> None:
        await self._call(lambda connection: None)

    async def close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None and connection.connected:
            # After what the thread is at, which a broker that hangs must not make a worker's end wait for.
            released = asyncio.get_running_loop().run_in_executor(self._thread, connection.release)
            await asyncio.wait([released], timeout=_ANSWER_SECONDS)
        self._thread.shutdown(wait=False, cancel_futures=True)

    def abandon(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            self._thread.submit(connection.collect, _ANSWER_SECONDS)
        self._thread.shutdown(wait=False)


class _Outlet:
    """A channel to publish on: all of a batch is on its way before the first confirm is waited for.

    A message at a time takes a way there and back each: on one of 0.4 s a minute for 150.
    """

    def __init__(self, connection: Any) -> None:
        self._connection = connection
        self._channel = connection.channel()
        self._sent = 0
        self._unconfirmed: set[int] = set()
        self._refused = 0
        #: RabbitMQ's; other transports have taken a message when `basic_publish` returns.
        self._confirms = hasattr(self._channel, "confirm_select")
        if self._confirms:
            self._channel.confirm_select(nowait=True)
            self._channel.events["basic_ack"].add(self._confirmed)
            self._channel.events["basic_nack"].add(self._nacked)

    def publish(self, messages: Sequence[QueueMessage]) -> None:
        """Declare the queues and put messages into them. Raises `BrokerError` where some are refused."""
        for queue in {queued.queue for queued in messages}:
            _declare(queue, self._channel, nowait=True)
        self._refused = 0
        for queued in messages:
            self._send(queued)
        while self._unconfirmed:
            self._connection.drain_events(timeout=_ANSWER_SECONDS)
        if self._refused:
            raise BrokerError(f"the broker refused {self._refused} of {len(messages)} messages")

    def _send(self, queued: QueueMessage) -> None:
        message = self._channel.prepare_message(
            queued.body,
            priority=MOST if queued.first else queued.priority,
            content_type="application/json",
            content_encoding="utf-8",
            headers=json.loads(headers_of(queued)),
            properties={"correlation_id": queued.id, "delivery_mode": 2},
        )
        self._channel.basic_publish(message, exchange="", routing_key=queued.queue)
        self._sent += 1
        if self._confirms:
            self._unconfirmed.add(self._sent)

    def _confirmed(self, tag: int, multiple: bool) -> None:
        if multiple:
            self._unconfirmed = {other for other in self._unconfirmed if other > tag}
        else:
            self._unconfirmed.discard(tag)

    def _nacked(self, tag: int, multiple: bool) -> None:
        before = len(self._unconfirmed)
        self._confirmed(tag, multiple)
        self._refused += before - len(self._unconfirmed)


def _declare(queue: str, channel: Any, *, nowait: bool = False) -> Any:
    """Declare a queue as the workers do; return the broker's answer, if it is waited for, with its count."""
    return channel.queue_declare(
        queue=queue, durable=True, auto_delete=False, nowait=nowait, arguments={"x-max-priority": MOST}
    )
