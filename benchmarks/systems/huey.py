"""Huey on Redis, results kept."""

from __future__ import annotations

import redis
from huey import RedisHuey

from benchmarks.systems import jobs
from benchmarks.systems.driver import REDIS, Driver, main, program

huey = RedisHuey("bench", url=REDIS)
tasks = {name: huey.task(name=name)(getattr(jobs, name)) for name in ("noop", "nap")}


class Huey(Driver):
    packages = ("huey", "redis", "hiredis")
    settings = "-k process -w 2; for I/O two consumers with -k thread -w 100"
    threaded = True

    def workers(self, kind: str) -> list[list[str]]:
        ways = {"one": ["process", "1"], "two": ["process", "2"]}
        how, count = ways.get(kind, ["thread", "100"])
        command = program("huey_consumer", "benchmarks.systems.huey.huey", "-q", "-k", how, "-w", count)
        return [command] * (2 if kind == "io" else 1)

    async def submit(self, task: str, i: int) -> object:
        return tasks[task](i)

    async def stored(self) -> int:
        with redis.Redis.from_url(REDIS) as client:
            return client.hlen(huey.storage.result_key)


if __name__ == "__main__":
    main(Huey())
