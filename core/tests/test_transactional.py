"""A job that is submitted in the caller's transaction exists if, and only if, that transaction commits."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import pytest
from hopyard import current, portal, task
from hopyard.errors import LedgerError, PayloadError
from hopyard.ledger import migrations, workers
from hopyard.ledger.database import Database, kept_statements, open_database
from hopyard.ledger.engine import create_engine
from hopyard.ledger.values import Done, NewJob
from hopyard.specs import State, TaskOptions
from hopyard.tasks.transactional import submit_in
from servers import fresh_database
from sqlalchemy import create_engine as create_sync_engine
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
from sqlalchemy.orm import Session


@task("site.greet")
async def greet(name: str) -> str:
    """Greet somebody."""
    return name


class Producer:
    """What submitting needs of a Hopyard: the ledger, and somebody who rings."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.rung: list[NewJob] = []
        self.plugins = SimpleNamespace(callers=SimpleNamespace(of=lambda hook: ()))

    def client(self) -> Producer:
        return self

    def options(self, name: str) -> TaskOptions:
        return TaskOptions(queue="site")

    async def announce(self, jobs: list[NewJob]) -> None:
        self.rung += [job for job in jobs if job.state == State.QUEUED]

    async def jobs(self) -> set[str]:
        rows = await self.database.fetch("SELECT j.id FROM job_live j JOIN job_outbox o ON o.id = j.id")
        return {str(row["id"]) for row in rows}


@pytest.fixture
async def producer(database: Database) -> AsyncIterator[Producer]:
    made = Producer(database)
    current.set_instance(made)
    yield made
    current.set_instance(None)


@pytest.fixture(params=["sqlite", "asyncpg", "psycopg", "pooled asyncpg", "pooled psycopg"])
def way(request: pytest.FixtureRequest) -> str:
    """The driver of the caller's session, and whether it goes through PgBouncer."""
    return str(request.param)


@pytest.fixture
async def database_url(request: pytest.FixtureRequest, way: str, tmp_path: Path) -> str:
    if way == "sqlite":
        url = f"sqlite:///{tmp_path / 'ledger.db'}"
    else:
        url = fresh_database(request.getfixturevalue("postgres_url"))
        if way.startswith("pooled"):
            pooler = urlsplit(request.getfixturevalue("pgbouncer_url"))
            url = urlunsplit(pooler._replace(path=urlsplit(url).path))
    await migrations.upgrade(url, {migrations.CORE: migrations.CORE_PACKAGE})
    return url


def psycopg_url(url: str) -> str:
    return kept_statements(url)[0].replace("+asyncpg", "+psycopg")


#: What psycopg's users set behind a pooler: nothing is prepared.
UNPREPARED = {"prepare_threshold": None}


@pytest.fixture
async def session(database_url: str, way: str) -> AsyncIterator[AsyncSession]:
    if way.endswith("psycopg"):
        engine = create_async_engine(psycopg_url(database_url), connect_args=UNPREPARED)
    else:
        engine = create_engine(database_url)
    async with AsyncSession(engine) as session:
        yield session
    await engine.dispose()


async def test_a_committed_job_exists_and_is_rung_for(
    producer: Producer, session: AsyncSession, until: Any
) -> None:
    handle = await greet.options(session=session).submit(name="Ada")
    await session.commit()
    assert await producer.jobs() == {handle.id}
    await until(lambda: [ring.id for ring in producer.rung] == [handle.id])


async def test_a_rolled_back_job_never_existed(producer: Producer, session: AsyncSession) -> None:
    await greet.options(session=session).submit_many([{"name": "Ada"}, {"name": "Bob"}])
    await session.rollback()
    assert await producer.jobs() == set()


async def test_a_savepoint_takes_back_only_its_own(
    producer: Producer, session: AsyncSession, until: Any
) -> None:
    kept = await greet.options(session=session).submit(name="Ada")
    savepoint = await session.begin_nested()
    await greet.options(session=session).submit(name="Bob")
    await savepoint.rollback()
    async with session.begin_nested():
        inner = await greet.options(session=session).submit(name="Eve")
    assert producer.rung == []
    await session.commit()
    assert await producer.jobs() == {kept.id, inner.id}
    await until(lambda: kept.id in {ring.id for ring in producer.rung})


async def test_the_same_id_is_the_same_job(producer: Producer, session: AsyncSession, until: Any) -> None:
    """One that waits, one that is over, and one that was stored twice in one transaction."""
    database = producer.database
    waiting, over, twice = (f"order-{n}" for n in range(3))
    ids = {name: greet.options(id=name).job((), {"name": "Ada"}).id for name in (waiting, over, twice)}
    await database.submit([greet.options(id=name).job((), {"name": "Ada"}) for name in (waiting, over)])
    worker = await workers.register(database, name="w", role="worker", queues=[], plugins={}, lease=9)
    await database.claim([ids[over]], worker, 1)
    await database.finish([Done(ids[over], 1, State.SUCCEEDED, "1", None, None)], worker)
    await database.execute("DELETE FROM job_outbox")
    for name in (waiting, over, twice, twice):
        assert (await greet.options(id=name, session=session).submit(name="Bob")).id == ids[name]
    job = greet.options(id=twice).job((), {"name": "Eve"})
    await submit_in(session, [job, job])
    await session.commit()
    rows = await database.fetch("SELECT id, body FROM job_live ORDER BY body")
    assert {str(row["id"]) for row in rows} == {ids[waiting], ids[twice]}
    assert [("Ada" in row["body"], "Bob" in row["body"]) for row in rows] == [(True, False), (False, True)]
    assert await producer.jobs() == {ids[twice]}
    await until(lambda: [ring.id for ring in producer.rung] == [ids[twice]])


async def test_many_jobs_in_one_transaction(producer: Producer, session: AsyncSession) -> None:
    handles = await greet.options(session=session).submit_many({"name": str(n)} for n in range(1201))
    await session.commit()
    assert await producer.jobs() == {handle.id for handle in handles}


async def test_another_database_is_refused(producer: Producer, tmp_path: Path) -> None:
    other = f"sqlite:///{tmp_path / 'other.db'}"
    await migrations.upgrade(other, {migrations.CORE: migrations.CORE_PACKAGE})
    for url in (other, f"sqlite:///{tmp_path / 'empty.db'}"):
        engine = create_engine(url)
        async with AsyncSession(engine) as session:
            with pytest.raises(LedgerError, match="not the ledger's database"):
                await greet.options(session=session).submit(name="Ada")
        await engine.dispose()


async def test_another_postgresql_database_is_refused(
    producer: Producer, request: pytest.FixtureRequest, way: str
) -> None:
    if way == "sqlite":
        return
    other = fresh_database(request.getfixturevalue("postgres_url"))
    await migrations.upgrade(other, {migrations.CORE: migrations.CORE_PACKAGE})
    for url in (other, psycopg_url(other)):
        engine = create_async_engine(url)
        async with AsyncSession(engine) as session:
            with pytest.raises(LedgerError, match="not the ledger's database"):
                await greet.options(session=session).submit(name="Ada")
        await engine.dispose()
    assert await producer.jobs() == set()


async def test_wrong_arguments_store_nothing(producer: Producer, session: AsyncSession) -> None:
    with pytest.raises(PayloadError, match="name"):
        await greet.options(session=session).submit(nmae="Ada")  # type: ignore[call-arg]
    await session.commit()
    assert await producer.jobs() == set()


async def test_unique_and_session_do_not_go_together(session: AsyncSession) -> None:
    with pytest.raises(PayloadError, match="do not go together"):
        greet.options(session=session, unique="k")


def test_a_plain_session_submits_in_its_own_thread(database_url: str, way: str) -> None:
    """Also where nobody runs an event loop: the portal's is used."""
    if way.endswith("asyncpg"):
        return  # it has no plain session

    async def prepare() -> Producer:
        return Producer(open_database(database_url))

    producer = portal.run(prepare())
    current.set_instance(producer)
    if way == "sqlite":
        engine = create_sync_engine(database_url)
    else:
        engine = create_sync_engine(psycopg_url(database_url), connect_args=UNPREPARED)
    try:
        with Session(engine) as session:
            submit = greet.options(session=session).sync.submit
            kept = submit("Ada")
            if way != "sqlite":  # the plain driver begins too late for savepoints
                savepoint = session.begin_nested()
                submit("Bob")
                savepoint.rollback()
            assert producer.rung == []
            session.commit()
            submit("Eve")
            session.rollback()
        assert portal.run(producer.jobs()) == {kept.id}
        deadline = time.monotonic() + 10
        while kept.id not in {ring.id for ring in producer.rung}:
            assert time.monotonic() < deadline, "not rung for"
            time.sleep(0.01)
    finally:
        engine.dispose()
        portal.run(producer.database.close())
        current.set_instance(None)
