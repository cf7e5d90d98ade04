"""Rows that are over: sessions in tables of the operator's, and the records of old jobs."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hopyard.errors import TransientError
from hopyard.ledger.values import new_id
from hopyard_maintenance import cleanup, records, session_rows
from hopyard_maintenance.turns import turn

NOW = datetime.now(UTC)


async def sessions(installed: Any, kind: str = "timestamp with time zone") -> None:
    """Make a table as web frameworks do, with 700 sessions that are over and 800 that are not."""
    postgres = installed.postgres
    column = kind if postgres or kind == "double precision" else "text"
    await installed.execute(f"CREATE TABLE web_session (id text PRIMARY KEY, expires {column})")
    for name, count, at in (("old", 700, NOW - timedelta(hours=2)), ("new", 800, NOW + timedelta(hours=2))):
        value: Any = at
        if kind == "double precision":
            value = at.timestamp()
        elif not postgres:
            value = f"{at:%Y-%m-%d %H:%M:%S.%f}"
        elif "without" in kind:
            value = at.replace(tzinfo=None)
        async with installed.hopyard.client().database.transaction() as tx:
            await tx.execute_many(
                "INSERT INTO web_session VALUES ($1, $2)", [(f"{name}{n}", value) for n in range(count)]
            )
    await installed.execute("INSERT INTO web_session VALUES ('for ever', NULL)")


@pytest.mark.parametrize(
    ("kind", "holds"),
    [
        ("timestamp with time zone", "time"),
        ("timestamp without time zone", "time"),
        ("double precision", "seconds"),
    ],
)
async def test_sessions_that_are_over_go_in_batches(installed: Any, kind: str, holds: str) -> None:
    await sessions(installed, kind)
    declared = [{"table": "web_session", "column": "expires", "holds": holds}]
    installed.set(session_tables=declared, batch_pause=0)
    dry = await cleanup.sessions(installed.job(), dry_run=True, confirm=None)
    assert [(one.rows, one.due, one.deleted) for one in dry.tables] == [(1501, 700, 0)]
    job = installed.job()
    report = await cleanup.sessions(job, dry_run=False, confirm=None)
    assert [(one.due, one.deleted, one.problem) for one in report.tables] == [(700, 700, None)]
    (left,) = await installed.rows("SELECT count(*) AS n FROM web_session")
    assert left["n"] == 801
    assert len([text for text in job.told if text == "cleaning web_session"]) == 2


async def test_days_of_grace_are_kept(installed: Any) -> None:
    await sessions(installed)
    installed.set(session_tables=[{"table": "web_session", "column": "expires", "days": 1}])
    report = await cleanup.sessions(installed.job(), dry_run=False, confirm=None)
    assert report.tables[0].due == 0


async def test_too_many_sessions_are_refused_until_confirmed(installed: Any) -> None:
    await sessions(installed)
    installed.set(
        session_tables=[{"table": "web_session", "column": "expires"}], max_share=0.3, batch_pause=0
    )
    refused = await cleanup.sessions(installed.job(), dry_run=False, confirm=None)
    assert refused.tables[0].refused is not None
    assert refused.tables[0].deleted == 0
    assert "700 of 1501 rows of web_session are over" in refused.summary
    done = await cleanup.sessions(installed.job(), dry_run=False, confirm=700)
    assert done.tables[0].deleted == 700
    assert await installed.told() == [
        f"cleanup of sessions: web_session on {done.host} is not well",
        f"cleanup of sessions: web_session on {done.host} is well again",
    ]


@pytest.mark.parametrize(
    ("table", "column", "problem"),
    [
        ("job_history", "finished", "is a table of Hopyard's"),
        ("maintenance_sample", "at", "is a table of Hopyard's"),
        ("nothing", "at", "has no table nothing"),
        ("web_session", "nothing", "has no column nothing"),
    ],
)
async def test_a_table_that_is_none_of_theirs_is_refused(
    installed: Any, table: str, column: str, problem: str
) -> None:
    await sessions(installed)
    installed.set(session_tables=[{"table": table, "column": column}], small=0)
    report = await cleanup.sessions(installed.job(), dry_run=False, confirm=10_000)
    assert problem in str(report.tables[0].problem)
    assert report.tables[0].deleted == 0


@pytest.mark.parametrize("table", ["ai_run", "gone_thing", "gone"])
async def test_tables_of_plugins_that_are_not_enabled_are_refused(installed: Any, table: str) -> None:
    """One is installed; another is not, and has left its tables."""
    for name in {"hopyard_version_gone", table}:
        await installed.execute(f"CREATE TABLE {name} (at text)")
    if table == "ai_run" and "ai" not in {one.name for one in installed.hopyard.plugins.records}:
        pytest.skip("the plugin ai is not installed")
    installed.set(session_tables=[{"table": table, "column": "at"}], small=0)
    report = await cleanup.sessions(installed.job(), dry_run=False, confirm=10_000)
    assert "which is not enabled" in str(report.tables[0].problem)


async def test_rows_that_others_refer_to_are_told(installed: Any) -> None:
    await sessions(installed)
    await installed.execute("CREATE TABLE cart (session text REFERENCES web_session (id))")
    await installed.execute("INSERT INTO cart VALUES ('old1')")
    if not installed.postgres:
        await installed.execute(
            "CREATE TRIGGER kept BEFORE DELETE ON web_session WHEN old.id = 'old1' "
            "BEGIN SELECT RAISE(ABORT, 'it is referred to'); END"
        )
    installed.set(session_tables=[{"table": "web_session", "column": "expires"}], batch_pause=0)
    report = await cleanup.sessions(installed.job(), dry_run=False, confirm=10_000)
    assert "Not cleaned up: web_session: " in report.summary
    assert await installed.told() == [f"cleanup of sessions: web_session on {report.host} is not well"]


async def test_an_attempt_goes_on_by_what_places_are_called(installed: Any, tmp_path: Any) -> None:
    """The settings have changed since: what is over is left out, whatever its place in the list."""
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    declared = [{"path": str(tmp_path / name), "patterns": ["*"], "days": 1} for name in ("a", "b")]
    job = installed.job()
    installed.set(logs=declared[1:])
    await cleanup.logs(job, dry_run=False, confirm=None)
    installed.set(logs=declared)
    report = await cleanup.logs(job, dry_run=False, confirm=None)
    assert [one.path for one in report.places] == [str(tmp_path / "b"), str(tmp_path / "a")]


@pytest.mark.parametrize("name", ['a"; DROP TABLE job_live; --', "a b", "", "1a", "x" * 64, "a.b"])
def test_names_are_names(name: str) -> None:
    from hopyard_maintenance.settings import SessionTable
    from pydantic import ValidationError

    for given in ({"table": name, "column": "c"}, {"table": "t", "column": name}):
        with pytest.raises(ValidationError):
            SessionTable(**given)


@pytest.mark.parametrize("installed", ["sqlite"], indirect=True)  # PostgreSQL's columns hold dates or refuse
async def test_what_is_no_date_is_not_over(installed: Any) -> None:
    await installed.execute("CREATE TABLE web_session (expires)")
    for value in (
        "'12:00:00'",
        "7",
        "1.5",
        "'soon'",
        "NULL",
        "'2020-01-01T00:00:00'",
        "'2020-01-01 00:00:00'",
    ):
        await installed.execute(f"INSERT INTO web_session VALUES ({value})")
    report = await session_rows.count(session_rows.SessionTable(table="web_session", column="expires"))
    assert (report.rows, report.due) == (7, 2)


async def test_a_column_of_the_wrong_kind_costs_its_table(installed: Any) -> None:
    await installed.execute("CREATE TABLE web_session (id text, expires bytea)")
    table = session_rows.SessionTable(table="web_session", column="expires")
    report = await session_rows.count(table)
    assert (report.problem is not None) is installed.postgres


async def history(installed: Any, count: int, days: float) -> None:
    """Store records of jobs that ended so many days ago."""
    database = installed.hopyard.client().database
    d = database.dialect
    async with database.transaction() as tx:
        await tx.execute_many(
            "INSERT INTO job_history (id, task, queue, priority, state, body, headers, created, finished) "
            f"VALUES ($1, 'x.y', 'x', 5, 5, '[]', '', {d.now}, {d.minus(d.now, '$2')})",
            [(new_id(), days * 86_400) for _ in range(count)],
        )


async def jobs_left(installed: Any) -> int:
    (row,) = await installed.rows("SELECT count(*) AS n FROM job_history")
    return int(row["n"])


async def test_records_past_their_retention_go_in_batches(installed: Any) -> None:
    installed.set(batch_pause=0)
    await history(installed, 1200, 40)
    await history(installed, 1300, 1)
    plan = await records.plan(None, None)
    found = {one.table: one for one in plan.tables}
    assert (found["job_history"].rows, found["job_history"].due) == (2500, 1200)
    assert await jobs_left(installed) == 2500
    job = installed.job()
    report = await records.clean(job, progress_days=None, results_days=None, confirm=None)
    assert {one.table: one.deleted for one in report.tables}["job_history"] == 1200
    assert await jobs_left(installed) == 1300
    assert len(job.told) == 3  # 500, 500, 200
    assert await installed.rows("SELECT name FROM maintenance_turn") == []


async def test_a_record_cleanup_that_would_take_too_much_is_refused(installed: Any) -> None:
    installed.set(batch_pause=0)
    await history(installed, 300, 10)
    await history(installed, 100, 1)
    refused = await records.clean(installed.job(), progress_days=None, results_days=5, confirm=None)
    assert "300 of 400 rows of job_history are past their retention" in refused.summary
    assert await jobs_left(installed) == 400
    too_few = await records.clean(installed.job(), progress_days=None, results_days=5, confirm=299)
    assert too_few.due == 300
    assert await jobs_left(installed) == 400
    done = await records.clean(installed.job(), progress_days=None, results_days=5, confirm=300)
    assert {one.table: one.deleted for one in done.tables}["job_history"] == 300
    assert await jobs_left(installed) == 100


async def test_after_a_death_the_count_goes_on(installed: Any) -> None:
    installed.set(batch_pause=0)
    await history(installed, 700, 40)
    await history(installed, 800, 1)
    job = installed.job()
    await job.save(
        report=(await records.plan(None, None)).model_dump(exclude={"due", "summary"}),
        gone={"job_history": 500},
    )
    await installed.execute(
        "DELETE FROM job_history WHERE id IN (SELECT id FROM job_history ORDER BY finished LIMIT 500)"
    )
    report = await records.clean(job, progress_days=None, results_days=None, confirm=None)
    assert {one.table: one.deleted for one in report.tables}["job_history"] == 700


async def test_one_at_a_time(installed: Any) -> None:
    """A turn is its job's, until that is over."""
    first, second = installed.job(), installed.job()
    database = installed.hopyard.client().database
    await installed.execute(
        "INSERT INTO job_live (id, task, queue, priority, state, body, headers, created) "
        f"VALUES ($1, 'x.y', 'x', 5, 2, '[]', '', {database.dialect.now})",
        first.id,
    )

    async def dies() -> None:
        async with turn("x", first):
            raise KeyboardInterrupt

    async with turn("x", first):
        with pytest.raises(TransientError, match=f"the job {first.id} is at it"):
            async with turn("x", second):
                pass
        async with turn("y", second), turn("x", first):
            pass
    async with turn("x", second):
        pass
    with pytest.raises(KeyboardInterrupt):
        await dies()
    # One whose worker died leaves its row; the next job takes it once the first is over.
    await installed.execute(
        "INSERT INTO maintenance_turn (name, job_id, attempt, since) "
        f"VALUES ('x', $1, 1, {database.dialect.now})",
        first.id,
    )
    with pytest.raises(TransientError):
        async with turn("x", second):
            pass
    await installed.execute("DELETE FROM job_live")
    async with turn("x", second):
        pass
    assert await installed.rows("SELECT name FROM maintenance_turn") == []


async def test_an_attempt_that_was_given_up_ends_no_turn(installed: Any) -> None:
    job = installed.job()
    given_up = turn("x", job)
    await given_up.__aenter__()
    again = installed.job(job.id)
    again.attempt = 2
    async with turn("x", again):
        await given_up.__aexit__(None, None, None)
        (row,) = await installed.rows("SELECT attempt FROM maintenance_turn")
        assert row["attempt"] == 2
    assert await installed.rows("SELECT name FROM maintenance_turn") == []
