"""Celery as it comes, with Redis for messages and results; BENCH_TUNED: with the settings that help most."""

from __future__ import annotations

import os

from celery import Celery

from benchmarks.systems import jobs
from benchmarks.systems.driver import REDIS, Driver, main, program, redis_count

TUNED = bool(os.environ.get("BENCH_TUNED"))

app = Celery("bench", broker=REDIS, backend=REDIS)
if TUNED:
    app.conf.update(
        worker_prefetch_multiplier=64,
        task_store_eager_result=False,
        worker_send_task_events=False,
        broker_pool_limit=60,
        redis_max_connections=200,
        result_expires=3600,
    )
tasks = {"noop": app.task(jobs.noop, name="noop"), "nap": app.task(jobs.nap, name="nap")}


class Stock(Driver):
    packages = ("celery", "kombu", "redis", "hiredis")
    settings = (
        "prefetch 64, thread pool: 2 workers, for I/O of 100 threads each"
        if TUNED
        else "all defaults: prefork, a child per core (16 for I/O), prefetch 4, early acknowledgement; "
        "Redis result backend"
    )
    threaded = True

    def workers(self, kind: str) -> list[list[str]]:
        if not TUNED:
            return [self._worker({"one": ["-c", "1"], "two": ["-c", "2"]}.get(kind, ["-c", "16"]), "")]
        threads = {"one": 1, "two": 1}.get(kind, 100)
        names = ["a"] if kind == "one" else ["a", "b"]
        lean = ["--without-gossip", "--without-mingle", "--without-heartbeat"]
        return [self._worker(["-P", "threads", "-c", str(threads), *lean], name) for name in names]

    def _worker(self, options: list[str], name: str) -> list[str]:
        named = ["-n", f"{name}@%h"] if name else []
        module = "benchmarks.systems.celery_stock:app"
        return program("celery", "-A", module, "worker", "--loglevel", "WARNING", *options, *named)

    async def submit(self, task: str, i: int) -> object:
        return tasks[task].delay(i)

    async def stored(self) -> int:
        return redis_count("celery-task-meta-*")


if __name__ == "__main__":
    main(Stock())
