"""A plugin whose tables are not what its code needs waits with its jobs, and goes on once it is mended."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from hopyard import current
from hopyard.ledger.migrations import version_table
from servers import fresh_database
from sites import Site

HOPFILE = """
from hopyard import Plugin, PluginSettings, Queue, hookimpl, task

@task("site.forecast")
async def forecast(town: str) -> str: return f"sunny in {town}"

class Site(Plugin[PluginSettings]):
    migrations = "site_tables"
    @hookimpl
    def register_queues(self): return [Queue("site", slots=2)]
    @hookimpl
    def register_tasks(self): return [forecast]
"""
REVISION = """
from alembic import op
import sqlalchemy as sa
revision: str = {revision!r}
down_revision: str | None = {before!r}
def upgrade() -> None:
    {body}
"""


def revise(folder: Path, revision: str, before: str | None, body: str = "pass") -> None:
    text = REVISION.format(revision=revision, before=before, body=body)
    (folder / "site_tables" / "versions" / f"{revision}_as_alembic_names_it.py").write_text(text)


@pytest.fixture(params=["sqlite valkey", "postgresql valkey", "sqlite rabbitmq"])
async def site(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Site]:
    """A site whose plugin has tables of its own, brought up to date."""
    database, broker = request.param.split()
    if database == "sqlite":
        url = f"sqlite:///{tmp_path / 'ledger.db'}"
    else:
        url = fresh_database(request.getfixturevalue("postgres_url"))
    (tmp_path / "site_tables" / "versions").mkdir(parents=True)
    (tmp_path / "site_tables" / "__init__.py").touch()
    revise(tmp_path, "a1", None, 'op.create_table("site_town", sa.Column("name", sa.Text))')
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    sys.modules.pop("site_tables", None)
    allow = '[plugins]\nallow = ["site"]\n'
    made = Site(
        tmp_path, broker=request.getfixturevalue(f"{broker}_url"), database=url, hopfile=HOPFILE, extra=allow
    )
    try:
        done = await made.hopyard.upgrade()
        assert done["site"].after == "a1"
        yield made
    finally:
        await asyncio.to_thread(made.stop)
        await made.hopyard.close()
        current.set_instance(None)


def run(site: Site, *arguments: str, status: int = 0) -> Any:
    """Run `hopyard …`; return what it printed as JSON."""
    command = [str(Path(sys.executable).parent / "hopyard"), *arguments]
    ran = subprocess.run(
        command,
        cwd=site.folder,
        env=site.environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert ran.returncode == status, ran.stdout + ran.stderr
    return json.loads(ran.stdout) if "--json" in arguments else ran.stderr


async def parked(site: Site, id_: str) -> str | None:
    rows = await site.rows("SELECT state, reason FROM job_live WHERE id = $1", id_)
    return str(rows[0]["reason"]) if rows and rows[0]["state"] == 4 else None


@pytest.mark.parametrize("stock", [True, False])
async def test_an_upgrade_that_was_forgotten_costs_no_job_and_a_late_one_lets_the_worker_go_on(
    site: Site, stock: bool
) -> None:
    handle = await site.submit("site.forecast", town="Rome")
    revise(site.folder, "b2", "a1")
    process = await site.worker(stock=stock)
    reason = await site.until(lambda: parked(site, handle.id), "the job is parked")
    said = "the database has revision a1 of site, this release needs b2"
    assert said in reason
    (record,) = [
        one for one in await asyncio.to_thread(run, site, "plugins", "--json") if one["name"] == "site"
    ]
    assert record["state"] == "misconfigured"
    assert said in record["reason"]
    assert "hopyard db upgrade" in record["hint"]
    checks = await asyncio.to_thread(run, site, "doctor", "--json", status=1)
    assert said in next(one["detail"] for one in checks if one["check"] == "plugin site")
    await asyncio.to_thread(run, site, "db", "upgrade", "--json")
    assert await site.result(handle) == "sunny in Rome"
    assert await site.result(await site.submit("site.forecast", town="Oslo")) == "sunny in Oslo"
    assert process.poll() is None


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("raise RuntimeError('odd data')", "RuntimeError: odd data"),
        ("import sys; sys.exit(1)", "SystemExit: 1"),
        ("this is no Python", "invalid syntax"),
    ],
)
async def test_a_migration_that_fails_is_told_in_a_line_and_is_mended_without_a_restart(
    site: Site, body: str, said: str
) -> None:
    revise(site.folder, "b2", "a1", body)
    handle = await site.submit("site.forecast", town="Rome")
    error = await asyncio.to_thread(run, site, "db", "upgrade", status=1)
    assert said in error
    assert "Traceback" not in error
    await site.worker(stock=False)
    await site.until(lambda: parked(site, handle.id), "the job is parked")
    revise(site.folder, "b2", "a1")
    await asyncio.to_thread(run, site, "db", "upgrade")
    assert await site.result(handle) == "sunny in Rome"


async def test_a_database_that_is_newer_than_the_plugin_parks_its_jobs(site: Site) -> None:
    handle = await site.submit("site.forecast", town="Rome")
    await site.rows(f"UPDATE {version_table('site')} SET version_num = 'z9' RETURNING version_num")
    await site.worker(stock=False)
    reason = await site.until(lambda: parked(site, handle.id), "the job is parked")
    assert "revision z9 of site, which this release does not know" in reason
