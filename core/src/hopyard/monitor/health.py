"""The core's own health checks, and running those of all plugins."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial

from hopyard import current
from hopyard.specs import Health, HealthCheck


async def _ledger() -> Health:
    database = current.get().client().database
    if fault := await database.pooler_fault():
        return Health(False, fault)
    rows = await database.fetch("SELECT count(*) AS jobs FROM job_live")
    return Health(True, f"{database.dialect.name}, {rows[0]['jobs']} live jobs", {"live": rows[0]["jobs"]})


async def _broker() -> Health:
    await current.get().client().publisher.ping()
    return Health(True, "answers")


async def _workers() -> Health:
    database = current.get().client().database
    d = database.dialect
    rows = await database.fetch(
        f"SELECT name FROM worker WHERE stopped IS NULL AND {d.plus('beat', 'lease')} >= {d.clock} "
        "ORDER BY name"
    )
    names = [row["name"] for row in rows]
    return Health(bool(names), f"{len(names)} alive" if names else "no worker is alive", {"workers": names})


async def _scheduler() -> Health:
    database = current.get().client().database
    rows = await database.fetch(
        f"SELECT holder FROM leader WHERE name = 'schedule' AND until > {database.dialect.clock}"
    )
    return Health(bool(rows), f"{rows[0]['holder']} leads" if rows else "no scheduler leads")


CHECKS = (
    HealthCheck("ledger", _ledger),
    HealthCheck("broker", _broker),
    HealthCheck("workers", _workers),
    HealthCheck("scheduler", _scheduler),
)


@dataclass(frozen=True, slots=True)
class CheckResult:
    """One check's answer; `seconds` is how long it took."""

    plugin: str
    name: str
    ok: bool
    detail: str
    seconds: float


async def run_checks(checks: Iterable[tuple[str, HealthCheck]]) -> list[CheckResult]:
    """Run checks (pairs of plugin and check) at once, each under its time limit; an error is its answer.

    Each has a thread and an event loop of its own: one that blocks holds up nobody else.
    """
    return [*await asyncio.gather(*(_run(plugin, check) for plugin, check in checks))]


async def _run(plugin: str, check: HealthCheck) -> CheckResult:
    started = time.monotonic()
    loop = asyncio.get_running_loop()
    answer: asyncio.Future[Health] = loop.create_future()
    work = partial(contextvars.copy_context().run, _in_thread, check, loop, answer)
    # A daemon: Python does not wait for it at the end of the process.
    threading.Thread(target=work, name=f"health check {plugin}.{check.name}", daemon=True).start()
    try:
        async with asyncio.timeout(check.time_limit):
            health = await answer
    except TimeoutError:
        health = Health(False, f"no answer within {check.time_limit:g} s")
    return CheckResult(plugin, check.name, health.ok, health.detail, round(time.monotonic() - started, 3))


def _in_thread(check: HealthCheck, loop: asyncio.AbstractEventLoop, answer: asyncio.Future[Health]) -> None:
    try:
        health = asyncio.run(_asked(check))
    except BaseException as error:  # noqa: BLE001 - whatever a check raises is its answer: not well
        health = Health(False, f"{type(error).__name__}: {error}")
    with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits for this answer any more
        loop.call_soon_threadsafe(_give, answer, health)


async def _asked(check: HealthCheck) -> Health:
    try:
        async with asyncio.timeout(check.time_limit):
            health = await check.run()
        if not isinstance(health, Health):
            raise TypeError(f"the check returned {health!r:.80}, expected a Health")
        return health
    finally:
        if current.made():
            await current.get().close()  # the connections that it has opened on this loop


def _give(answer: asyncio.Future[Health], health: Health) -> None:
    if not answer.done():
        answer.set_result(health)
