"""Looking after the database: what is worth it is done, holds up nobody, and one failure costs itself."""

from __future__ import annotations

import os
import re
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import pytest
from hopyard import storage
from hopyard.errors import LedgerError, LedgerUnavailable, TransientError
from hopyard.ledger.database import sqlite_path
from hopyard.ledger.values import new_id
from hopyard_maintenance.database import indexes, sqlite
from hopyard_maintenance.database.optimizing import optimize, plan
from hopyard_maintenance.models import IndexUpkeep
from hopyard_maintenance.turns import turn

on_postgres = pytest.mark.parametrize("installed", ["postgresql"], indirect=True)
on_sqlite = pytest.mark.parametrize("installed", ["sqlite"], indirect=True)


@pytest.fixture
def postgres(installed: Any) -> Any:
    """The installation on PostgreSQL."""
    return installed


@pytest.fixture
def lite(installed: Any) -> Any:
    """The installation on SQLite."""
    return installed


# --- PostgreSQL


@asynccontextmanager
async def other(installed: Any) -> AsyncIterator[Any]:
    """A session of somebody else's; what it did is counted when it ends."""
    url = urlunsplit(urlsplit(installed.hopyard.database_url)._replace(scheme="postgresql"))
    connection = await asyncpg.connect(url)
    try:
        yield connection
    finally:
        await connection.close()


async def waste(installed: Any, table: str, rows: int = 20_000) -> None:
    """Have a table with an index that is mostly dead rows, and have autovacuum leave it alone."""
    async with other(installed) as session:
        await session.execute(f"CREATE TABLE IF NOT EXISTS {table} (name text PRIMARY KEY, told text)")
        await session.execute(f"ALTER TABLE {table} SET (autovacuum_enabled = false)")
        await session.execute(
            f"INSERT INTO {table} SELECT 'n' || n, repeat('x', 100) FROM generate_series(1, {rows}) n"
        )
        await session.execute(f"DELETE FROM {table} WHERE name NOT LIKE '%99'")


@on_postgres
async def test_tables_with_dead_rows_are_vacuumed(postgres: Any) -> None:
    await waste(postgres, "maintenance_waste")
    await waste(postgres, "foreign_waste")
    report = await optimize(postgres.job(), dry_run=False)
    (one,) = report.tables  # that of another program is left alone
    assert (one.table, one.done, one.problem) == ("maintenance_waste", ["vacuum", "analyze"], None)
    assert one.dead_before >= 19_000
    assert one.dead_after == 0
    assert report.bytes_before > 0
    assert report.summary.startswith("1 thing was done to the database (PostgreSQL); it has ")
    assert (await plan()).tables == []


@on_postgres
async def test_what_the_server_leaves_out_is_told(postgres: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A role that does not own the tables: the server warns, leaves them out, and ends without an error."""
    await waste(postgres, "maintenance_waste")
    role = f"reader_{new_id()[-12:]}"
    await postgres.execute(f"CREATE ROLE {role} LOGIN")
    try:
        await postgres.execute(f"GRANT SELECT ON ALL TABLES IN SCHEMA public TO {role}")
        parts = urlsplit(postgres.hopyard.database_url)
        where = parts.netloc.rpartition("@")[2]
        url = urlunsplit(parts._replace(scheme="postgresql", netloc=f"{role}@{where}"))
        postgres.set(optimize={"database_url": url})
        report = await optimize(postgres.job(), dry_run=False)
        (one,) = [one for one in report.tables if one.table == "maintenance_waste"]
        assert re.search("permission denied|only table or database owner", str(one.problem))
        assert "failed" in report.summary
    finally:
        await postgres.execute(f"DROP OWNED BY {role}")
        await postgres.execute(f"DROP ROLE {role}")


@on_postgres
async def test_a_plan_changes_nothing(postgres: Any) -> None:
    await waste(postgres, "maintenance_waste")
    for _ in range(2):
        report = await optimize(postgres.job(), dry_run=True)
        assert [(one.table, one.dead_after > 0) for one in report.tables] == [("maintenance_waste", True)]
        assert report.dry_run


@on_postgres
async def test_a_table_that_somebody_has_locked_costs_itself(postgres: Any) -> None:
    postgres.set(optimize={"lock_seconds": 0.2})
    for name in ("maintenance_a", "maintenance_b"):
        await waste(postgres, name)
    async with other(postgres) as session, session.transaction():
        await session.execute("LOCK TABLE maintenance_a IN ACCESS EXCLUSIVE MODE")
        job = postgres.job()
        report = await optimize(job, dry_run=False)
    first, second = report.tables
    assert "lock timeout" in str(first.problem)
    assert (second.problem, second.dead_after) == (None, 0)
    assert "1 of them failed" in report.summary
    assert [one["table"] for one in job.checkpoint["tables"]] == ["maintenance_a", "maintenance_b"]


@on_postgres
async def test_an_attempt_goes_on_behind_what_is_done(postgres: Any) -> None:
    for name in ("maintenance_a", "maintenance_b"):
        await waste(postgres, name)
    job = postgres.job()
    (done, _) = (await optimize(postgres.job(), dry_run=True)).tables
    await job.save(bytes_before=10**12, tables=[done.model_dump()], indexes=[])
    report = await optimize(job, dry_run=False)
    assert [(one.table, one.dead_after > 0) for one in report.tables] == [
        ("maintenance_a", True),
        ("maintenance_b", False),
    ]
    assert report.gained > 10**11


@on_postgres
async def test_a_server_that_goes_away_is_no_tables_fault(postgres: Any) -> None:
    await waste(postgres, "maintenance_waste")

    async def ends() -> None:
        async with other(postgres) as session:
            await session.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE application_name = 'hopyard upkeep' AND datname = current_database()"
            )

    class Ends(type(postgres.job())):  # type: ignore[misc]
        def progress(self, *args: Any) -> None:
            self.told.append("x")

        async def save(self, **values: Any) -> None:
            raise AssertionError

    job = Ends()
    from hopyard_maintenance.database import postgres as work

    real = work._work

    async def cut(*given: Any) -> None:
        await ends()
        await real(*given)

    work._work = cut  # type: ignore[assignment]
    try:
        with pytest.raises(LedgerUnavailable):
            await optimize(job, dry_run=False)
    finally:
        work._work = real
    assert await postgres.rows("SELECT name FROM maintenance_turn") == []


@on_postgres
async def test_what_a_broken_reindex_left_is_removed(postgres: Any) -> None:
    async with other(postgres) as session:
        await session.execute("CREATE TABLE maintenance_twice (n integer)")
        await session.execute("INSERT INTO maintenance_twice VALUES (1), (1)")
        for name in ("maintenance_twice_n_ccnew", "maintenance_twice_n"):
            with pytest.raises(asyncpg.UniqueViolationError):
                await session.execute(f"CREATE UNIQUE INDEX CONCURRENTLY {name} ON maintenance_twice (n)")
    report = await optimize(postgres.job(), dry_run=False)
    assert [(one.index, one.done, one.problem) for one in report.indexes] == [
        ("maintenance_twice_n_ccnew", indexes.REMOVE, None)
    ]
    left = await postgres.rows("SELECT indexname FROM pg_indexes WHERE tablename = 'maintenance_twice'")
    assert left == [{"indexname": "maintenance_twice_n"}]  # invalid, but of somebody's own making


@on_postgres
async def test_what_a_reindex_leaves_that_fails_is_removed_at_once(postgres: Any) -> None:
    async with other(postgres) as session:
        await session.execute("CREATE TABLE maintenance_twice (n integer)")
        await session.execute("INSERT INTO maintenance_twice VALUES (1), (1)")
        with pytest.raises(asyncpg.UniqueViolationError):
            await session.execute("CREATE UNIQUE INDEX CONCURRENTLY n_ccnew1 ON maintenance_twice (n)")
    one = IndexUpkeep(
        index="gone", table="maintenance_twice", done=indexes.REBUILD, bytes_before=1, bytes_after=1
    )
    async with storage.upkeep() as connection:
        await indexes.work(connection, one)
    assert '"gone" does not exist' in str(one.problem)
    assert await postgres.rows("SELECT 1 AS n FROM pg_indexes WHERE indexname = 'n_ccnew1'") == []


@on_postgres
async def test_bloated_indexes_are_built_anew_where_the_operator_wants_it(postgres: Any) -> None:
    await waste(postgres, "maintenance_waste", 50_000)
    assert (await optimize(postgres.job(), dry_run=False)).indexes == []
    postgres.set(optimize={"reindex": True, "reindex_bytes": 100_000})
    report = await optimize(postgres.job(), dry_run=False)
    (one,) = report.indexes
    assert (one.index, one.done, one.problem) == ("maintenance_waste_pkey", indexes.REBUILD, None)
    assert one.bytes_after < one.bytes_before / 5
    assert (await plan()).indexes == []


@on_postgres
async def test_sound_indexes_are_left_alone(postgres: Any) -> None:
    async with other(postgres) as session:
        await session.execute("CREATE TABLE maintenance_full (name text PRIMARY KEY, kind text)")
        await session.execute(
            "INSERT INTO maintenance_full SELECT md5(CAST(n AS text)), 'same' "
            "FROM generate_series(1, 50000) n"
        )
        await session.execute("CREATE INDEX ON maintenance_full (kind)")  # one value, stored once
        await session.execute("CREATE INDEX ON maintenance_full (lower(name))")
        await session.execute("VACUUM ANALYZE maintenance_full")
    postgres.set(optimize={"reindex": True, "reindex_bytes": 0, "reindex_share": 0.5})
    assert [one.index for one in (await plan()).indexes if "full" in one.index] == []


@on_postgres
async def test_a_reindex_that_waits_too_long_leaves_nothing_behind(postgres: Any) -> None:
    await waste(postgres, "maintenance_waste", 50_000)
    await optimize(postgres.job(), dry_run=False)
    postgres.set(optimize={"reindex": True, "reindex_bytes": 100_000, "lock_seconds": 0.2})
    async with other(postgres) as session, session.transaction():
        await session.execute("UPDATE maintenance_waste SET told = 'y' WHERE name = 'n99'")
        report = await optimize(postgres.job(), dry_run=False)
    assert "lock timeout" in str(report.indexes[0].problem)
    await optimize(postgres.job(), dry_run=False)
    names = await postgres.rows("SELECT indexname FROM pg_indexes WHERE tablename = 'maintenance_waste'")
    assert names == [{"indexname": "maintenance_waste_pkey"}]


@on_postgres
async def test_behind_a_pooler_it_wants_the_servers_address(postgres: Any, pgbouncer_url: str) -> None:
    pooler = urlunsplit(urlsplit(pgbouncer_url)._replace(path=urlsplit(postgres.hopyard.database_url).path))
    postgres.set(optimize={"database_url": pooler})
    with pytest.raises(LedgerError, match="Give the address of the server itself"):
        await plan()
    postgres.set(optimize={"database_url": postgres.hopyard.database_url})
    assert (await plan()).database == "PostgreSQL"


# --- SQLite


def fill(installed: Any, rows: int = 3000, kept: int = 100) -> str:
    """Have a file that is mostly free pages; return its path."""
    path = sqlite_path(installed.hopyard.database_url)
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("BEGIN")
    connection.execute("CREATE TABLE IF NOT EXISTS maintenance_waste (n integer PRIMARY KEY, told text)")
    connection.executemany(
        "INSERT INTO maintenance_waste (told) VALUES (?)", [("x" * 1000,) for _ in range(rows)]
    )
    connection.execute("DELETE FROM maintenance_waste WHERE n > ?", (kept,))
    connection.execute("COMMIT")
    connection.close()
    return path


@on_sqlite
async def test_free_pages_go_back_to_the_disk(lite: Any) -> None:
    path = fill(lite)
    report = await optimize(lite.job(), dry_run=False)
    assert report.left == []
    assert [step.split(":")[0] for step in report.done] == ["analyze", "vacuum", "empty the log"]
    assert report.gained > 2_000_000
    assert os.path.getsize(path) < 1_000_000
    assert os.path.getsize(f"{path}-wal") < 100_000
    assert len(await lite.rows("SELECT n FROM maintenance_waste")) == 100
    again = await optimize(lite.job(), dry_run=False)
    assert [step.split(":")[0] for step in again.done] == ["analyze", "empty the log"]


@on_sqlite
async def test_a_file_that_frees_pages_by_itself_does_it_in_steps(lite: Any) -> None:
    path = sqlite_path(lite.hopyard.database_url)
    await lite.hopyard.close()
    connection = sqlite3.connect(path, isolation_level=None)
    for statement in ("journal_mode = DELETE", "auto_vacuum = 2"):
        connection.execute(f"PRAGMA {statement}")
    connection.execute("VACUUM")
    connection.close()
    fill(lite)
    lite.set(optimize={"vacuum_share": 0.1})
    report = await optimize(lite.job(), dry_run=False)
    assert any(step.startswith("give back free pages") for step in report.done)
    assert report.gained > 2_000_000


@on_sqlite
async def test_a_plan_leaves_the_file_as_it_is(lite: Any) -> None:
    path = fill(lite)
    before = os.path.getsize(path)
    report = await plan()
    assert [step.split(":")[0] for step in report.done] == ["analyze", "vacuum"]
    assert report.gained == 0
    assert os.path.getsize(path) == before > 2_000_000


@on_sqlite
async def test_a_large_file_is_not_rewritten_while_workers_run(lite: Any) -> None:
    fill(lite)
    lite.set(optimize={"vacuum_max_bytes": 1_000_000})
    report = await optimize(lite.job(), dry_run=False)
    assert len(report.left) == 1
    assert "more than 1000000 (`vacuum_max_bytes`) are not rewritten while workers run" in report.left[0]


@on_sqlite
async def test_a_full_disk_is_not_filled_up(lite: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    class Full:
        free = 1000

    fill(lite)
    monkeypatch.setattr(sqlite.shutil, "disk_usage", lambda path: Full)
    report = await optimize(lite.job(), dry_run=False)
    assert "and 1000 are free" in report.left[0]


@on_sqlite
async def test_a_writer_is_not_waited_for_long(lite: Any) -> None:
    fill(lite)
    lite.set(optimize={"lock_seconds": 0.1})
    async with storage.upkeep() as holder:
        await holder.fetch("BEGIN IMMEDIATE")
        async with storage.upkeep(lock_seconds=0.1) as connection:
            report = await sqlite.optimize(connection, lite.settings.optimize, None, dry_run=False)
        await holder.fetch("ROLLBACK")
    assert len(report.left) == 2
    assert all("database is locked" in reason for reason in report.left)


@on_sqlite
async def test_a_vacuum_that_would_hold_the_lock_too_long_is_rolled_back(lite: Any) -> None:
    path = fill(lite, rows=60_000, kept=40_000)
    size = os.path.getsize(path)
    async with storage.upkeep(statement_seconds=0.01) as connection:
        report = await sqlite.optimize(
            connection, lite.settings.optimize.model_copy(update={"vacuum_share": 0.1}), None, dry_run=False
        )
    assert any("longer than 0.01 s, and was rolled back" in reason for reason in report.left)
    assert os.path.getsize(path) >= size
    async with storage.transaction() as tx:  # nobody holds the lock
        assert len(await tx.fetch("SELECT n FROM maintenance_waste")) == 40_000


@on_sqlite
async def test_a_damaged_file_is_said(lite: Any) -> None:
    path = fill(lite, kept=2000)
    lite.set(optimize={"integrity_check": True})
    report = await optimize(lite.job(), dry_run=False)
    assert report.done[0] == "check the file: in order"
    await lite.hopyard.close()
    with open(path, "r+b") as file:
        for place in range(300_000, 600_000, 4096):
            file.seek(place)
            file.write(b"\xff" * 512)
    with pytest.raises(LedgerError, match=r"damaged|malformed"):
        await plan_of_check(lite)


async def plan_of_check(lite: Any) -> None:
    async with storage.upkeep() as connection:
        await sqlite.optimize(connection, lite.settings.optimize, None, dry_run=False)


@on_sqlite
async def test_statistics_make_no_plan_worse(lite: Any) -> None:
    """The claim finds its rows by their ids, whatever the tables looked like when they were analyzed."""
    await optimize(lite.job(), dry_run=False)
    statement = (
        "EXPLAIN QUERY PLAN UPDATE job_live SET state = 2 WHERE id IN (SELECT value FROM json_each($1)) "
        "AND state = 1"
    )
    async with storage.upkeep() as connection:
        rows = await connection.fetch(statement, "[]")
    assert not [row["detail"] for row in rows if row["detail"].startswith("SCAN job_live")]


# --- both


async def test_one_job_at_a_time(installed: Any) -> None:
    first = installed.job()
    now = installed.hopyard.client().database.dialect.now
    await installed.execute(
        "INSERT INTO job_live (id, task, queue, priority, state, body, headers, created) "
        f"VALUES ($1, 'x.y', 'x', 5, 2, '[]', '', {now})",
        first.id,
    )
    async with turn("optimize_database", first):
        with pytest.raises(TransientError, match="is at it"):
            await optimize(installed.job(), dry_run=False)
        assert (await optimize(installed.job(), dry_run=True)).dry_run
