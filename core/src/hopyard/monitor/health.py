"""The core's own health checks, and running those of all plugins."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from hopyard import current
from hopyard.ledger import leader, set_aside
from hopyard.ledger.read import workers
from hopyard.monitor.asking import ask
from hopyard.redaction import redact
from hopyard.specs import Health, HealthCheck, State

if TYPE_CHECKING:
    from celery import Celery

#: By this key a worker of ours says so in its answers to Celery's `inspect active_queues`.
MARK: Final = "hopyard"
#: Celery workers have so long to answer.
_INSPECT_SECONDS: Final = 1.0


async def _ledger() -> Health:
    database = current.get().client().database
    if fault := await database.pooler_fault():
        return Health(False, fault)
    rows = await database.fetch("SELECT count(*) AS jobs FROM job_live")
    jobs, parked = rows[0]["jobs"], 0
    detail = f"{database.dialect.name}, {jobs} live jobs"
    for row in await database.fetch(
        f"SELECT task, count(*) AS jobs FROM job_live WHERE state = {State.PARKED:d} GROUP BY task"
    ):
        if not current.get().plugins.resting(row["task"]):  # those wait since somebody wants them to
            parked += row["jobs"]
    if parked:
        detail += f", {parked} of them parked: `hopyard jobs list --state parked` lists them"
    return Health(not parked, detail, {"live": jobs, "parked": parked})


async def _broker() -> Health:
    await current.get().client().publisher.ping()
    return Health(True, "answers")


async def _workers() -> Health:
    names = [worker.name for worker in await workers.living(current.get().client().database)]
    return Health(bool(names), f"{len(names)} alive" if names else "no worker is alive", {"workers": names})


async def _stock_workers() -> Health:
    """Look for Celery workers that are none of Hopyard's and take messages of its queues.

    They answer Celery's `inspect active_queues` without our mark, and have no row in the ledger: the worker
    of an earlier release has no mark, one that was given up and lives has no row.
    """
    hopyard = current.get()
    answers = await asyncio.to_thread(_active_queues, hopyard.celery)
    rows = await hopyard.client().database.fetch("SELECT name FROM worker WHERE stopped IS NULL")
    ours = {row["name"] for row in rows}
    taken = {
        name: sorted({queue["name"] for queue in queues} & hopyard.plugins.queues.keys())
        for name, queues in answers.items()
        if name not in ours and not any(MARK in queue for queue in queues)
    }
    found = [f"{name} takes {', '.join(queues)}" for name, queues in sorted(taken.items()) if queues]
    if found:
        return Health(False, f"a stock Celery worker runs jobs outside of the ledger: {'; '.join(found)}")
    return Health(True, "no stock Celery worker on our queues")


def _active_queues(celery: Celery) -> dict[str, list[dict[str, Any]]]:
    """Return what Celery's workers answer. Asks twice where a pooled connection was closed long ago."""

    def told() -> dict[str, list[dict[str, Any]]]:
        return celery.control.inspect(timeout=_INSPECT_SECONDS).active_queues() or {}

    try:
        return told()
    except celery.connection_for_write().connection_errors:
        return told()


async def _scheduler() -> Health:
    leads = await leader.holder(current.get().client().database, "schedule")
    return Health(leads is not None, f"{leads} leads" if leads else "no scheduler leads")


async def _set_aside() -> Health:
    """Say what could not be dealt with since a day, so that the rest went on."""
    found = await set_aside.latest(current.get().client().database, seconds=86400)
    if not found:
        return Health(True, "nothing")
    kinds = Counter(one["kind"] for one in found)
    told = ", ".join(f"{kind}: {count}" for kind, count in sorted(kinds.items()))
    last = found[0]
    detail = f"{told}; the latest: {last['kind']} {last['target']}: {last['reason']}"
    return Health(False, f"{detail} (`hopyard set-aside` lists them)", {"kinds": dict(kinds)})


CHECKS = (
    HealthCheck("ledger", _ledger),
    HealthCheck("broker", _broker),
    HealthCheck("workers", _workers),
    HealthCheck("scheduler", _scheduler),
    HealthCheck("set aside", _set_aside),
    HealthCheck("stock workers", _stock_workers),
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

    Each has a thread and an event loop of its own: one that blocks holds up nobody else. It is not started
    again while it still blocks, so that threads and connections do not add up. Details are without secrets.
    """
    return [*await asyncio.gather(*(_run(plugin, check) for plugin, check in checks))]


async def _run(plugin: str, check: HealthCheck) -> CheckResult:
    name = f"{plugin}.{check.name}"
    found = await ask(f"health check {name}", check.run, Health, check.time_limit)
    if found.value is None:
        return CheckResult(plugin, check.name, False, found.fault, found.seconds)
    # Texts may be of a class with code of its own: whoever shows them gets plain ones. Masked here and not
    # where it is shown: a secret that the check has read is known to this process alone.
    detail = redact(str.__str__(found.value.detail))
    return CheckResult(plugin, check.name, found.value.ok, detail, found.seconds)
