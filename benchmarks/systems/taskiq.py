"""Taskiq on Redis lists, results kept."""

from __future__ import annotations

from taskiq_redis import ListQueueBroker, RedisAsyncResultBackend

from benchmarks.systems import jobs
from benchmarks.systems.driver import REDIS, Driver, main, program, redis_count

broker = ListQueueBroker(REDIS).with_result_backend(RedisAsyncResultBackend(REDIS, prefix_str="kept"))
tasks = {
    name: broker.register_task(getattr(jobs, f"async_{name}"), task_name=name) for name in ("noop", "nap")
}


class Taskiq(Driver):
    packages = ("taskiq", "taskiq-redis", "redis", "hiredis")
    settings = "ListQueueBroker, 100 async tasks a process"

    def workers(self, kind: str) -> list[list[str]]:
        options = ["--log-level", "WARNING", "--workers", 1 if kind == "one" else 2, "--max-async-tasks", 100]
        return [program("taskiq", "worker", "benchmarks.systems.taskiq:broker", *options)]

    async def open(self) -> None:
        await broker.startup()

    async def submit(self, task: str, i: int) -> object:
        return await tasks[task].kiq(i)

    async def stored(self) -> int:
        return redis_count("kept*")


if __name__ == "__main__":
    main(Taskiq())
