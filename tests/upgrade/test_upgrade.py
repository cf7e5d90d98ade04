"""A ledger that an earlier release has written comes to today's tables, and the jobs in it run."""

from __future__ import annotations

import asyncio
import sqlite3
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import pytest
from hopyard import current
from hopyard.ledger import migrations
from hopyard.ledger.engine import create_engine
from servers import fresh_database
from sites import Site
from sqlalchemy import inspect
from upgrade.site import HOPFILE, id_of

HERE = Path(__file__).parent
RELEASES = sorted({file.name.rsplit("-", 1)[0] for file in HERE.glob("*.sql")})
HISTORIES = {
    migrations.CORE: migrations.CORE_PACKAGE,
    "ai": "hopyard_ai.migrations",
    "maintenance": "hopyard_maintenance.migrations",
}


@pytest.fixture(params=["sqlite", "postgresql"])
def empty(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    """Makes URLs of empty databases."""

    def make(name: str) -> str:
        if request.param == "sqlite":
            return f"sqlite:///{tmp_path / name}.db"
        return fresh_database(request.getfixturevalue("postgres_url"))

    return make


@pytest.fixture(params=RELEASES)
async def old(request: pytest.FixtureRequest, empty: Any) -> str:
    """The URL of a database as an earlier release left it."""
    url: str = empty("old")
    kind = "sqlite" if url.startswith("sqlite") else "postgresql"
    text = (HERE / f"{request.param}-{kind}.sql").read_text()
    if kind == "sqlite":
        with sqlite3.connect(url.removeprefix("sqlite:///")) as connection:
            connection.executescript(text)
        connection.close()
    else:
        import asyncpg

        plain = urlunsplit(urlsplit(url)._replace(scheme="postgresql"))
        connection = await asyncpg.connect(plain)
        await connection.execute(text)
        await connection.close()
    return url


async def tables(url: str) -> dict[str, Any]:
    """Return all that a database says of its tables and views."""

    def reflect(connection: Any) -> dict[str, Any]:
        look = inspect(connection)
        found: dict[str, Any] = {
            name: [
                [{**column, "type": repr(column["type"])} for column in look.get_columns(name)],
                look.get_pk_constraint(name),
                sorted(_plain(index) for index in look.get_indexes(name)),
                look.get_table_options(name) if connection.dialect.name == "postgresql" else None,
            ]
            for name in look.get_table_names()
        }
        columns = {name: [c["name"] for c in look.get_columns(name)] for name in look.get_view_names()}
        return found | columns

    engine = create_engine(url)
    async with engine.begin() as connection:
        found = await connection.run_sync(reflect)
    await engine.dispose()
    return found


def _plain(index: Any) -> list[str]:
    options = {name: str(value) for name, value in index.get("dialect_options", {}).items()}
    return [str(index["name"]), *index["column_names"], str(index["unique"]), str(options)]


async def test_it_comes_to_exactly_todays_tables(old: str, empty: Any) -> None:
    new = empty("new")
    fresh = await migrations.upgrade(new, HISTORIES)
    done = await migrations.upgrade(old, HISTORIES)
    assert [one.error for one in done.values()] == [None] * 3
    assert done["hopyard"].before == "0001"
    assert {owner: one.after for owner, one in done.items()} == {o: one.after for o, one in fresh.items()}
    assert await tables(old) == await tables(new)


async def test_the_jobs_in_it_run(old: str, valkey_url: str, tmp_path: Path) -> None:
    allow = '[plugins]\nallow = ["ai", "maintenance", "site"]\n'
    site = Site(tmp_path / "site", broker=valkey_url, database=old, hopfile=HOPFILE, extra=allow)
    try:
        await site.hopyard.upgrade()
        before = await site.rows("SELECT id, state, result, reason, person FROM job_history")
        assert len(before) == 4
        await site.worker("--queues", "site", stock=False)

        async def result(name: str) -> Any:
            return await site.result(site.hopyard.handle(id_of(name)))

        for name in ("queued", "delayed", "retrying", "unique", "child", "part"):
            assert await result(name) == [name, {}, None]
        assert await result("running") == ["running", {"page": 7}, None]  # its worker is gone
        assert await result("effect") == ["effect", {}, "sent by the old release"]
        assert await result("succeeded") == {"n": 1}
        rows = await site.rows("SELECT id, state FROM job_live WHERE queue <> 'ai' ORDER BY state")
        assert {str(row["id"]): row["state"] for row in rows} == {id_of("far"): 0, id_of("parked"): 4}
        assert len(await site.rows("SELECT 1 FROM ai_request")) == 2
        from hopyard.schedule import store

        async with site.hopyard.client().database.transaction() as tx:
            names = {one.schedule.name for one in await store.listed(tx)}
        assert {"after", "minutely"} < names
    finally:
        await asyncio.to_thread(site.stop)
        await site.hopyard.close()
        current.set_instance(None)
