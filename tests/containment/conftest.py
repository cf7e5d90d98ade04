"""An installation with a real worker that serves a task family which misbehaves, and one which does not."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from contained import Place
from servers import fresh_database
from sites import site_in

HOPFILE = Path(__file__).with_name("hopfile.py").read_text()


@pytest.fixture(
    params=["valkey_url", pytest.param("rabbitmq_url", marks=pytest.mark.rabbitmq)],
    ids=["valkey", "rabbitmq"],
)
async def place(request: pytest.FixtureRequest, tmp_path: Path, record_property: Any) -> AsyncIterator[Place]:
    """SQLite with Valkey, and PostgreSQL with RabbitMQ."""
    url: str = request.getfixturevalue(request.param)
    redis = request.param == "valkey_url"
    _empty(url)
    database = f"sqlite:///{tmp_path / 'hopyard.db'}"
    if not redis:
        database = fresh_database(request.getfixturevalue("postgres_url"))
    with site_in(tmp_path, broker=url, database=database, hopfile=HOPFILE, lease=30) as site:
        upgrading = threading.Thread(target=lambda: asyncio.run(site.hopyard.upgrade()))
        upgrading.start()
        upgrading.join()
        made = Place(site, url)
        await made.start()
        yield made
        record_property("slowest_healthy_job_s", round(made.slowest, 2))
        await site.hopyard.close()


def _empty(url: str) -> None:
    if url.startswith("amqp"):
        from kombu.connection import Connection

        with Connection(url) as connection:  # type: ignore[no-untyped-call]
            for queue in ("site", "maintenance", "maintenance.watch", "hopyard", "hopyard:epoch"):
                connection.default_channel.queue_delete(queue)
        return
    import redis

    with redis.Redis.from_url(url) as client:
        client.flushall()
