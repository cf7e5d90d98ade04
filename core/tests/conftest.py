"""A migrated ledger on each of the two databases."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import importlib_metadata
import pytest
from canvases import Canvas
from engines import Lab, Worker, lab_in
from hopyard.ledger import migrations, workers
from hopyard.ledger.database import Database, open_database
from hopyard.ledger.values import Claim, NewJob, new_id
from hopyard.loading import Plugins, load_plugins
from hopyard.settings import Settings
from ledgers import migrated
from plugin_files import Install, installing

if TYPE_CHECKING:
    from web_lab import Port, Web


@pytest.fixture(params=["sqlite", "postgresql"])
async def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of a fresh ledger with the newest tables."""
    return await migrated(
        {migrations.CORE: migrations.CORE_PACKAGE},
        file=tmp_path / "ledger.db",
        server=None if request.param == "sqlite" else request.getfixturevalue("postgres_url"),
    )


@pytest.fixture
async def connect(database_url: str) -> AsyncIterator[Callable[[], Database]]:
    """Opens one more connection to the ledger, as another process would."""
    async with contextlib.AsyncExitStack() as stack:

        def connect() -> Database:
            database = open_database(database_url)
            stack.push_async_callback(database.close)
            return database

        yield connect


@pytest.fixture
async def database(connect: Callable[[], Database]) -> Database:
    """A fresh ledger."""
    return connect()


@pytest.fixture
async def ledger(database: Database) -> Ledger:
    """A fresh ledger with short ways to say what tests say often."""
    return Ledger(database)


class Ledger:
    """A ledger and the words of its tests."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.claims = 0

    @staticmethod
    def new(**values: Any) -> NewJob:
        """Return a job with plain values for what a test does not say."""
        plain: dict[str, Any] = {
            "id": new_id(),
            "task": "site.echo",
            "queue": "q",
            "priority": 5,
            "body": '[[], {"n": 1}, null]',
            "headers": "{}",
        }
        return NewJob(**(plain | values))

    async def job(self, **values: Any) -> str:
        """Submit one job; return its id."""
        made = self.new(**values)
        assert (await self.database.submit([made])).new == {made.id}
        return made.id

    async def worker(
        self,
        name: str = "worker@here",
        lease: float = 15.0,
        queue: str = "q",
        plugins: dict[str, str] | None = None,
    ) -> int:
        """Register a worker; return its number."""
        return await workers.register(
            self.database, name=name, role="worker", queues=[queue], plugins=plugins or {}, lease=lease
        )

    async def claim(self, worker: int, *ids: str) -> list[Claim]:
        """Claim under the next counter."""
        self.claims += 1
        return [*await self.database.claim(ids, worker, self.claims)]

    async def running(self, worker: int, **values: Any) -> Claim:
        """Submit and claim one job."""
        (claim,) = await self.claim(worker, await self.job(**values))
        return claim

    async def row(self, id_: str) -> dict[str, Any] | None:
        """Return a live row; None if there is none."""
        return await self._one("job_live", id_)

    async def past(self, id_: str) -> dict[str, Any] | None:
        """Return a row of history; None if there is none."""
        return await self._one("job_history", id_)

    async def _one(self, table: str, id_: str) -> dict[str, Any] | None:
        rows = await self.database.fetch(f"SELECT * FROM {table} WHERE id = $1", id_)
        return {key: rows[0][key] for key in rows[0].keys()} if rows else None  # noqa: SIM118

    async def checkpoint(self, id_: str) -> Any:
        """Return what a job has saved; None if nothing."""
        rows = await self.database.fetch("SELECT data FROM job_checkpoint WHERE job_id = $1", id_)
        return json.loads(rows[0]["data"]) if rows else None

    async def outbox(self) -> set[str]:
        """Return the ids for which nobody has rung."""
        return {str(row["id"]) for row in await self.database.fetch("SELECT id FROM job_outbox")}

    async def later(self, table: str, column: str, seconds: float) -> None:
        """Make the times in a column earlier, as if so many seconds had passed."""
        moved = self.database.dialect.plus(column, "$1")
        await self.database.execute(f"UPDATE {table} SET {column} = {moved}", -seconds)

    async def count(self, table: str) -> int:
        """Return how many rows a table has."""
        return int((await self.database.fetch(f"SELECT count(*) AS n FROM {table}"))[0]["n"])


@pytest.fixture
def until() -> Callable[[Callable[[], bool]], Any]:
    """Waits until something is true, at most a minute."""

    async def wait(true: Callable[[], bool]) -> None:
        async with asyncio.timeout(60):
            while not true():
                await asyncio.sleep(0.01)

    return wait


@pytest.fixture
async def lab(valkey_url: str, database_url: str, ledger: Ledger, tmp_path: Path) -> AsyncIterator[Lab]:
    """An installation whose worker's engine runs in the tests' process."""
    async with lab_in(tmp_path, valkey_url, database_url, ledger) as made:
        yield made


@pytest.fixture
async def web(lab: Lab) -> AsyncIterator[Web]:
    """The HTTP API of that installation, with a key of each role and scope."""
    from web_lab import web_on  # it needs the extra `web`, which not everybody who runs these tests has

    async with web_on(lab) as made:
        yield made


@pytest.fixture
async def port(web: Web) -> AsyncIterator[Port]:
    """The same behind a real server."""
    from web_lab import served_on_a_port

    async with served_on_a_port(web) as made:
        yield made


@pytest.fixture
def canvas(lab: Lab) -> Canvas:
    """Celery's canvas, applied to that installation."""
    return Canvas(lab)


@pytest.fixture
async def worker(lab: Lab) -> Worker:
    """A worker of that installation which takes messages already."""
    made = await lab.worker()
    made.fetch()
    return made


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Install]:
    """Puts a distribution with one entry point into a folder on the path, as an installer would."""
    monkeypatch.syspath_prepend(str(tmp_path))
    with installing(tmp_path) as put:
        yield put


@pytest.fixture
def load_installed(tmp_path: Path) -> Callable[..., Plugins]:
    def load(settings: Settings | None = None, **options: Any) -> Plugins:
        distributions: Any = list(importlib_metadata.distributions(path=[str(tmp_path)]))
        return load_plugins(settings or Settings(), role="cli", distributions=distributions, **options)

    return load
