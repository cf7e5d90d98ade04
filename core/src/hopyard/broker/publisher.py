"""Ringing: putting messages of jobs that the ledger holds into the broker, many at a time."""

from __future__ import annotations

import asyncio
import contextlib
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from typing import Any, Final

from hopyard import portal
from hopyard.broker.envelope import envelope, kombu_priority
from hopyard.errors import BrokerError
from hopyard.ledger.values import QueueMessage

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
    async def publish(self, messages: Sequence[QueueMessage]) -> None:
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

    @abstractmethod
    def abandon(self) -> None:
        """Cut connections whose event loop is closed, from whichever thread."""


def open_publisher(url: str) -> Publisher:
    """Return a publisher for a broker URL; nothing is opened yet."""
    if is_redis(url):
        return RedisPublisher(url)
    from hopyard.broker.kombu_publisher import KombuPublisher

    return KombuPublisher(url)


def unsendable(message: QueueMessage) -> str | None:
    """Return why no broker can be given a message, such as a priority that there is not; None if one can."""
    try:
        redis_key(message.queue, message.priority)
        envelope(message)
    except Exception as error:  # noqa: BLE001 - a row may hold anything, whoever wrote it
        return f"its message cannot be made: {type(error).__name__}: {error}"[:500]
    return None


def is_redis(url: str) -> bool:
    """Say whether a broker speaks Redis' protocol."""
    return url.split(":", 1)[0] in {"redis", "rediss", "redis+socket", "valkey", "valkeys", "unix"}


def redis_key(queue: str, priority: int) -> str:
    """Return kombu's list key for a queue and a Hopyard priority."""
    if not 0 <= priority <= MOST:
        raise ValueError(f"its priority is {priority}, expected 0 to {MOST}")
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

    async def publish(self, messages: Sequence[QueueMessage]) -> None:
        # Consumers take from the right. One command for all that go to the same place.
        places: dict[tuple[str, int, bool], list[str]] = {}
        for message in messages:
            places.setdefault((message.queue, message.priority, message.first), []).append(envelope(message))
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

    def abandon(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None and connection._writer is not None:
            portal.cut(connection._writer.transport)
