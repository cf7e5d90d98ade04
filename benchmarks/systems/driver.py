"""The client side of each system: reads orders as JSON lines on standard input, answers one line each."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version
from typing import Any

from benchmarks.systems.jobs import marks

REDIS = os.environ.get("BENCH_REDIS", "")
POSTGRES = os.environ.get("BENCH_POSTGRES", "")
"""As `postgresql://user@host:port/database`."""
CALLERS = 50
#: What a client does after the last submit returned is counted, too.
_AFTER = 0.4


class Driver(ABC):
    """What a module of this folder fills in. `task` is `noop` or `nap`."""

    packages: tuple[str, ...] = ()
    settings = ""
    """What differs from the defaults, for the report."""
    threaded = False
    """Concurrent callers are threads, not coroutines."""

    @abstractmethod
    def workers(self, kind: str) -> list[list[str]]:
        """Commands for `one` worker process, `two` of them, or two for `io` with 100 slots each."""

    async def open(self) -> None:  # noqa: B027 - most need nothing
        """Make tables, open connections."""

    @abstractmethod
    async def submit(self, task: str, i: int) -> object:
        """Submit one job."""

    async def submit_many(self, task: str, numbers: Iterable[int]) -> None:
        """Submit many by the system's own way; a loop where it has none."""
        for i in numbers:
            await self.submit(task, i)

    async def submit_sync(self, task: str, i: int) -> object:
        """Submit one job from plain code."""
        raise TypeError(f"{type(self).__name__} has no submit of its own for plain code")

    @abstractmethod
    async def stored(self) -> int:
        """Count the results that are kept."""

    async def settled(self, expected: int) -> bool:
        """Say, cheaply, whether all jobs are over and recorded."""
        return await self.stored() >= expected

    async def reset(self) -> None:
        """Forget all jobs; no worker runs."""
        import redis

        with redis.Redis.from_url(REDIS) as client:
            client.flushall()


def redis_count(pattern: str) -> int:
    """Count keys in Redis."""
    import redis

    with redis.Redis.from_url(REDIS) as client:
        return sum(1 for _ in client.scan_iter(match=pattern, count=10_000))


def program(name: str, *arguments: object) -> list[str]:
    """Return the command of a program of this environment."""
    return [os.path.join(os.path.dirname(sys.executable), name), *map(str, arguments)]


class _Orders:
    def __init__(self, driver: Driver) -> None:
        self.driver = driver

    async def describe(self) -> dict[str, Any]:
        versions = ", ".join(f"{name} {version(name)}" for name in self.driver.packages)
        return {"versions": versions, "settings": self.driver.settings}

    async def workers(self, kind: str) -> list[list[str]]:
        return self.driver.workers(kind)

    async def submit(self, how: str, task: str, first: int, count: int) -> dict[str, float]:
        """Submit jobs; return wall and CPU seconds of this process."""
        ways: dict[str, Callable[[str, range], Awaitable[None]]] = {
            "one": self._one,
            "sync": self._sync,
            "many": self.driver.submit_many,
            "concurrent": self._threads if self.driver.threaded else self._coroutines,
        }
        cpu, wall = time.process_time(), time.monotonic()
        await ways[how](task, range(first, first + count))
        wall = time.monotonic() - wall
        await asyncio.sleep(_AFTER)
        return {"wall": wall, "cpu": time.process_time() - cpu}

    async def _one(self, task: str, numbers: range) -> None:
        for i in numbers:
            await self.driver.submit(task, i)

    async def _sync(self, task: str, numbers: range) -> None:
        def run() -> None:
            for i in numbers:
                self.driver.submit_sync(task, i)

        await asyncio.to_thread(run)

    async def _coroutines(self, task: str, numbers: range) -> None:
        shared = iter(numbers)

        async def caller() -> None:
            for i in shared:
                await self.driver.submit(task, i)

        await asyncio.gather(*(caller() for _ in range(CALLERS)))

    async def _threads(self, task: str, numbers: range) -> None:
        shared = iter(numbers)

        def caller() -> None:
            for i in shared:
                coroutine = self.driver.submit(task, i)
                try:
                    coroutine.send(None)  # a threaded driver's never waits
                except StopIteration:
                    continue
                raise TypeError("a threaded driver waited")

        loop = asyncio.get_running_loop()
        with ThreadPoolExecutor(CALLERS) as pool:
            await asyncio.gather(*(loop.run_in_executor(pool, caller) for _ in range(CALLERS)))

    async def latency(self, first: int, count: int) -> list[float]:
        """Submit one job after the other to an idle worker; return ms from before submit until start."""
        slots, found = marks(), []
        for i in range(first, first + count):
            begun = time.monotonic()
            await self.driver.submit("noop", i)
            await asyncio.sleep(0.015)
            deadline = begun + 10
            while not slots[i]:
                if time.monotonic() > deadline:
                    raise TimeoutError(f"job {i} did not start within 10 s")
                await asyncio.sleep(0.002)
            found.append((slots[i] - begun) * 1000)
        return found

    async def stored(self) -> int:
        return await self.driver.stored()

    async def settled(self, expected: int) -> bool:
        return await self.driver.settled(expected)

    async def reset(self) -> None:
        await self.driver.reset()

    async def call(self, method: str, **arguments: Any) -> Any:
        """Something that only this system has."""
        return await getattr(self.driver, method)(**arguments)


def main(driver: Driver) -> None:
    """Obey until standard input ends."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # whatever a library prints is no answer
    asyncio.run(_serve(driver, answers))


async def _serve(driver: Driver, answers: Any) -> None:
    orders = _Orders(driver)
    await driver.open()
    while line := await asyncio.to_thread(sys.stdin.readline):
        order = json.loads(line)
        try:
            answer = {"ok": await getattr(orders, order.pop("op"))(**order)}
        except Exception as error:  # noqa: BLE001 - the other side tells it
            answer = {"error": f"{type(error).__name__}: {error}"}
        answers.write(json.dumps(answer) + "\n")
        answers.flush()
