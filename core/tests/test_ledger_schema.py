"""The tables: what migrations make, what the planner does with them, and the two promised views."""

from __future__ import annotations

import asyncio
import json
import re
from typing import Any

import pytest
from hopyard.ledger import migrations, notes, postgres, waiting
from hopyard.ledger import postgres_statements as sql
from hopyard.ledger.database import Database, open_database
from hopyard.ledger.engine import create_engine
from hopyard.ledger.tables import metadata
from hopyard.ledger.values import Again, Done, Progress, new_id, utcnow
from hopyard.specs import State
from sqlalchemy import inspect

CORE = {migrations.CORE: migrations.CORE_PACKAGE}


@pytest.fixture
def on_postgres(database: Database) -> Database:
    """PostgreSQL only: what is said of its planner."""
    if database.dialect.name != "postgresql":
        pytest.skip("says something of PostgreSQL")
    return database


# --- migrations


async def test_the_sum_of_all_migrations_is_what_the_program_expects(database_url: str) -> None:
    from alembic.autogenerate import compare_metadata
    from alembic.migration import MigrationContext

    def compare(connection: Any) -> list[Any]:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        return [
            difference
            for difference in compare_metadata(context, metadata)
            if not str(getattr(difference[-1], "name", "")).startswith("hopyard_version_")
        ]

    engine = create_engine(database_url)
    async with engine.begin() as connection:
        assert await connection.run_sync(compare) == []
    await engine.dispose()


async def test_an_upgrade_of_an_upgraded_database_does_nothing(database_url: str) -> None:
    newest = migrations.head(migrations.CORE_PACKAGE)
    assert await migrations.upgrade(database_url, CORE) == {"hopyard": (newest, newest, None)}


async def test_what_is_missing_is_named(database: Database) -> None:
    assert await migrations.faults(database, CORE) == {}
    await database.execute(f"DELETE FROM {migrations.version_table('hopyard')}")
    assert "hopyard db upgrade" in str((await migrations.faults(database, CORE))["hopyard"])
    assert "none of new" in str((await migrations.faults(database, {"new": CORE["hopyard"]}))["new"])


async def test_two_upgrades_at_once_migrate_once(request: pytest.FixtureRequest, tmp_path: Any) -> None:
    from servers import fresh_database

    newest = migrations.head(migrations.CORE_PACKAGE)
    for url in (
        f"sqlite:///{tmp_path / 'new.db'}",
        fresh_database(request.getfixturevalue("postgres_url")),
    ):
        both = await asyncio.gather(*(migrations.upgrade(url, CORE) for _ in range(2)))
        assert sorted((done["hopyard"][0] or "") for done in both) == ["", newest]


async def test_a_database_without_tables_says_what_to_do(tmp_path: Any) -> None:
    database = open_database(f"sqlite:///{tmp_path / 'empty.db'}")
    assert "has revision none" in str((await migrations.faults(database, CORE))["hopyard"])
    await database.close()


# --- what keeps the hot path hot


LIVE_INDEXES = {
    *("job_live_queue", "job_live_eta", "job_live_created"),
    *("job_live_parent", "job_live_person", "job_live_schedule"),
}


def test_no_index_names_what_claim_and_finish_change() -> None:
    """Trap 2: one index on `state` and no update of the row is in place any more."""
    table = metadata.tables["job_live"]
    named = {column.name for index in table.indexes for column in index.columns}
    predicates = " ".join(str(index.dialect_options["postgresql"]["where"]) for index in table.indexes)
    changed = {"state", "worker", "claim", "attempt", "crashes", "started", "reason", "cancel", "rung"}
    assert named.isdisjoint(changed)
    assert not [column for column in changed if column in predicates]
    assert {index.name for index in table.indexes} == LIVE_INDEXES


async def test_the_database_has_no_further_indexes(database_url: str) -> None:
    engine = create_engine(database_url)

    def indexes(connection: Any) -> set[str]:
        return {str(index["name"]) for index in inspect(connection).get_indexes("job_live")}

    async with engine.begin() as connection:
        assert await connection.run_sync(indexes) == LIVE_INDEXES
    await engine.dispose()


async def test_claims_use_the_primary_key_whatever_the_statistics_say(
    on_postgres: Database, ledger: Any
) -> None:
    """Trap 1: statistics from a time without a backlog must not make claims slow when there is one."""
    worker = await ledger.worker()
    finished = [ledger.new() for _ in range(2000)]
    await on_postgres.submit(finished)
    await on_postgres.execute("ANALYZE job_live")
    backlog = [ledger.new(id=new_id()) for _ in range(5000)]
    await on_postgres.submit(backlog)
    ids = [job.id for job in backlog[:64]]
    rows = await on_postgres.fetch("EXPLAIN " + sql.CLAIM, ids, worker, 1)
    plan = "\n".join(row["QUERY PLAN"] for row in rows)
    assert "job_live_pkey" in plan
    assert "Seq Scan on job_live" not in plan
    assert "job_live_queue" not in plan


@pytest.mark.parametrize("name", ["CLAIM", "FINISH", "AGAIN", "HEARD"])
async def test_a_plan_made_for_an_empty_table_is_good_for_a_full_one(
    on_postgres: Database, name: str
) -> None:
    """It is kept: one that reads the whole table would cost nothing now, and everything once it is full."""
    statement: str = getattr(sql, name)
    nothing = ", ".join(["NULL"] * max(int(n) for n in re.findall(r"\$(\d+)", statement)))
    await on_postgres.execute("ANALYZE job_live")
    await on_postgres.execute("ANALYZE job_outbox")
    async with on_postgres.transaction() as tx:
        await tx.execute("SET LOCAL plan_cache_mode = force_generic_plan")
        await tx.execute(f"PREPARE kept AS {statement}")
        rows = await tx.fetch(f"EXPLAIN EXECUTE kept({nothing})")
        await tx.execute("DEALLOCATE kept")
    plan = "\n".join(row["QUERY PLAN"] for row in rows)
    table = "job_outbox" if name == "HEARD" else "job_live"
    assert re.search(rf"Index (Only )?Scan (using|on) {table}_pkey", plan), plan
    assert f"Seq Scan on {table}" not in plan
    assert "Index Cond: (id = ANY ($1))" in plan, f"all of the index would be read: {plan}"


async def test_connections_that_the_server_closed_are_replaced_unnoticed(
    on_postgres: Database, ledger: Any
) -> None:
    """Also the one that is kept for the next statement: of a restart while it was idle nobody hears."""
    other = open_database(on_postgres._dsn)  # type: ignore[attr-defined]
    mine = "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
    try:
        await ledger.job()
        assert await other.fetch(mine)
        await other.fetch(f"SELECT pg_terminate_backend(pid) FROM ({mine}) AS mine")
        kept = on_postgres._parked  # type: ignore[attr-defined]
        while not postgres._is_closed(kept):
            await asyncio.sleep(0.01)
        assert await ledger.job()
    finally:
        await other.close()


async def test_finishing_uses_the_primary_key(on_postgres: Database, ledger: Any) -> None:
    await on_postgres.submit([ledger.new(headers="{}" + " " * 1000) for _ in range(5000)])
    await on_postgres.execute("ANALYZE job_live")
    width = 64
    columns = [[new_id()] * width, [1] * width, [5] * width, *([["x"] * width] * 3)]
    rows = await on_postgres.fetch("EXPLAIN " + sql.FINISH, *columns, 1)
    plan = "\n".join(row["QUERY PLAN"] for row in rows)
    assert "job_live_pkey" in plan
    assert "Seq Scan on job_live" not in plan


async def test_updates_of_the_hot_path_are_in_place(on_postgres: Database, ledger: Any) -> None:
    """Trap 2, measured: claims touch no index."""
    worker = await ledger.worker()
    jobs = [ledger.new() for _ in range(100)]
    await on_postgres.submit(jobs)
    assert len(await ledger.claim(worker, *(job.id for job in jobs))) == 100

    async def counted() -> tuple[int, int]:
        rows = await on_postgres.fetch(
            "SELECT n_tup_upd, n_tup_hot_upd FROM pg_stat_user_tables WHERE relname = 'job_live'"
        )
        return rows[0]["n_tup_upd"], rows[0]["n_tup_hot_upd"]

    deadline = asyncio.get_running_loop().time() + 20  # backends report their counters now and then
    while (now := await counted())[0] < 100 and asyncio.get_running_loop().time() < deadline:
        await asyncio.gather(*(on_postgres.fetch("SELECT pg_stat_force_next_flush()") for _ in range(6)))
    # A page holds as many new versions as fit; with an index on `state` it would be none at all.
    assert now[0] == 100
    assert now[1] >= 50


async def test_a_statement_is_prepared_once(on_postgres: Database, ledger: Any) -> None:
    """Trap 5 is the pooler's; here the driver's cache must not be emptied by a reset between uses."""
    worker = await ledger.worker()
    for _ in range(3):
        await ledger.running(worker)
    rows = await on_postgres.fetch(
        "SELECT count(*) AS n FROM pg_prepared_statements WHERE statement = $1",
        sql.CLAIM,
    )
    assert rows[0]["n"] == 1


async def test_a_claims_commit_alone_does_not_wait_for_the_disk(on_postgres: Database, ledger: Any) -> None:
    worker, job = await ledger.worker(), ledger.new()
    await on_postgres.submit([job])
    shown = "SELECT current_setting('synchronous_commit') AS it"
    async with on_postgres.transaction() as tx:
        assert len(await tx.fetch(sql.CLAIM, [job.id], worker, 1)) == 1
        assert (await tx.fetch(shown))[0]["it"] == "off"
    assert (await on_postgres.fetch(shown))[0]["it"] == "on"


# --- views


async def test_the_view_of_active_tasks_has_state_and_progress(ledger: Any) -> None:
    database, worker = ledger.database, await ledger.worker()
    waiting_, claim = await ledger.job(), await ledger.running(worker)
    await notes.write_progress(database, [Progress(claim.id, 1, 4, "one of four", utcnow())])
    rows = {str(row["task_id"]): row for row in await database.fetch("SELECT * FROM active_task_progress")}
    assert rows.keys() == {waiting_, claim.id}
    assert (rows[waiting_]["state"], rows[waiting_]["percentage"]) == ("queued", None)
    running = rows[claim.id]
    assert (running["state"], running["percentage"], running["message"]) == ("running", 25.0, "one of four")
    assert running["updated_at"] is not None
    assert running["started_at"] is not None


async def test_the_overview_counts_how_jobs_ended(ledger: Any) -> None:
    database, worker = ledger.database, await ledger.worker()
    for state in (State.SUCCEEDED, State.SUCCEEDED, State.SUCCEEDED, State.DEAD):
        claim = await ledger.running(worker, task="site.a")
        await database.finish([Done(claim.id, claim.claim, state, None, None, None)], worker)
    id_ = await ledger.job(task="site.b")
    for n in range(2):
        (claim,) = await ledger.claim(worker, id_)
        if n == 0:
            await database.again([Again(id_, claim.claim, utcnow(), "", "{}")], worker)
            await waiting.promote(database)
    await database.finish([Done(id_, claim.claim, State.SUCCEEDED, None, None, None)], worker)
    rows = {row["task"]: row for row in await database.fetch("SELECT * FROM task_performance_overview")}
    a, b = rows["site.a"], rows["site.b"]
    assert (a["jobs"], a["succeeded"], a["dead"], a["cancelled"]) == (4, 3, 1, 0)
    assert float(a["success_rate"]) == 0.75
    assert float(a["average_retries"]) == 0
    assert float(b["average_retries"]) == 1
    assert 0 <= float(a["average_seconds"]) <= float(a["longest_seconds"]) < 60
    assert a["last_finished_at"] is not None


# --- SQLite


async def test_sqlite_survives_a_power_cut_by_its_settings(tmp_path: Any) -> None:
    """Trap 10: WAL with synchronous FULL, on every connection."""
    url = f"sqlite:///{tmp_path / 'x.db'}"
    await migrations.upgrade(url, CORE)
    database = open_database(url)
    for pragma, value in (("journal_mode", "wal"), ("synchronous", 2)):
        rows = (
            await database.execute(f"PRAGMA {pragma}"),
            await database._run(  # type: ignore[attr-defined]
                lambda raw, pragma=pragma: raw.execute(f"PRAGMA {pragma}").fetchone()[0]
            ),
        )
        assert rows[1] == value
    await database.close()


async def test_texts_of_a_row_are_plain_json(ledger: Any) -> None:
    """Trap 7: what is stored is text, whatever the database could make of it."""
    worker = await ledger.worker()
    claim = await ledger.running(worker)
    await ledger.database.finish(
        [Done(claim.id, claim.claim, State.SUCCEEDED, '{"a":  [1]}', None, None)], worker
    )
    past = await ledger.past(claim.id)
    assert past["result"] == '{"a":  [1]}'
    assert json.loads(past["body"]) == [[], {"n": 1}, None]
