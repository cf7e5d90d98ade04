"""A loop that ends takes its connections with it, to the ledger's server and to the broker."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from engines import HOPFILE, SETTINGS, redis_url
from hopyard import current
from hopyard.app import Hopyard
from hopyard.ledger import migrations
from servers import fresh_database

RUNS = 60


@pytest.fixture
def made(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    """Make an installation on PostgreSQL and a broker."""

    def make(broker: str) -> Hopyard:
        url = fresh_database(request.getfixturevalue("postgres_url"))
        asyncio.run(migrations.upgrade(url, {migrations.CORE: migrations.CORE_PACKAGE}))
        settings = SETTINGS.format(broker=request.getfixturevalue(broker), database=url, folder=tmp_path)
        (tmp_path / "hopyard.toml").write_text(settings)
        (tmp_path / "hopfile.py").write_text(HOPFILE)
        return Hopyard.load(config=tmp_path / "hopyard.toml")

    yield make
    current.set_instance(None)


def sessions(url: str) -> int:
    """Return how many sessions the ledger's database has, other than the one that asks."""

    async def ask() -> int:
        import asyncpg

        raw = await asyncpg.connect("postgresql" + url[url.index("://") :])
        try:
            return int(
                await raw.fetchval(
                    "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() "
                    "AND pid <> pg_backend_pid()"
                )
            )
        finally:
            await raw.close()

    return asyncio.run(ask())


def clients(url: str) -> int:
    import redis

    with redis.Redis.from_url(redis_url(url)) as client:
        return len(client.client_list()) - 1


async def _settled(count: Callable[[], int], most: int) -> int:
    """A server sees the end of a connection a moment after it was closed."""
    found = await asyncio.to_thread(count)
    for _ in range(600):
        if found <= most:
            break
        await asyncio.sleep(0.05)
        found = await asyncio.to_thread(count)
    return found


def by_asyncio_run(work: Callable[[], Any]) -> None:
    asyncio.run(work())


def by_hand(work: Callable[[], Any]) -> None:
    """Without winding the loop up."""
    loop = asyncio.new_event_loop()
    try:
        loop.run_until_complete(work())
    finally:
        loop.close()


# A loop that is not wound up leaves its transports to the garbage collector.
_LEFT = [
    pytest.mark.filterwarnings(f"ignore::{one}")
    for one in ("ResourceWarning", "pytest.PytestUnraisableExceptionWarning")
]


@pytest.mark.parametrize("run", [by_asyncio_run, pytest.param(by_hand, marks=_LEFT)])
def test_many_loops_leave_no_connections_open(made: Any, run: Callable[[Any], None]) -> None:
    hopyard = made("redis_url")
    add, before = hopyard.task("site.add"), clients(hopyard.broker_url)
    ids = []

    async def submit() -> None:
        ids.append((await add.submit(a=1)).id)

    for _ in range(RUNS):
        run(submit)
    left = 0 if run is by_asyncio_run else 3  # those of the last loop, until somebody else comes
    assert asyncio.run(_settled(lambda: sessions(hopyard.database_url), left)) <= left
    assert asyncio.run(_settled(lambda: clients(hopyard.broker_url) - before, left)) <= left
    assert len(set(ids)) == RUNS
    asyncio.run(submit())  # which lets go of the last loop's
    gc.collect()  # here, where its warnings are expected


@pytest.mark.rabbitmq
def test_many_loops_leave_no_connections_to_rabbitmq_open(made: Any) -> None:
    import threading

    hopyard = made("rabbitmq_url")
    add = hopyard.task("site.add")

    async def submit() -> Any:
        await add.submit(a=1)
        return hopyard.client().publisher

    def threads() -> int:
        return sum(one.name.startswith("hopyard-broker") for one in threading.enumerate())

    publishers = [asyncio.run(submit()) for _ in range(10)]
    assert all(one._connection is None for one in publishers)
    assert asyncio.run(_settled(threads, 0)) == 0
