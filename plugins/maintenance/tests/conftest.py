"""Installations with the maintenance plugin, on both databases, and a listener in the place of a person."""

from __future__ import annotations

import json
import threading
from collections.abc import AsyncIterator, Iterable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from hopyard import Hopyard, current
from hopyard.broker.publisher import Publisher
from hopyard.ledger import migrations
from hopyard.ledger.values import QueueMessage, new_id
from hopyard_maintenance import Maintenance, MaintenanceSettings
from ledgers import migrated


class Listener:
    """A person's web hook."""

    def __init__(self) -> None:
        self.told: list[dict[str, Any]] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                outer.told.append(json.loads(body))
                self.send_response(204)
                self.end_headers()

            def log_message(self, *args: Any) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/hook"
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    @property
    def titles(self) -> list[str]:
        """What the person was told, in order."""
        return [message["title"] for message in self.told]

    def close(self) -> None:
        """Stop listening."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@pytest.fixture
def listener() -> Iterator[Listener]:
    """A person's web hook that keeps what it was told."""
    made = Listener()
    yield made
    made.close()


class Silent(Publisher):
    """A broker that nobody listens to: jobs are stored, and run by no worker."""

    async def publish(self, messages: Iterable[QueueMessage]) -> None:
        """Lose them: they are sent again from the ledger one day."""

    async def empty(self, queues: Iterable[str]) -> set[str]:
        """No queue is."""
        return set()

    async def remembers(self, epoch: str) -> bool:
        """It forgets nothing."""
        return True

    async def ping(self) -> None:
        """It is there."""

    async def close(self) -> None:
        """Nothing is open."""

    def abandon(self) -> None:
        """Nothing is open."""


class OneJob:
    """What functions of the plugin ask of their job, on databases on which `Hop` has none."""

    def __init__(self, id_: str | None = None, person: str | None = None) -> None:
        self.id = id_ or new_id()
        self.person = person
        self.attempt = 1
        self.checkpoint: dict[str, Any] = {}
        self.told: list[str] = []

    def progress(self, current: float, total: float | None = None, message: str = "") -> None:
        """Keep the message."""
        self.told.append(message)

    async def save(self, **values: Any) -> None:
        """Keep the values, if they have a JSON form."""
        self.checkpoint = json.loads(json.dumps(self.checkpoint | values))


class Installed:
    """A Hopyard with the plugin on one of the two databases, for tests that call its functions."""

    def __init__(self, hopyard: Hopyard, monkeypatch: pytest.MonkeyPatch) -> None:
        self.hopyard = hopyard
        self._monkeypatch = monkeypatch

    @property
    def postgres(self) -> bool:
        """Whether it is on PostgreSQL."""
        return self.hopyard.database_url.startswith("postgresql")

    @property
    def settings(self) -> MaintenanceSettings:
        """The plugin's settings."""
        return Maintenance.current().settings

    def set(self, **values: Any) -> None:
        """Change settings of the plugin for this test."""
        given = self.settings.model_dump(exclude_unset=True) | values
        self._monkeypatch.setattr(Maintenance.current(), "settings", MaintenanceSettings(**given))

    def job(self, id_: str | None = None, person: str | None = None) -> Any:
        """Return a job for a function."""
        return OneJob(id_, person)

    async def rows(self, sql: str, *parameters: Any) -> list[dict[str, Any]]:
        """Ask the database."""
        return [dict(row) for row in await self.hopyard.client().database.fetch(sql, *parameters)]

    async def execute(self, sql: str, *parameters: Any) -> int:
        """Change something in the database."""
        return await self.hopyard.client().database.execute(sql, *parameters)

    async def told(self) -> list[str]:
        """Return the titles of what people were told, the oldest first."""
        return [row["title"] for row in await self.rows("SELECT title FROM notification ORDER BY created")]


@pytest.fixture(params=["sqlite", "postgresql"])
async def installed(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Installed]:
    """An installation without worker and broker, whose tables are there."""
    postgres = request.getfixturevalue("postgres_url") if request.param == "postgresql" else None
    histories = {migrations.CORE: migrations.CORE_PACKAGE, "maintenance": Maintenance.migrations}
    overrides: dict[str, Any] = {
        "plugins.allow": ["maintenance"],
        "people.ops": {},
        "alerts.to": ["ops"],
        "egress.allow": ["127.0.0.1"],
        "database_url": await migrated(histories, file=tmp_path / "ledger.db", server=postgres),
    }
    made = Hopyard.load(data=tmp_path / "data", overrides=overrides)
    assert [record.reason for record in made.plugins.records if record.failed] == []
    current.set_instance(made)
    await made.client().publisher.close()
    made.client().publisher = Silent()
    yield Installed(made, monkeypatch)
    await made.close()
    current.set_instance(None)
