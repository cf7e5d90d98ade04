"""Procrastinate on PostgreSQL; it keeps that a job succeeded, but no result."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice

from procrastinate import App, PsycopgConnector

from benchmarks.systems import jobs
from benchmarks.systems.driver import POSTGRES, Driver, main, program

app = App(connector=PsycopgConnector(conninfo=POSTGRES, max_size=20))
tasks = {name: app.task(getattr(jobs, f"async_{name}"), name=name) for name in ("noop", "nap")}


class Procrastinate(Driver):
    packages = ("procrastinate", "psycopg")
    settings = "concurrency 100 a process"

    def workers(self, kind: str) -> list[list[str]]:
        module = "--app=benchmarks.systems.procrastinate.app"
        command = program("procrastinate", "--log-level", "warning", module, "worker", "-c", 100)
        return [command] * (1 if kind == "one" else 2)

    async def open(self) -> None:
        await app.open_async()
        await app.schema_manager.apply_schema_async()

    async def submit(self, task: str, i: int) -> object:
        return await tasks[task].defer_async(i=i)

    async def submit_many(self, task: str, numbers: Iterable[int]) -> None:
        numbers = iter(numbers)
        while part := list(islice(numbers, 1000)):
            await tasks[task].batch_defer_async(*({"i": i} for i in part))

    async def settled(self, expected: int) -> bool:
        waiting = "SELECT count(*) AS n FROM procrastinate_jobs WHERE status IN ('todo', 'doing')"
        return (await app.connector.execute_query_one_async(waiting))["n"] == 0

    async def stored(self) -> int:
        over = "SELECT count(*) AS n FROM procrastinate_jobs WHERE status = 'succeeded'"
        return int((await app.connector.execute_query_one_async(over))["n"])

    async def reset(self) -> None:
        await app.connector.execute_query_async("TRUNCATE procrastinate_jobs CASCADE")


if __name__ == "__main__":
    main(Procrastinate())
