"""Everything behind PgBouncer in transaction mode, with fewer connections than there are clients."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import pytest
from engines import Lab
from hopyard import current
from hopyard.app import Hopyard
from hopyard.errors import LedgerError, LedgerUnavailable
from hopyard.ledger import keys, migrations, notes, waiting, workers
from hopyard.ledger.database import Database, kept_statements, open_database
from hopyard.ledger.engine import create_engine
from hopyard.ledger.values import Done, utcnow
from hopyard.schedule import store
from hopyard.schedule.scheduler import Scheduler
from hopyard.specs import Rule, Schedule, State, Unique
from servers import fresh_database
from sqlalchemy import text


@pytest.fixture
async def database_url(postgres_url: str, pgbouncer_url: str) -> str:
    """A fresh ledger behind the pooler, migrated through it."""
    path = urlsplit(fresh_database(postgres_url)).path
    url = urlunsplit(urlsplit(pgbouncer_url)._replace(path=path))
    await migrations.upgrade(url, {migrations.CORE: migrations.CORE_PACKAGE})
    return url


@pytest.fixture
def unsaid_url(database_url: str) -> str:
    """The same without the word that there is a pooler."""
    return database_url.partition("?")[0]


def test_the_setting_is_taken_out_of_the_url() -> None:
    url = "postgresql://db/hopyard"
    assert kept_statements(url) == (url, None)
    assert kept_statements(f"{url}?prepared_statement_cache_size=0") == (url, 0)
    assert kept_statements(f"{url}?ssl=require&prepared_statement_cache_size=50") == (
        f"{url}?ssl=require",
        50,
    )
    with pytest.raises(LedgerError, match="prepared_statement_cache_size=none; expected a whole number"):
        kept_statements(f"{url}?prepared_statement_cache_size=none")


async def test_two_upgrades_at_once_are_one(database_url: str) -> None:
    histories = {migrations.CORE: migrations.CORE_PACKAGE}
    await asyncio.gather(*(migrations.upgrade(database_url, histories) for _ in range(4)))
    database = open_database(database_url)
    try:
        assert await migrations.faults(database, histories) == {}
    finally:
        await database.close()


async def test_many_clients_share_few_connections(ledger: Any, connect: Callable[[], Database]) -> None:
    """The hot path, keys and fences, of eight processes on three connections."""
    worker = await ledger.worker()

    async def client(number: int) -> None:
        database = connect()
        for n in range(5):
            claim = number * 100 + n
            job = ledger.new()
            assert (await database.submit([job], fresh=True)).new == {job.id}
            unique = Unique(f"k{claim}")
            assert await keys.submit_unique(database, ledger.new(), unique) != (job.id, False)
            assert [one.id for one in await database.claim([job.id], worker, claim)] == [job.id]
            await notes.write_checkpoint(database, job.id, (worker, claim), {"n": n})
            done = Done(job.id, claim, State.SUCCEEDED, "1", None, None)
            assert await database.finish([done], worker) == {job.id}

    await asyncio.gather(*(client(number) for number in range(8)))
    assert await ledger.count("job_history") == 40
    assert await ledger.count("job_live") == 40
    assert await ledger.count("job_checkpoint") == 40


async def test_the_engine_for_people_leaves_no_statement_behind(database_url: str) -> None:
    """SQLAlchemy's: many at once, on connections that others use next."""
    engines = [create_engine(database_url) for _ in range(4)]

    async def ask(n: int) -> None:
        async with engines[n % 4].begin() as connection:
            assert await connection.scalar(text("SELECT CAST(:n AS integer)"), {"n": n}) == n

    try:
        for _ in range(3):
            await asyncio.gather(*(ask(n) for n in range(24)))
        async with engines[0].begin() as connection:
            assert await connection.scalar(text("SELECT count(*) FROM pg_prepared_statements")) == 0
    finally:
        for engine in engines:
            await engine.dispose()


async def test_a_lost_workers_jobs_are_rescued_and_times_come(ledger: Any) -> None:
    database, worker = ledger.database, await ledger.worker(lease=3)
    claim = await ledger.running(worker)
    due = await ledger.job(state=State.SCHEDULED, eta=utcnow() - timedelta(seconds=1))
    await ledger.later("worker", "beat", 60)
    rescued = await workers.rescue(database)
    assert (rescued.workers, [ring.id for ring in rescued.again]) == ([worker], [claim.id])
    assert not await workers.beat(database, worker)
    assert [ring.id for ring in await waiting.promote(database)] == [due]
    assert {ring.id for ring in await waiting.unsent(database, -1.0)} == {claim.id, due}


async def test_an_engine_runs_two_hundred_jobs(lab: Lab) -> None:
    async def call(job: Any) -> int:
        await job.save(seen=True)
        return int(job.attempt)

    lab.calls["call"] = call
    worker = await lab.worker()
    worker.fetch()
    handles = await lab.hopyard.task("site.call").submit_many([{"n": n} for n in range(200)])

    async def all_over() -> bool:
        return bool(await lab.ledger.count("job_history") == 200)

    async with asyncio.timeout(60):
        while not await all_over():
            await asyncio.sleep(0.05)
    states = {(await lab.row(handle.id))["state"] for handle in handles}
    assert states == {State.SUCCEEDED}
    assert await lab.ledger.count("job_live") == 0


@pytest.fixture
async def hopyard(database_url: str, tmp_path: Path) -> AsyncIterator[Hopyard]:
    (tmp_path / "hopyard.toml").write_text(
        f'broker_url = "redis://127.0.0.1:1/0"\ndatabase_url = "{database_url}"\n'
        f'data = "{tmp_path / "data"}"\n'
    )
    made = Hopyard.load(config=tmp_path / "hopyard.toml")
    yield made
    await made.close()
    current.set_instance(None)


async def test_a_schedule_fires(hopyard: Hopyard, ledger: Any) -> None:
    database, due = ledger.database, utcnow() - timedelta(seconds=1)
    schedule = Schedule("mine", "hopyard.deliver", Rule(every=3600.0, anchor=due))
    async with database.transaction() as tx:
        await store.put(tx, database.dialect, schedule)
        await tx.execute("UPDATE schedule SET next_due = $1 WHERE name = 'mine'", due)
    await Scheduler(hopyard).tick()
    assert await ledger.count("schedule_fire") == 1
    assert await ledger.count("job_live") == 1


async def test_a_pooler_that_is_not_spoken_of_is_found(
    ledger: Any, unsaid_url: str, postgres_url: str
) -> None:
    """`hopyard doctor` asks this."""
    assert await ledger.database.pooler_fault() is None
    for url, fault in ((unsaid_url, True), (postgres_url, False)):
        database = open_database(url)
        try:
            said = await database.pooler_fault()
        finally:
            await database.close()
        assert (said is not None) == fault
        assert not fault or "?prepared_statement_cache_size=0" in str(said)


async def test_what_goes_wrong_without_the_setting_says_what_to_do(ledger: Any, unsaid_url: str) -> None:
    """A statement that was prepared on another server connection is not there."""
    database = open_database(unsaid_url)

    async def ask() -> None:
        for n in range(20):
            await asyncio.gather(*(database.fetch(f"SELECT $1::int AS n{n % 3}", n) for _ in range(6)))

    try:
        with pytest.raises((LedgerError, LedgerUnavailable), match="prepared_statement_cache_size=0"):
            await ask()
    finally:
        await database.close()
