"""Taking messages from Redis or Valkey, many at a time, in kombu's own key layout.

A message that is taken stands in a registered batch in the same step, so that a worker which dies before it
has claimed loses none; the next step removes the batch. While nothing waits the server itself tells when a
list is filled (client-side caching's invalidation messages): a blocking pop would hand messages to a process
that may die before it has registered them.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final, NamedTuple

from hopyard.broker.publisher import PRIORITY_STEPS, redis_keys, redis_url
from hopyard.errors import BrokerError

log = logging.getLogger("hopyard.broker")

#: Sorted set of the registered batches' keys, by the time at which they were taken.
INDEX: Final = "hopyard:batches"
_BATCH: Final = "hopyard:batch:"
_INVALIDATED: Final = "__redis__:invalidate"
_SECONDS: Final = 10.0
#: How often to look where the server does not tell.
_POLL: Final = 0.05

# KEYS: batch, index, batches to remove …, the lists of each queue by priority …
# ARGV: now, how many batches to remove, how many messages of all, how many of each queue …
# A batch holds list, message, list, message …; that is the answer, too.
_TAKE: Final = f"""
local over = tonumber(ARGV[2])
for i = 3, 2 + over do
  redis.call('DEL', KEYS[i])
  redis.call('ZREM', KEYS[2], KEYS[i])
end
local left, out = tonumber(ARGV[3]), {{}}
for q = 4, #ARGV do
  local want = math.min(left, tonumber(ARGV[q]))
  for step = 0, {len(PRIORITY_STEPS) - 1} do
    if want < 1 then break end
    local list = KEYS[3 + over + (q - 4) * {len(PRIORITY_STEPS)} + step]
    local got = redis.call('RPOP', list, want)
    if got then
      for _, message in ipairs(got) do
        out[#out + 1] = list
        out[#out + 1] = message
      end
      want, left = want - #got, left - #got
    end
  end
end
if #out > 0 then
  redis.call('RPUSH', KEYS[1], unpack(out))
  redis.call('ZADD', KEYS[2], ARGV[1], KEYS[1])
end
return out
"""


class Taken(NamedTuple):
    """Messages with their queues, and the batch as which they are registered."""

    batch: str
    messages: list[tuple[str, bytes]]


class Popper:
    """One worker's connections to the broker: one to take messages, one to be told of new ones."""

    def __init__(self, url: str) -> None:
        self._url = redis_url(url)
        self._taking: Any = None
        self._told: Any = None
        self._listening: asyncio.Task[None] | None = None
        self._tracked = False
        self._script = ""
        self._count = 0
        self._over: list[str] = []
        #: Set when a list that was empty is filled, and by `wake`.
        self._news = asyncio.Event()

    async def open(self) -> None:
        """Connect. Raises `BrokerError`."""
        async with self._errors():
            from redis.asyncio import ConnectionPool

            # Protocol 2: told on a connection of its own, whatever the server's and the library's defaults.
            keepalive = {} if self._url.startswith("unix") else {"socket_keepalive": True}
            pool: Any = ConnectionPool.from_url(
                self._url, protocol=2, socket_timeout=None, socket_connect_timeout=5, **keepalive
            )
            self._taking, self._told = pool.make_connection(), pool.make_connection()
            async with asyncio.timeout(_SECONDS):
                await self._taking.connect()
                await self._told.connect()
                self._script = (await self._call("SCRIPT", "LOAD", _TAKE)).decode()
                await self._told.send_command("CLIENT", "ID")
                number = await self._told.read_response()
                await self._told.send_command("SUBSCRIBE", _INVALIDATED)
                await self._told.read_response()
            self._tracked = await self._track(number)
            self._listening = asyncio.create_task(self._listen())

    async def _track(self, number: int) -> bool:
        from redis.exceptions import ResponseError

        try:
            await self._call("CLIENT", "TRACKING", "ON", "REDIRECT", str(number), "NOLOOP")
        except ResponseError as error:
            log.warning("the broker does not tell of new messages, looking every %g s: %s", _POLL, error)
            return False
        return True

    async def close(self) -> None:
        """Close the connections."""
        if self._listening is not None:
            self._listening.cancel()
            await asyncio.wait([self._listening])
        for connection in (self._taking, self._told):
            if connection is not None:
                with contextlib.suppress(OSError):
                    await connection.disconnect(nowait=True)
        self._taking = self._told = self._listening = None

    async def take(self, worker: int, wanted: Sequence[tuple[str, int]], limit: int) -> Taken:
        """Take up to `limit` messages, of each queue up to its number.

        Within a queue higher priorities come first. Batches that are `done` are removed on the way.
        Raises `BrokerError`.
        """
        self._count += 1
        # A list of its own: what is done while the broker answers was not in this call.
        batch, over = f"{_BATCH}{worker}:{self._count}", [*self._over]
        lists = [key for queue, _ in wanted for key in redis_keys(queue)]
        keys = [batch, INDEX, *over, *lists]
        numbers = [time.time(), len(over), limit, *(number for _, number in wanted)]
        found = await self._evaluate(keys, numbers)
        self._over = self._over[len(over) :]
        names = {key.encode(): queue for queue, _ in wanted for key in redis_keys(queue)}
        pairs = iter(found)
        return Taken(batch, [(names[key], next(pairs)) for key in pairs])

    def done(self, batch: str) -> None:
        """The messages of a batch are claimed: the ledger holds them."""
        self._over.append(batch)

    async def idle(self, queues: Iterable[str], seconds: float) -> None:
        """Return when a message may wait in one of the queues, on `wake`, or after so many seconds.

        At once, if there was news since `forget`. Raises `BrokerError`.
        """
        lists = [key for queue in queues for key in redis_keys(queue)]
        async with self._errors():
            if self._over:
                over, self._over = self._over, []
                await self._call("DEL", *over)
                await self._call("ZREM", INDEX, *over)
            # Reading a list's name has the server tell once when it is filled.
            if await self._call("EXISTS", *lists):
                return
        if self._listening is not None and self._listening.done():
            raise BrokerError("the broker closed the connection")
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds if self._tracked else _POLL):
                await self._news.wait()

    def forget(self) -> None:
        """Begin to listen anew: what was told so far is about to be looked at."""
        self._news.clear()

    def wake(self) -> None:
        """Have `idle` return."""
        self._news.set()

    async def _listen(self) -> None:
        try:
            while True:
                await self._told.read_response()
                self._news.set()
        except Exception as error:  # noqa: BLE001 - the next `idle` raises
            log.info("the broker tells no more: %s", error)
        finally:
            self._news.set()

    async def _evaluate(self, keys: Sequence[str], numbers: Sequence[float]) -> list[bytes]:
        from redis.exceptions import NoScriptError

        arguments = [str(len(keys)), *keys, *map(str, numbers)]
        async with self._errors():
            try:
                found: list[bytes] = await self._call("EVALSHA", self._script, *arguments)
            except NoScriptError:  # it forgot, or is another one
                found = await self._call("EVAL", _TAKE, *arguments)
        return found

    async def _call(self, *command: str | bytes) -> Any:
        from hiredis import pack_command

        async with asyncio.timeout(_SECONDS):
            await self._taking.send_packed_command(pack_command(command))  # type: ignore[arg-type]  # any length
            return await self._taking.read_response()

    @asynccontextmanager
    async def _errors(self) -> AsyncIterator[None]:
        from redis.exceptions import RedisError

        try:
            yield
        except (RedisError, OSError, TimeoutError) as error:
            raise BrokerError(f"the broker cannot be used now: {error!r}") from error


async def put_back(url: str, living: set[int]) -> int:
    """Put the batches of workers that are no more back into their queues, at the front; return how many.

    Raises `BrokerError`.
    """
    from redis.asyncio import Redis
    from redis.exceptions import RedisError

    count = 0
    opened: Any = Redis.from_url(redis_url(url), socket_timeout=10, socket_connect_timeout=5)
    try:
        async with opened as client:
            for key in await client.zrange(INDEX, 0, -1):
                if _worker_of(key.decode()) in living:
                    continue
                pairs = await client.lrange(key, 0, -1)
                async with client.pipeline(transaction=True) as pipe:
                    for n in range(len(pairs) - 2, -1, -2):  # as they stood: the first one comes out first
                        pipe.rpush(pairs[n], pairs[n + 1])
                    pipe.delete(key)
                    pipe.zrem(INDEX, key)
                    await pipe.execute()
                count += len(pairs) // 2
    except (RedisError, OSError) as error:
        raise BrokerError(f"the broker cannot be used now: {error!r}") from error
    return count


def _worker_of(key: str) -> int:
    return int(key.removeprefix(_BATCH).split(":")[0])
