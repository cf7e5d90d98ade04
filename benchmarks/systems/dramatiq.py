"""Dramatiq on Redis, results kept."""

from __future__ import annotations

import dramatiq
from dramatiq.brokers.redis import RedisBroker
from dramatiq.results import Results
from dramatiq.results.backends import RedisBackend

from benchmarks.systems import jobs
from benchmarks.systems.driver import REDIS, Driver, main, program, redis_count

broker = RedisBroker(url=REDIS)
broker.add_middleware(Results(backend=RedisBackend(url=REDIS, use_namespace_prefix_keys=True)))
dramatiq.set_broker(broker)
actors = {
    name: dramatiq.actor(getattr(jobs, name), actor_name=name, store_results=True) for name in ("noop", "nap")
}


class Dramatiq(Driver):
    packages = ("dramatiq", "redis", "hiredis")
    settings = "8 threads a process, for I/O 100; store_results"
    threaded = True

    def workers(self, kind: str) -> list[list[str]]:
        processes = 1 if kind == "one" else 2
        options = ["-p", processes, "-t", 100 if kind == "io" else 8]
        return [program("dramatiq", "benchmarks.systems.dramatiq", *options)]

    async def submit(self, task: str, i: int) -> object:
        return actors[task].send(i)

    async def stored(self) -> int:
        return redis_count("dramatiq-results*")


if __name__ == "__main__":
    main(Dramatiq())
