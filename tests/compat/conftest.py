"""Installations on each broker, with the tasks of `hopfile.py`."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hopyard import current
from servers import fresh_database
from sites import Site, site_in

HOPFILE = Path(__file__).with_name("hopfile.py").read_text()


@contextmanager
def _site(request: pytest.FixtureRequest, folder: Path, broker: str, *, postgres: bool) -> Iterator[Site]:
    url: str = request.getfixturevalue(broker)
    _empty(url)
    database = f"sqlite:///{folder / 'hopyard.db'}"
    if postgres:
        database = fresh_database(request.getfixturevalue("postgres_url"))
    with site_in(folder, broker=url, database=database, hopfile=HOPFILE) as site:
        upgrading = threading.Thread(target=lambda: asyncio.run(site.hopyard.upgrade()))
        upgrading.start()  # a fixture may run inside a loop or outside
        upgrading.join()
        yield site


def _empty(url: str) -> None:
    """Remove what earlier tests left in a broker."""
    if url.startswith("redis"):
        import redis

        with redis.Redis.from_url(url) as client:
            client.flushall()
        return
    from kombu.connection import Connection

    with Connection(url) as connection:  # type: ignore[no-untyped-call]
        for queue in ("site", "site.one", "hopyard", "hopyard:epoch"):
            connection.default_channel.queue_delete(queue)


@pytest.fixture
async def site(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Site]:
    """An installation on Valkey and SQLite, without processes."""
    with _site(request, tmp_path, "valkey_url", postgres=False) as made:
        yield made
        await made.hopyard.close()


@pytest.fixture(params=["valkey_url", "redis_url", pytest.param("rabbitmq_url", marks=pytest.mark.rabbitmq)])
async def any_site(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Site]:
    """An installation on each broker, with PostgreSQL beside Redis and RabbitMQ."""
    with _site(request, tmp_path, request.param, postgres=request.param != "valkey_url") as made:
        yield made
        await made.hopyard.close()


@pytest.fixture(scope="module")
def _running(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with _site(request, tmp_path_factory.mktemp("site"), "valkey_url", postgres=False) as made:

        async def start() -> None:
            await made.worker("-E")
            await made.hopyard.close()

        asyncio.run(start())
        yield made


@pytest.fixture
async def running(_running: Site) -> AsyncIterator[Site]:
    """An installation on Valkey and SQLite with a stock worker, shared by the tests of a module."""
    current.set_instance(_running.hopyard)
    yield _running
    await _running.hopyard.close()
