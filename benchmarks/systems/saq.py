"""SAQ on Redis, results kept for its ten minutes."""

from __future__ import annotations

from typing import Any

from saq import Queue

from benchmarks.systems import jobs
from benchmarks.systems.driver import REDIS, Driver, main, program, redis_count

queue = Queue.from_url(REDIS, name="bench")


async def noop(_: Any, *, i: int) -> int:
    """Do nothing."""
    return await jobs.async_noop(i)


async def nap(_: Any, *, i: int) -> int:
    """Wait."""
    return await jobs.async_nap(i)


settings = {"queue": queue, "functions": [noop, nap], "concurrency": 100}


class Saq(Driver):
    packages = ("saq", "redis", "hiredis")
    settings = "concurrency 100 a process"

    def workers(self, kind: str) -> list[list[str]]:
        processes = 1 if kind == "one" else 2
        return [program("saq", "benchmarks.systems.saq.settings", "--quiet")] * processes

    async def submit(self, task: str, i: int) -> object:
        return await queue.enqueue(task, i=i)

    async def settled(self, expected: int) -> bool:
        return await queue.count("incomplete") == 0

    async def stored(self) -> int:
        return redis_count("saq:job:bench:*") - await queue.count("incomplete")


if __name__ == "__main__":
    main(Saq())
