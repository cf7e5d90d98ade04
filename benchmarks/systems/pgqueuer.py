"""pgqueuer on PostgreSQL; it keeps a log of how each job ended, but no result."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from itertools import islice

import asyncpg
from pgqueuer import AsyncpgDriver, Job, PgQueuer, Queries, run

from benchmarks.systems import jobs
from benchmarks.systems.driver import POSTGRES, Driver, main


@asynccontextmanager
async def create() -> AsyncIterator[PgQueuer]:
    """Make the worker."""
    made = PgQueuer(AsyncpgDriver(await asyncpg.connect(POSTGRES)))

    @made.entrypoint("noop")
    async def noop(job: Job) -> None:
        await jobs.async_noop(int(job.payload or b""))

    @made.entrypoint("nap")
    async def nap(job: Job) -> None:
        await jobs.async_nap(int(job.payload or b""))

    yield made


class Pgqueuer(Driver):
    packages = ("pgqueuer", "asyncpg", "uvloop")
    settings = "batches of 100; for I/O batches of 50 and 100 tasks a process"

    def workers(self, kind: str) -> list[list[str]]:
        size = "50" if kind == "io" else "100"
        command = [sys.executable, "-m", "benchmarks.systems.pgqueuer", size]
        return [command] * (1 if kind == "one" else 2)

    async def open(self) -> None:
        self.pool = await asyncpg.create_pool(POSTGRES, min_size=1, max_size=20)
        self.queries = Queries.from_asyncpg_pool(self.pool)
        await self.queries.install()

    async def submit(self, task: str, i: int) -> object:
        return await self.queries.enqueue(task, str(i).encode())

    async def submit_many(self, task: str, numbers: Iterable[int]) -> None:
        numbers = iter(numbers)
        while part := [str(i).encode() for i in islice(numbers, 1000)]:
            await self.queries.enqueue([task] * len(part), part, [0] * len(part))

    async def settled(self, expected: int) -> bool:
        return not await self.pool.fetchval("SELECT count(*) FROM pgqueuer")

    async def stored(self) -> int:
        return await self.pool.fetchval("SELECT count(*) FROM pgqueuer_log WHERE status = 'successful'")

    async def reset(self) -> None:
        await self.pool.execute("TRUNCATE pgqueuer, pgqueuer_log")


if __name__ == "__main__":
    if sys.argv[1:]:  # a worker; `pgq run` itself fails on what its newest command line library gives it
        size = int(sys.argv[1])
        asyncio.run(run(create, batch_size=size, max_concurrent_tasks=100 if size == 50 else None))
    else:
        main(Pgqueuer())
