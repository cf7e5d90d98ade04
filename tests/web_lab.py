"""The HTTP API of an installation in the tests' own process, and people who come with keys of each kind."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import httpx2
import uvicorn
import websockets
from engines import DEADLINE, Lab
from fastapi import FastAPI
from hopyard import Hopyard, current
from hopyard.broker.publisher import redis_url
from hopyard.ledger import access
from hopyard.ledger.values import Done, new_id
from hopyard.specs import State
from hopyard.web import Role, create_app
from hopyard.web.state import Served
from ledgers import migrated
from servers import free_port

BASE: Final = "http://hopyard.test"
ROLES: Final = tuple(role.name.lower() for role in Role)
#: Keys beside one of each role: for one plugin, and for one person, with all that their role may do.
SCOPED: Final[Mapping[str, Mapping[str, Any]]] = {
    "of-site": {"role": "admin", "plugins": ["site"]},
    "of-nothing": {"role": "admin", "plugins": []},
    "alice": {"role": "admin", "person": "alice"},
    "bob": {"role": "submitter", "person": "bob"},
}


_EVERYTHING: Final = """
broker_url = "{broker}"
database_url = "{database}"
data = "{folder}/data"
[plugins]
allow = ["ai", "email", "file", "maintenance", "media", "sync"]
"""


@contextlib.asynccontextmanager
async def everything(folder: Path, broker: str, server: str | None) -> AsyncIterator[Hopyard]:
    """An installation with all plugins and their tables, on SQLite unless a database server is given."""
    import redis

    with redis.Redis.from_url(redis_url(broker)) as client:
        client.flushall()
    file = folder / "hopyard.toml"

    def load(database: str) -> Hopyard:
        file.write_text(_EVERYTHING.format(broker=broker, database=database, folder=folder))
        return Hopyard.load(config=file)

    histories = load("sqlite:///none").histories
    made = load(await migrated(histories, file=folder / "ledger.db", server=server))
    assert [record.reason for record in made.plugins.records if record.failed] == []
    try:
        yield made
    finally:
        await made.close()
        current.set_instance(None)


class Web:
    """An application on a migrated ledger, with its lifespan run; `lab` is what it serves."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        self.ledger = lab.ledger
        self.app: FastAPI = create_app(lab.hopyard)
        self.tokens: dict[str, str] = {}
        self.ids: dict[str, str] = {}

    @property
    def served(self) -> Served:
        found: Served = self.app.state.served
        return found

    async def let_in(self, name: str, role: str, kind: access.Kind = "token", **scope: Any) -> str:
        """Make a key; return it."""
        self.ids[name], self.tokens[name] = await access.make(self.ledger.database, kind, name, role, **scope)
        return self.tokens[name]

    def client(self, who: str | None = "admin", **options: Any) -> httpx2.AsyncClient:
        """Return a client with somebody's token; None is nobody's."""
        headers = dict(options.pop("headers", {}))
        if who is not None:
            headers.setdefault("Authorization", f"Bearer {self.tokens[who]}")
        address = options.pop("address", "127.0.0.1")
        transport = httpx2.ASGITransport(
            self.app, raise_app_exceptions=options.pop("raises", True), client=(address, 123)
        )
        return httpx2.AsyncClient(transport=transport, base_url=BASE, headers=headers, **options)

    async def ask(self, method: str, path: str, who: str | None = "admin", **options: Any) -> httpx2.Response:
        """Ask once."""
        async with self.client(who) as client:
            return await client.request(method, path, **options)

    async def job(self, **values: Any) -> str:
        """Store a job, of whichever task and person; return its id."""
        return str(await self.ledger.job(**values))

    async def ended(self, result: Any = 1, error: Mapping[str, Any] | None = None, **values: Any) -> str:
        """Store a job that a worker has run; with an error it ended dead. Return its id."""
        worker = await self.ledger.worker()
        claim = await self.ledger.running(worker, **values)
        if error is None:
            done = Done(claim.id, claim.claim, State.SUCCEEDED, json.dumps(result), None, None)
        else:
            done = Done(claim.id, claim.claim, State.DEAD, None, json.dumps(error), None)
        await self.ledger.database.finish([done], worker)
        return str(claim.id)


@contextlib.asynccontextmanager
async def web_on(lab: Lab) -> AsyncIterator[Web]:
    """The application of an installation, with a key of each role and scope."""
    web = Web(lab)
    for role in ROLES:
        await web.let_in(role, role)
    for name, scope in SCOPED.items():
        await web.let_in(name, **scope)
    async with web.app.router.lifespan_context(web.app):
        yield web


class _Server(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave signals to the tests."""
        yield


class Port:
    """The application behind a real server."""

    def __init__(self, web: Web, port: int) -> None:
        self.web = web
        self.port = port

    def client(self, who: str = "admin", **headers: str) -> httpx2.AsyncClient:
        headers = {"Authorization": f"Bearer {self.web.tokens[who]}"} | headers
        return httpx2.AsyncClient(base_url=f"http://127.0.0.1:{self.port}", headers=headers, timeout=DEADLINE)

    @contextlib.asynccontextmanager
    async def events(self, path: str, who: str = "admin", last: int | None = None) -> AsyncIterator[Events]:
        """Follow a stream of server-sent events."""
        more = {} if last is None else {"Last-Event-ID": str(last)}
        async with self.client(who, **more) as client, client.stream("GET", path) as answer:
            assert answer.status_code == 200, (await answer.aread()).decode()
            yield Events(answer.aiter_lines())

    def socket(self, path: str, who: str | None = "admin", **options: Any) -> websockets.connect:
        """Connect a WebSocket."""
        headers = dict(options.pop("headers", {}))
        if who is not None:
            headers["Authorization"] = f"Bearer {self.web.tokens[who]}"
        url = f"ws://127.0.0.1:{self.port}{path}"
        return websockets.connect(url, additional_headers=headers, **options)


class Events:
    """What a stream of server-sent events tells."""

    def __init__(self, lines: AsyncIterator[str]) -> None:
        self._lines = lines
        self.place: int | None = None

    async def next(self) -> tuple[str, Any]:
        """Return the next event and its data. Raises `StopAsyncIteration` at the end."""
        event = ""
        async with asyncio.timeout(DEADLINE):
            while True:
                line = await anext(self._lines)
                if line.startswith("id: "):
                    self.place = int(line[4:])
                elif line.startswith("event: "):
                    event = line[7:]
                elif line.startswith("data: "):
                    return event, json.loads(line[6:])

    async def until(self, wanted: str) -> list[tuple[str, Any]]:
        """Return what is told up to an event of this name."""
        told = [await self.next()]
        while told[-1][0] != wanted:
            told.append(await self.next())
        return told

    async def job(self, id_: str, state: str) -> Any:
        """Wait until a job is told to be in a state."""
        while True:
            event, data = await self.next()
            if event == "jobs":
                for job in data["jobs"]:
                    if job["id"] == id_ and job["state"] == state:
                        return job

    async def ends(self) -> None:
        """Read on until the stream ends."""
        with contextlib.suppress(StopAsyncIteration):
            while True:
                await self.next()


@contextlib.asynccontextmanager
async def served_on_a_port(web: Web) -> AsyncIterator[Port]:
    """The application behind a real server."""
    async with listening(web.app) as port:
        yield Port(web, port)


@contextlib.asynccontextmanager
async def listening(app: FastAPI) -> AsyncIterator[int]:
    """Serve an application as `hopyard web serve` does; gives the port."""
    port = free_port()
    config = uvicorn.Config(
        app,
        port=port,
        log_config=None,
        access_log=False,
        log_level="info",
        server_header=False,
        timeout_graceful_shutdown=1,
        ws="websockets-sansio",
        ws_max_size=65_536,
        lifespan="off",
    )
    server = _Server(config)
    serving = asyncio.create_task(server.serve())
    try:
        async with asyncio.timeout(DEADLINE):
            while not server.started:
                await asyncio.sleep(0.005)
        yield port
    finally:
        server.should_exit = True
        await serving


def person_job(person: str | None, task: str = "site.add", **more: Any) -> dict[str, Any]:
    """Return the values of a job that is done for somebody."""
    return {"id": new_id(), "task": task, "queue": "site", "person": person, **more}
