"""Ringing: putting messages of jobs that the ledger holds into the broker, many at a time."""

from __future__ import annotations

import asyncio
import contextlib
import json
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

from hopyard.broker.envelope import envelope, headers_of, kombu_priority
from hopyard.errors import BrokerError
from hopyard.ledger.values import Ring

#: The highest priority of a job.
MOST: Final = 9
#: kombu's default steps; a priority goes to the list of the highest step that is not above it.
PRIORITY_STEPS: Final = (0, 3, 6, 9)
#: A broker that has not answered after so long does not.
_ANSWER_SECONDS: Final = 10.0
_SEPARATOR: Final = "\x06\x16"
#: Lost together with the queues when a broker loses its memory.
EPOCH_KEY: Final = "hopyard:epoch"


class Publisher(ABC):
    """A broker, as one event loop of a producer sees it."""

    @abstractmethod
    async def publish(self, rings: Sequence[Ring]) -> None:
        """Put messages into their queues. Raises `BrokerError`. The caller limits how long it may take."""

    @abstractmethod
    async def empty(self, queues: Iterable[str]) -> set[str]:
        """Return those queues in which no message waits. Raises `BrokerError`."""

    @abstractmethod
    async def remembers(self, epoch: str) -> bool:
        """Say whether the broker still has `epoch`; leave it there where it has not. Raises `BrokerError`."""

    @abstractmethod
    async def ping(self) -> None:
        """Raise `BrokerError` if the broker does not answer."""

    @abstractmethod
    async def close(self) -> None:
        """Close connections."""


def open_publisher(url: str) -> Publisher:
    """Return a publisher for a broker URL; nothing is opened yet."""
    return RedisPublisher(url) if is_redis(url) else KombuPublisher(url)


def is_redis(url: str) -> bool:
    """Say whether a broker speaks Redis' protocol."""
    return url.split(":", 1)[0] in {"redis", "rediss", "redis+socket", "valkey", "valkeys", "unix"}


def redis_key(queue: str, priority: int) -> str:
    """Return kombu's list key for a queue and a Hopyard priority."""
    step = max(step for step in PRIORITY_STEPS if step <= kombu_priority(priority))
    return f"{queue}{_SEPARATOR}{step}" if step else queue


def redis_keys(queue: str) -> list[str]:
    """Return all list keys of a queue."""
    return [f"{queue}{_SEPARATOR}{step}" if step else queue for step in PRIORITY_STEPS]


def redis_url(url: str) -> str:
    """Return a broker URL as the redis client wants it."""
    scheme, rest = url.split("://", 1)
    if scheme == "redis+socket":
        path, _, query = rest.partition("?")
        database = dict(part.split("=", 1) for part in query.split("&") if "=" in part)
        return f"unix://{path}?db={database.get('virtual_host', '0')}"
    return f"{scheme.replace('valkey', 'redis')}://{rest}"


class RedisPublisher(Publisher):
    """Redis, Valkey and what speaks their protocol: one connection, one exchange per batch."""

    def __init__(self, url: str) -> None:
        self._url = redis_url(url)
        self._connection: Any = None
        self._free = asyncio.Lock()

    async def _connect(self) -> Any:
        from redis.asyncio import ConnectionPool

        pool: Any = ConnectionPool.from_url(
            self._url, protocol=2, socket_timeout=None, socket_connect_timeout=5, decode_responses=False
        )
        connection = pool.make_connection()
        await connection.connect()
        return connection

    async def _call(
        self, commands: Sequence[tuple[Any, ...]], within: float | None = _ANSWER_SECONDS
    ) -> list[Any]:
        """Send commands and return their answers; a connection that broke while it was idle is made again."""
        from redis.exceptions import ConnectionError as RedisConnectionError
        from redis.exceptions import RedisError

        async with self._free:
            used = self._connection is not None
            try:
                try:
                    return await self._exchange(commands, within)
                except (RedisConnectionError, OSError) as error:
                    if not used or isinstance(error, TimeoutError):
                        raise
                    return await self._exchange(commands, within)
            except (RedisError, OSError) as error:
                raise BrokerError(f"the broker cannot be used now: {error}") from error

    async def _exchange(self, commands: Sequence[tuple[Any, ...]], within: float | None) -> list[Any]:
        from hiredis import pack_command

        connection = self._connection or await self._connect()
        self._connection = None
        try:
            async with asyncio.timeout(within) if within else contextlib.nullcontext():
                # In C, by the library that reads the answers, too: redis-py's own takes 4 µs a message.
                await connection.send_packed_command([pack_command(command) for command in commands])
                answers = [await connection.read_response() for _ in commands]
        except BaseException:  # what is left of the answers must not be taken for others
            await connection.disconnect(nowait=True)
            raise
        self._connection = connection
        return answers

    async def publish(self, rings: Sequence[Ring]) -> None:
        # Consumers take from the right. One command for all that go to the same place.
        places: dict[tuple[str, int, bool], list[str]] = {}
        for ring in rings:
            places.setdefault((ring.queue, ring.priority, ring.first), []).append(envelope(ring))
        await self._call(
            [
                ("RPUSH" if first else "LPUSH", redis_key(queue, priority), *messages)
                for (queue, priority, first), messages in places.items()
            ],
            within=None,
        )

    async def empty(self, queues: Iterable[str]) -> set[str]:
        names = [*queues]
        if not names:
            return set()
        lengths = await self._call([("LLEN", key) for name in names for key in redis_keys(name)])
        width = len(PRIORITY_STEPS)
        return {name for n, name in enumerate(names) if not any(lengths[n * width : (n + 1) * width])}

    async def remembers(self, epoch: str) -> bool:
        (new,) = await self._call([("SET", EPOCH_KEY, epoch, "NX")])
        return new is None

    async def ping(self) -> None:
        await self._call([("PING",)])

    async def close(self) -> None:
        async with self._free:
            connection, self._connection = self._connection, None
            if connection is not None:
                await connection.disconnect(nowait=True)


class KombuPublisher(Publisher):
    """Any other broker of Celery's, RabbitMQ first: kombu, in a thread of its own."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._connection: Any = None
        self._outlet: _Outlet | None = None
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="hopyard-broker")

    def _producer(self) -> Any:
        if self._connection is None:
            from kombu.connection import Connection

            self._connection = Connection(self._url)  # type: ignore[no-untyped-call]
        if not self._connection.connected:  # it is made anew, and an old channel leads nowhere
            self._outlet = None
        return self._connection.ensure_connection(max_retries=2, interval_start=0.2)

    async def _call(self, work: Any) -> Any:
        def call() -> Any:
            self._producer()
            try:
                return work(self._connection)
            except self._connection.connection_errors:
                # Dropped, not closed: a goodbye to a broker that is gone could wait for its answer.
                self._connection = self._outlet = None
                raise
            except self._connection.channel_errors:
                self._outlet = None
                raise

        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, call)
        except Exception as error:
            raise BrokerError(f"the broker cannot be used now: {error!r}") from error

    async def publish(self, rings: Sequence[Ring]) -> None:
        def work(connection: Any) -> None:
            if self._outlet is None:
                self._outlet = _Outlet(connection)
            self._outlet.publish(rings)

        await self._call(work)

    async def empty(self, queues: Iterable[str]) -> set[str]:
        def work(connection: Any) -> set[str]:
            with connection.channel() as channel:
                return {name for name in queues if not declare(name, channel).message_count}

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

    def publish(self, rings: Sequence[Ring]) -> None:
        """Declare the queues and put messages into them. Raises `BrokerError` where some are refused."""
        for queue in {ring.queue for ring in rings}:
            declare(queue, self._channel, nowait=True)
        self._refused = 0
        for ring in rings:
            self._send(ring)
        while self._unconfirmed:
            self._connection.drain_events(timeout=_ANSWER_SECONDS)
        if self._refused:
            raise BrokerError(f"the broker refused {self._refused} of {len(rings)} messages")

    def _send(self, ring: Ring) -> None:
        message = self._channel.prepare_message(
            ring.body,
            priority=MOST if ring.first else ring.priority,
            content_type="application/json",
            content_encoding="utf-8",
            headers=json.loads(headers_of(ring)),
            properties={"correlation_id": ring.id, "delivery_mode": 2},
        )
        self._channel.basic_publish(message, exchange="", routing_key=ring.queue)
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


def declare(queue: str, channel: Any, *, nowait: bool = False) -> Any:
    """Declare a queue as the workers do; return the broker's answer, if it is waited for, with its count."""
    return channel.queue_declare(
        queue=queue, durable=True, auto_delete=False, nowait=nowait, arguments={"x-max-priority": MOST}
    )
