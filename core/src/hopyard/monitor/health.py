"""The core's own health checks, and running those of all plugins."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable
from dataclasses import dataclass

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
    """Run checks (pairs of plugin and check) at once, each under its time limit; an error is its answer."""
    return [*await asyncio.gather(*(_run(plugin, check) for plugin, check in checks))]


async def _run(plugin: str, check: HealthCheck) -> CheckResult:
    started = time.monotonic()
    try:
        async with asyncio.timeout(check.time_limit):
            health = await check.run()
        ok, detail = health.ok, health.detail
    except TimeoutError:
        ok, detail = False, f"no answer within {check.time_limit:g} s"
    except Exception as error:  # noqa: BLE001 - a check that raises has answered: not well
        ok, detail = False, f"{type(error).__name__}: {error}"
    return CheckResult(plugin, check.name, ok, detail, round(time.monotonic() - started, 3))
