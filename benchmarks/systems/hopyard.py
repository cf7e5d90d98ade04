"""Hopyard, from its wheel. BENCH_LEDGER: `postgres`, `sqlite`, or `sqlite-normal`.

BENCH_HOOKS: the plugin implements every hook that is called again and again, and does nothing in any of them.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from benchmarks.systems.driver import POSTGRES, REDIS, Driver, main, program

HOPFILE = """
import contextlib
import os

from benchmarks.systems import jobs
from hopyard import Plugin, Queue, hookimpl, task
from hopyard.events import NOTIFY_HOOKS

if os.environ.get("BENCH_LEDGER") == "sqlite-normal":  # not on offer: a commit may be lost by a power cut
    from hopyard.ledger import sqlite

    sqlite.DURABLE = "PRAGMA synchronous = NORMAL"
    sqlite.PRAGMAS = (*sqlite.PRAGMAS, sqlite.DURABLE)


@task("site.noop")
async def noop(i: int) -> int:
    "Do nothing."
    return await jobs.async_noop(i)


@task("site.nap")
async def nap(i: int) -> int:
    "Wait."
    return await jobs.async_nap(i)


class Site(Plugin):
    @hookimpl
    def register_queues(self):
        return [Queue("site", slots=100)]

    @hookimpl
    def register_tasks(self):
        return [noop, nap]

    if os.environ.get("BENCH_HOOKS"):

        @hookimpl
        def start_process(self, role):
            pass

        @hookimpl
        def stop_process(self, role):
            pass

        @hookimpl
        def route_task(self, task, arguments, person):
            return None

        @hookimpl
        def admit_task(self, task, arguments, person):
            return None

        @hookimpl
        def classify_error(self, task, error):
            return None

        @hookimpl
        def reconcile_effect(self, effect):
            return None

        @hookimpl
        def run_task(self, job):
            return contextlib.nullcontext()

        for name in NOTIFY_HOOKS:
            locals()[name] = hookimpl(lambda self, events: None)
"""


class Hopyard(Driver):
    packages = ("hopyard", "celery", "asyncpg", "redis", "hiredis")
    settings = "queue of 100 slots per worker process, log level WARNING"

    def workers(self, kind: str) -> list[list[str]]:
        slots = ["--set", "queues.site.slots=5000"] if kind == "5000" else []
        processes = {"one": 1, "5000": 1}.get(kind, 2)
        return [program("hopyard", "worker", *slots, "--log-level", "WARNING", "--processes", processes)]

    async def open(self) -> None:
        from hopyard.app import Hopyard as App

        database = POSTGRES if os.environ["BENCH_LEDGER"] == "postgres" else ""
        lines = [f'broker_url = "{REDIS}"', f'database_url = "{database}"' if database else ""]
        Path("hopyard.toml").write_text("\n".join([*lines, '[plugins]\nallow = ["site"]\n']))
        Path("hopfile.py").write_text(HOPFILE)
        self.app = App.load()
        await asyncio.to_thread(lambda: asyncio.run(self.app.upgrade()))
        self.tasks = {name: self.app.task(f"site.{name}") for name in ("noop", "nap")}
        self.database = self.app.client().database

    async def submit(self, task: str, i: int) -> object:
        return await self.tasks[task].submit(i=i)

    def submit_sync(self, task: str, i: int) -> Any:
        return self.tasks[task].sync.submit(i=i)

    async def submit_many(self, task: str, numbers: Iterable[int]) -> None:
        await self.tasks[task].submit_many({"i": i} for i in numbers)

    async def settled(self, expected: int) -> bool:
        return not await self.database.fetch("SELECT 1 AS one FROM job_live LIMIT 1")

    async def stored(self) -> int:
        rows = await self.database.fetch("SELECT count(*) AS n FROM job_history WHERE result IS NOT NULL")
        return int(rows[0]["n"])

    async def reset(self) -> None:
        import redis

        with redis.Redis.from_url(REDIS) as client:  # all but its epoch: a new broker is rung for all jobs
            client.delete(*(key for key in client.scan_iter("site*")), "site")
        for table in ("job_live", "job_history", "job_outbox"):
            await self.database.execute(f"DELETE FROM {table}")

    async def grow(self, rows: int) -> None:
        """Put copies of the last job into the history, older than it, a quarter of a second apart."""
        from hopyard.ledger.tables import job_history

        columns = [column.name for column in job_history.c if column.name not in ("id", "finished")]
        kept = ", ".join(columns)
        postgres = os.environ["BENCH_LEDGER"] == "postgres"
        for first in range(0, rows, 50_000):
            last = min(first + 50_000, rows)
            if postgres:
                numbers = f"SELECT n FROM generate_series({first}, {last - 1}) AS n"
                id_ = "('00000000-0000-7000-8000-' || lpad(to_hex(n), 12, '0'))::uuid"
                at = f"finished - ({rows} - n) * interval '250 ms'"
            else:
                numbers = (
                    f"WITH RECURSIVE c(n) AS (SELECT {first} UNION ALL SELECT n + 1 FROM c "
                    f"WHERE n < {last - 1}) SELECT n FROM c"
                )
                id_ = "printf('00000000-0000-7000-8000-%012x', n)"
                at = f"finished - ({rows} - n) * 250000"
            await self.database.execute(
                f"INSERT INTO job_history (id, finished, {kept}) SELECT {id_}, {at}, {kept} "
                f"FROM ({numbers}) AS numbers, (SELECT * FROM job_history ORDER BY id DESC LIMIT 1) AS last"
            )
        if not postgres:
            await self.database.execute("ANALYZE")
            return
        # A history that was not written a second ago: what the server still does for it is no job's cost.
        await self.database.execute("VACUUM ANALYZE")
        await self.database.execute("CHECKPOINT")

    async def pages(self) -> dict[str, float]:
        """Return ms of reading pages of 50 jobs, the median of five."""
        from hopyard.ledger import readers
        from hopyard.specs import State

        wanted: dict[str, dict[str, Any]] = {
            "newest": {},
            "of a state": {"states": [State.SUCCEEDED]},
            "of a task": {"task": "site.noop"},
            "of a task without jobs": {"task": "site.nap"},
        }
        found = {}
        for name, conditions in wanted.items():
            times = []
            for _ in range(5):
                begun = time.monotonic()
                await readers.jobs(self.database, **conditions)
                times.append((time.monotonic() - begun) * 1000)
            found[name] = round(sorted(times)[2], 1)
        return found


if __name__ == "__main__":
    main(Hopyard())
