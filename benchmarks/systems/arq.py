"""arq on Redis, results kept for its hour."""

from __future__ import annotations

from typing import Any

from arq import create_pool
from arq.connections import RedisSettings

from benchmarks.systems import jobs
from benchmarks.systems.driver import REDIS, Driver, main, program, redis_count


async def noop(_: Any, i: int) -> int:
    """Do nothing."""
    return await jobs.async_noop(i)


async def nap(_: Any, i: int) -> int:
    """Wait."""
    return await jobs.async_nap(i)


class Worker:
    """What arq's command reads."""

    functions = (noop, nap)
    redis_settings = RedisSettings.from_dsn(REDIS)
    max_jobs = 100


QUIET = {"version": 1, "disable_existing_loggers": False}


class Arq(Driver):
    packages = ("arq", "redis", "hiredis")
    settings = "max_jobs 100 a process"

    def workers(self, kind: str) -> list[list[str]]:
        quiet = ["--custom-log-dict", "benchmarks.systems.arq.QUIET"]
        return [program("arq", "benchmarks.systems.arq.Worker", *quiet)] * (1 if kind == "one" else 2)

    async def open(self) -> None:
        self.pool = await create_pool(Worker.redis_settings)

    async def submit(self, task: str, i: int) -> object:
        return await self.pool.enqueue_job(task, i)

    async def stored(self) -> int:
        return redis_count("arq:result:*")


if __name__ == "__main__":
    main(Arq())
