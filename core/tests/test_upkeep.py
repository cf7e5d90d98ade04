"""Looking after the database on a connection that waits for nobody long; retention when people ask."""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from engines import Lab
from hopyard import conceal, jobs, storage
from hopyard.errors import LedgerError, LedgerUnavailable
from hopyard.ledger import upkeep
from hopyard.ledger.database import sqlite_path
from hopyard.monitor.logs import TextFormatter
from servers import fresh_database


def test_the_cores_tables_are_all_of_them() -> None:
    from hopyard.ledger.tables import metadata

    assert sorted(upkeep.CORE_TABLES) == sorted(metadata.tables)


async def test_tables_are_those_of_the_core_and_of_enabled_plugins(lab: Lab) -> None:
    for name in ("site_note", "site", "sitemap", "foreign_note"):
        await storage.execute(f"CREATE TABLE {name} (id text PRIMARY KEY)")
    # The lab's plugin `site` has no migrations, and so no tables of its own either.
    assert {*await storage.tables()} == {*upkeep.CORE_TABLES, "hopyard_version_hopyard"}
    assert {*await storage.tables(foreign=True)} == {"site_note", "site", "sitemap", "foreign_note"}
    assert upkeep.belongs("site_note", ["site"])
    assert upkeep.belongs("site", ["site"])
    assert not upkeep.belongs("sitemap", ["site"])


async def test_statements_commit_one_by_one(lab: Lab) -> None:
    async with storage.upkeep() as connection:
        await connection.fetch("CREATE TABLE site_note (n integer)")
        await connection.fetch("INSERT INTO site_note VALUES (1)")
        await connection.fetch("VACUUM")
        (row,) = await connection.fetch("SELECT n FROM site_note WHERE n = CAST($1 AS integer)", 1)
        assert row["n"] == 1
        with pytest.raises(LedgerError, match="site_nothing"):
            await connection.fetch("SELECT 1 FROM site_nothing")
        assert connection.file == (
            None if connection.sql.name == "postgresql" else sqlite_path(lab.hopyard.database_url)
        )
    assert len(await storage.fetch("SELECT n FROM site_note")) == 1


async def test_what_the_server_warns_of_is_returned(lab: Lab) -> None:
    async with storage.upkeep() as connection:
        if connection.sql.name == "sqlite":
            assert await connection.execute("ANALYZE") == []
            return
        assert await connection.execute("DO $$ BEGIN RAISE WARNING 'left out'; END $$") == ["left out"]
        assert await connection.execute("DO $$ BEGIN RAISE NOTICE 'by the way'; END $$") == []


async def test_it_waits_for_a_lock_no_longer_than_it_may(lab: Lab) -> None:
    await storage.execute("CREATE TABLE site_note (n integer)")
    async with storage.upkeep(lock_seconds=0.1) as connection, storage.transaction() as tx:
        await tx.execute("INSERT INTO site_note VALUES (1)")
        statement = "CREATE INDEX site_note_n ON site_note (n)"
        with pytest.raises(LedgerError, match=r"lock timeout|locked"):
            await connection.fetch(statement)


async def test_a_statement_that_takes_too_long_is_stopped(lab: Lab) -> None:
    endless = "WITH RECURSIVE n(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n) SELECT max(n) FROM n"
    async with storage.upkeep(statement_seconds=0.2) as connection:
        with pytest.raises(LedgerUnavailable, match=r"statement timeout|longer than 0.2 s"):
            await connection.fetch(endless)
        assert [row["one"] for row in await connection.fetch("SELECT 1 AS one")] == [1]


async def test_who_is_cancelled_leaves_no_statement_behind(lab: Lab) -> None:
    endless = "WITH RECURSIVE n(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n) SELECT max(n) FROM n"
    async with storage.upkeep() as connection:
        work = asyncio.ensure_future(connection.fetch(endless))
        await asyncio.sleep(0.1)
        work.cancel()
        with pytest.raises(asyncio.CancelledError):
            await work


async def test_an_address_of_another_database_is_refused(lab: Lab, tmp_path: Path, request: Any) -> None:
    if lab.hopyard.database_url.startswith("sqlite"):
        other = f"sqlite:///{tmp_path / 'other.db'}"
        with closing(sqlite3.connect(tmp_path / "other.db")) as made:
            made.execute("CREATE TABLE t (n)")
        with pytest.raises(LedgerError, match="no database at"):
            async with storage.upkeep(url=f"sqlite:///{tmp_path / 'none.db'}"):
                pass
    else:
        other = fresh_database(request.getfixturevalue("postgres_url"))
    with pytest.raises(LedgerError, match="another database"):
        async with storage.upkeep(url=other):
            pass
    async with storage.upkeep(url=lab.hopyard.database_url) as connection:
        assert len(await connection.fetch("SELECT id FROM ledger_identity")) == 1


async def test_a_pooler_is_refused(pgbouncer_url: str) -> None:
    with pytest.raises(LedgerError, match="pooler"):
        async with upkeep.upkeep(pgbouncer_url, 1, 1):
            pass


async def test_records_that_are_due_are_counted_and_deleted(lab: Lab) -> None:
    async def call(job: Any) -> str:
        return "ran"

    lab.calls["call"] = call
    (await lab.worker()).fetch()
    for n in range(3):
        await lab.ends((await lab.hopyard.task("site.call").submit(n=n)).id)
    assert (await jobs.records_due())["job_history"] == jobs.Due(0, 3)
    assert (await jobs.records_due(results_days=0))["job_history"] == jobs.Due(3, 3)
    d = storage.sql()
    await storage.execute(f"UPDATE job_history SET finished = {d.minus('finished', '$1')}", 31.0 * 86400)
    assert (await jobs.records_due())["job_history"] == jobs.Due(3, 3)
    gone, more = await jobs.prune(results_days=40)
    assert (gone["job_history"], more) == (0, False)
    gone, more = await jobs.prune()
    assert (gone["job_history"], more) == (3, False)
    assert (await jobs.records_due())["job_history"] == jobs.Due(0, 0)


def test_a_concealed_secret_is_in_no_log() -> None:
    conceal("a-key-from-elsewhere")
    record = logging.LogRecord("x", logging.INFO, "x.py", 1, "got %s", ("a-key-from-elsewhere",), None)
    assert "a-key-from-elsewhere" not in TextFormatter().format(record)
