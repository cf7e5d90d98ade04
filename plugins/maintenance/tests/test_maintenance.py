"""Both tasks for real, through a worker; and alerts that reach a person's web hook."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from hopyard.ledger.values import new_id
from servers import fresh_database
from sites import Site, site_in

HEALTH, USAGE = "maintenance.system_health_check", "maintenance.monitor_resource_usage"

HOPFILE = """
from pathlib import Path
from hopyard import Health, HealthCheck, Plugin, hookimpl

ILL = Path(__file__).with_name("ill")

async def check() -> Health:
    return Health(not ILL.exists(), "it is ill" if ILL.exists() else "fine")

class Site(Plugin):
    @hookimpl
    def register_health_checks(self): return [HealthCheck("pump", check)]
"""

#: Thresholds that nothing crosses, except perhaps one.
NEVER = "cpu_percent = 100\nmemory_percent = {memory}\ndisk_percent = 100\n"


def settings(url: str, more: str = "") -> str:
    return (
        "[people.ops]\n"
        f'channels = ["{url}"]\n'
        '[alerts]\nto = ["ops"]\n'
        '[egress]\nallow = ["127.0.0.1"]\n'
        # Run by the tests, not by a schedule.
        f'[plugins]\nallow = ["maintenance", "site"]\n[plugins.maintenance.settings]\n{more}'
    )


@pytest.fixture
async def place(
    request: pytest.FixtureRequest, tmp_path: Path, valkey_url: str, listener: Any
) -> AsyncIterator[Any]:
    """Makes an installation with a worker, on SQLite unless told otherwise."""
    with ExitStack() as stack:
        made: list[Site] = []

        async def make(more: str = "", *, postgres: bool = False) -> Site:
            import redis

            with redis.Redis.from_url(valkey_url) as client:
                client.flushall()
            database = f"sqlite:///{tmp_path / 'hopyard.db'}"
            if postgres:
                database = fresh_database(request.getfixturevalue("postgres_url"))
            site = stack.enter_context(
                site_in(
                    tmp_path,
                    broker=valkey_url,
                    database=database,
                    hopfile=HOPFILE,
                    extra=settings(listener.url, more),
                )
            )
            made.append(site)
            await site.hopyard.upgrade()
            await site.worker()
            return site

        yield make
        for site in made:
            await site.hopyard.close()


async def run(site: Site, task: str) -> Any:
    return await site.result(await site.submit(task))


async def told(site: Site, listener: Any, title: str) -> dict[str, Any]:
    """Wait until the person was told something."""

    async def there() -> Any:
        return next((message for message in listener.told if message["title"] == title), None)

    found: dict[str, Any] = await site.until(there, f"{title!r} among {listener.titles}")
    return found


@pytest.mark.parametrize("postgres", [False, True], ids=["sqlite", "postgresql"])
async def test_health_is_checked_and_changes_are_told(place: Any, listener: Any, postgres: bool) -> None:
    site: Site = await place(postgres=postgres)
    first = await run(site, HEALTH)
    checks = {f"{check.plugin}.{check.name}": check for check in first.checks}
    assert {"hopyard.ledger", "hopyard.broker", "hopyard.workers", "hopyard.scheduler", "site.pump"} <= set(
        checks
    )
    assert checks["hopyard.workers"].ok
    assert checks["hopyard.broker"].ok
    assert checks["hopyard.ledger"].ok
    # No scheduler runs here, which is a finding and not a fault of the task.
    assert not checks["hopyard.scheduler"].ok
    assert not first.ok
    message = await told(site, listener, "hopyard.scheduler is not well")
    assert message["person"] == "ops"
    assert message["data"] == {"check": "hopyard.scheduler", "ok": False}

    (site.folder / "ill").touch()
    second = await run(site, HEALTH)
    assert [check.detail for check in second.checks if check.name == "pump"] == ["it is ill"]
    assert (await told(site, listener, "site.pump is not well"))["body"] == "it is ill"
    await run(site, HEALTH)

    (site.folder / "ill").unlink()
    await run(site, HEALTH)
    await told(site, listener, "site.pump is well again")
    # Each change was told once: what stays as it is, is no news.
    assert sorted(listener.titles) == [
        "hopyard.scheduler is not well",
        "site.pump is not well",
        "site.pump is well again",
    ]


@pytest.mark.parametrize("postgres", [False, True], ids=["sqlite", "postgresql"])
async def test_usage_is_measured_and_kept(place: Any, listener: Any, postgres: bool) -> None:
    site: Site = await place(
        "cpu_percent = 100\nmemory_percent = 100\ndisk_percent = 100\n", postgres=postgres
    )
    usage = await run(site, USAGE)
    assert 0 < usage.memory_used <= usage.memory_total
    assert 0 <= usage.cpu_percent <= 100
    assert usage.cpu_count >= 1
    assert [disk.path for disk in usage.disks] == ["/"]
    assert usage.disks[0].used + usage.disks[0].free <= usage.disks[0].total
    assert usage.queues == {"maintenance.watch": 1}  # itself
    (row,) = await site.rows("SELECT data FROM maintenance_sample")
    assert json.loads(row["data"])["memory_total"] == usage.memory_total
    d = site.hopyard.client().database.dialect
    await site.hopyard.client().database.execute(
        f"UPDATE maintenance_sample SET at = {d.plus('at', '$1')}", -8.0 * 86400
    )
    await run(site, USAGE)
    assert len(await site.rows("SELECT data FROM maintenance_sample")) == 1


async def test_a_crossed_threshold_is_told_once(place: Any, listener: Any) -> None:
    site: Site = await place(
        "cpu_percent = 100\nmemory_percent = 0.01\ndisk_percent = 100\nqueue_depth = 3\nalert_after = 1\n"
    )
    usage = await run(site, USAGE)
    # A machine that is busy with other tests may have something to say of its processors too.
    assert [text for text in usage.warnings if not text.startswith("CPU")] == [
        f"memory is at {usage.memory_percent:g} %, the threshold is 0.01 %"
    ]
    memory = f"usage.memory on {usage.host}"
    message = await told(site, listener, f"{memory} is not well")
    assert "the threshold is 0.01 %" in message["body"]
    # Jobs that wait in a queue without a worker.
    database = site.hopyard.client().database
    for _ in range(4):
        await database.execute(
            "INSERT INTO job_live (id, task, queue, priority, state, body, headers, created) "
            f"VALUES ($1, 'x.y', 'elsewhere', 5, 0, '[[], {{}}, null]', '{{}}', {database.dialect.now})",
            new_id(),
        )
    usage = await run(site, USAGE)
    assert usage.queues["elsewhere"] == 4
    assert "4 jobs in queue elsewhere" in (await told(site, listener, "usage.queues is not well"))["body"]
    await run(site, USAGE)
    await database.execute("DELETE FROM job_live WHERE queue = 'elsewhere'")
    await run(site, USAGE)
    await told(site, listener, "usage.queues is well again")
    assert listener.titles.count(f"{memory} is not well") == 1
    assert listener.titles.count("usage.queues is not well") == 1


async def test_the_plugin_says_when_it_looks(place: Any) -> None:
    site: Site = await place("health_every = 30\n")
    schedules = site.hopyard.plugins.schedules
    assert schedules[HEALTH].rule.every == 30.0
    assert schedules[USAGE].rule.every == 60.0
    assert all(schedules[name].overlap == "skip" for name in (HEALTH, USAGE))
