"""The test servers are real, are found by real clients, and leave nothing behind."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import asyncpg
import psutil
import pytest
import redis
from hopyard.local import broker
from kombu.connection import Connection
from servers import _needed, fresh_database, postgres_programs, rabbitmq_program


def driver_url(url: str) -> str:
    return url.replace("+asyncpg", "")


async def test_postgres_gives_each_test_an_empty_database(postgres_url: str) -> None:
    first, second = fresh_database(postgres_url), fresh_database(postgres_url)
    assert first != second
    connection = await asyncpg.connect(driver_url(first))
    try:
        await connection.execute("create table t (n int)")
        await connection.execute("insert into t values (1)")
        assert await connection.fetchval("show fsync") == "off"
        assert await connection.fetchval("show server_encoding") == "UTF8"
    finally:
        await connection.close()
    connection = await asyncpg.connect(driver_url(second))
    try:
        assert await connection.fetchval("select count(*) from pg_tables where tablename = 't'") == 0
    finally:
        await connection.close()


@pytest.mark.parametrize("server", ["valkey_url", "redis_url"])
def test_valkey_and_redis_keep_values(server: str, request: pytest.FixtureRequest) -> None:
    url = request.getfixturevalue(server)
    with redis.Redis.from_url(url) as client:
        client.set("key", server)
        assert client.get("key") == server.encode()
        assert ("valkey_version" in client.info("server")) == (server == "valkey_url")


@pytest.mark.rabbitmq
def test_rabbitmq_carries_messages(rabbitmq_url: str) -> None:
    opened = Connection(rabbitmq_url)  # type: ignore[no-untyped-call]
    with opened as connection, connection.SimpleQueue("jobs") as queue:
        queue.put({"job": 1})
        message = queue.get(timeout=10)
        message.ack()
        assert message.payload == {"job": 1}


def test_a_missing_server_skips_here_and_fails_in_ci(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CI", raising=False)
    with pytest.raises(pytest.skip.Exception, match="nothing: not found"):
        _needed(None, "nothing")
    monkeypatch.setenv("CI", "true")
    with pytest.raises(pytest.fail.Exception, match="CI needs it"):
        _needed(None, "nothing")


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="a promise of the Linux kernel")
@pytest.mark.parametrize(
    ("needed", "begin"),
    [
        (postgres_programs, "running_postgres()"),
        (rabbitmq_program, "running_rabbitmq()"),
        (broker.binary, "running_redis(str(broker.binary()))"),
    ],
)
def test_servers_end_with_a_killed_session(needed: Callable[[], object], begin: str) -> None:
    needed()
    code = f"from servers import *\nwith {begin}:\n    print('up', flush=True)\n    time.sleep(600)"
    paths = os.pathsep.join([str(Path(__file__).parent), *sys.path])
    session = subprocess.Popen(
        [sys.executable, "-c", code],
        env=os.environ | {"PYTHONPATH": paths},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert session.stdout is not None
    assert session.stdout.readline() == "up\n"
    started = psutil.Process(session.pid).children(recursive=True)
    assert started
    session.kill()
    session.communicate()
    deadline = time.monotonic() + 60
    while any(process.is_running() and process.status() != psutil.STATUS_ZOMBIE for process in started):
        assert time.monotonic() < deadline, started
        time.sleep(0.05)
