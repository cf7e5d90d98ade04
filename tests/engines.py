"""A worker's engine in the tests' own process: real ledger, broker and requests, without a Celery worker.

`Lab` is an installation; its `worker` is the engine with what Celery gives it (hub, consumer, messages),
driven from the test's event loop in the place of Celery's main thread. The tasks of `HOPFILE` call what a
test puts into `Lab.calls`.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import threading
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any, Final

from celery.worker import state as worker_state
from celery_parts import Channel, Consumer, Hub
from hopyard import current
from hopyard.app import Hopyard
from hopyard.broker.envelope import envelope
from hopyard.broker.publisher import redis_keys, redis_url
from hopyard.engine.celery_node.strategy import strategy
from hopyard.engine.engine import Engine
from hopyard.ledger.database import Database
from hopyard.ledger.values import QueueMessage, new_id
from hopyard.loading import PluginRecord, PluginState
from hopyard.loading._contributions import Contributions
from hopyard.plugin import Plugin, PluginSettings
from hopyard.specs import State
from kombu.message import Message

#: Seconds; a wait that takes so long has failed.
DEADLINE: Final = 60.0

HOPFILE = """
import asyncio, os, sys, time
from typing import Annotated, Any
from pydantic import BeforeValidator
from hopyard import Hopyard, Job, Plugin, PluginSettings, Queue, RetryPolicy, hookimpl, task
from hopyard.errors import RateLimited

CALLS = {}
SOON = RetryPolicy(max_retries=2, backoff=0.01, jitter=0)

@task("site.call", retry=SOON)
async def call(job: Job, name: str = "call", n: int = 0): return await CALLS[name](job)

@task("site.one", queue="site.one", retry=SOON)
async def one(job: Job, name: str = "call"): return await CALLS[name](job)

@task("site.plain", retry=SOON)
def plain(job: Job, name: str = "call"): return CALLS[name](job)

@task("site.short", time_limit=0.1, retry=RetryPolicy(max_retries=0))
async def short(job: Job, name: str = "call"): return await CALLS[name](job)

@task("site.short_plain", time_limit=0.1, retry=RetryPolicy(max_retries=0))
def short_plain(job: Job, name: str = "call"): return CALLS[name](job)

def _checked(value): return CALLS["check"](value)

@task("site.checked", retry=RetryPolicy(max_retries=0))
def checked(n: Annotated[int, BeforeValidator(_checked)]) -> int: return n

@task("site.typed")
async def typed(n: int) -> int: return "not a number" if n < 0 else n

@task("site.child", pool="process", retry=SOON)
def child(job: Job, do: str, n: int = 0):
    if do == "echo": return [n, job.attempt, job.checkpoint]
    if do == "pid": return os.getpid()
    if do == "print":
        print('{"result": "forged"}', flush=True); sys.stdout.write("partial")
        os.write(1, b'{"result": "raw"}\\n')
        return "real"
    if do == "progress": job.progress(1, 2, "half")
    if do == "save": job.sync.save(page=n)
    if do == "limited": raise RateLimited("slower", retry_after=7)
    if do == "wrong": raise ValueError("a bug with \\0 in it")
    if do == "exit": sys.exit(3)
    if do == "die": os.kill(os.getpid(), 9)
    if do == "sleep": time.sleep(600)
    if do in ("daemon", "daemon_dies"):
        os.spawnlp(os.P_NOWAIT, "sleep", "sleep", "20")
        time.sleep(600) if do == "daemon" else os.kill(os.getpid(), 9)
    if do == "effect":
        sent = job.sync.effect("sum", send, n=n)
        if job.attempt == 1: os.kill(os.getpid(), 9)
        return [sent, job.attempt]
    if do in ("wait", "catch_once", "ignore"): cancelled(job, do)

def send(n):
    with (Hopyard.current().settings.data / "sent").open("a") as file: file.write(f"{n}\\n")
    return n

def cancelled(job, do):
    # What a child may do when it is told to stop.
    data = Hopyard.current().settings.data
    (data / "pid.new").write_text(str(os.getpid())); (data / "pid.new").rename(data / "pid")
    while do == "ignore":
        try: job.progress(1, 2, "began"); time.sleep(600)
        except Exception: time.sleep(600)
    try:
        job.progress(1, 2, "began")
        if do == "catch_once":
            try: time.sleep(600)
            except Exception: job.progress(2, 2, "going on"); return "too late"
        time.sleep(600)
    finally:
        (data / "cleaned").write_text(do)

@task("site.child_async", pool="process", retry=SOON)
async def child_async(job: Job, do: str = ""):
    data = Hopyard.current().settings.data
    try: job.progress(1, 2, "began"); await asyncio.sleep(600)
    finally: (data / "cleaned").write_text(do)

@task("site.add")
async def add(a: int, b: int = 0) -> int: return a + b

@task("site.total")
async def total(numbers: list[int]) -> int: return sum(numbers)

@task("site.told")
async def told(about: Any) -> Any: return CALLS["told"](about)

@task("site.errback")
async def errback(request, exc, traceback):
    return CALLS["told"]([request.id, str(exc), traceback.startswith("Traceback")])

class Site(Plugin[PluginSettings]):
    @hookimpl
    def register_queues(self): return [Queue("site", slots=4), Queue("site.one", slots=1)]
    @hookimpl
    def register_tasks(self):
        return [
            call, one, plain, short, short_plain, checked, typed, child, child_async, add, total, told,
            errback,
        ]
"""

SETTINGS = """
broker_url = "{broker}"
database_url = "{database}"
data = "{folder}/data"
[plugins]
allow = ["site"]
[worker]
lease = 60
heartbeat = 0.05
"""


class Worker:
    """What Celery's worker is to the engine, and the tests' hands on it."""

    def __init__(self, lab: Lab, *, batches: bool = False) -> None:
        self.lab = lab
        self.app = lab.hopyard.celery
        self.hostname = "lab@here"
        self.hub = Hub()
        self.channel = Channel()
        self.hopyard_engine = self.engine = Engine(lab.hopyard, self, batches=batches)
        self.consumer = Consumer(self)
        self._deliveries: Counter[str] = Counter()
        self._fetching: asyncio.Task[None] | None = None
        self._stopped = False

    async def start(self) -> None:
        await asyncio.to_thread(self.engine.start)
        self.consumer.strategies = {
            name: strategy(task, self.app, self.consumer)
            for name, task in self.app.tasks.items()
            if not name.startswith("celery.")
        }
        self.engine.connected(self.consumer)

    async def stop(self, grace: float = 0.0) -> None:
        """Drain, as Celery does at its end."""
        if self._stopped:
            return
        self._stopped = True
        if self._fetching is not None:
            await self._fetching  # it looks; redis-py may swallow a cancel
        self.hub.close()
        await asyncio.to_thread(self.engine.stop, grace)

    @property
    def database(self) -> Database:
        """The engine's own."""
        return self.engine._database

    @property
    def acked(self) -> list[str]:
        """The ids whose messages were acknowledged, in order, as often as they were."""
        return [tag.partition("#")[0] for tag in self.channel.acked]

    def deliver(self, body: str, headers: Mapping[str, Any], queue: str = "site") -> Message:
        """Hand a message over as Celery's consumer does."""
        message = self.message(body, headers, queue)
        self.engine.receive(message)
        return message

    def message(self, body: str, headers: Mapping[str, Any], queue: str = "site") -> Message:
        self._deliveries[headers["id"]] += 1
        return Message(
            body=body,
            delivery_tag=f"{headers['id']}#{self._deliveries[headers['id']]}",
            content_type="application/json",
            content_encoding="utf-8",
            delivery_info={"exchange": "", "routing_key": queue},
            properties={"priority": 4},
            headers=dict(headers),
            channel=self.channel,
            accept={"application/json"},
        )

    async def take(self, *ids: str) -> None:
        """Deliver the messages of jobs that the ledger holds."""
        for id_ in ids:
            row = await self.lab.row(id_)
            ring = QueueMessage(id_, row["task"], row["queue"], row["priority"], row["body"], row["headers"])
            written = json.loads(envelope(ring))
            self.deliver(written["body"], written["headers"], row["queue"])

    def foreign(
        self, task: str = "site.call", *, queue: str = "site", embed: Any = None, **values: Any
    ) -> str:
        """Deliver a stock producer's message; return its id. Values are headers."""
        id_ = str(values.get("id") or new_id())
        headers = {"lang": "py", "task": task, "id": id_, "root_id": id_, "parent_id": None, "eta": None}
        self.deliver(json.dumps([[], {}, embed]), headers | values, queue)
        return id_

    def fetch(self) -> None:
        """Consume from the broker from now on."""
        self._fetching = asyncio.create_task(self._fetch())

    async def _fetch(self) -> None:
        from redis.asyncio import Redis

        async with Redis.from_url(redis_url(self.lab.hopyard.broker_url)) as client:
            while not self._stopped:
                got = None
                for queue in sorted(self.consumer.task_consumer.queues):
                    for key in redis_keys(queue):
                        got = got or await client.rpop(key)
                if got:
                    written = json.loads(got)  # type: ignore[arg-type]
                    route = written["properties"]["delivery_info"]["routing_key"]
                    self.deliver(written["body"], written["headers"], route)
                else:
                    await asyncio.sleep(0.005)


class Gate:
    """Where jobs wait until a test opens it: `await gate.passed()` on a loop, `gate.pass_()` in a thread."""

    def __init__(self) -> None:
        self._open = threading.Event()
        self.waiting = 0

    def open(self) -> None:
        self._open.set()

    async def passed(self) -> None:
        self.waiting += 1
        while not self._open.is_set():
            await asyncio.sleep(0.002)

    def pass_(self) -> None:
        self.waiting += 1
        while not self._open.wait(0.002):
            continue


class Lab:
    """An installation in this process; its worker lives on the process's portal loop."""

    def __init__(self, folder: Path, broker: str, database: str, ledger: Any) -> None:
        (folder / "hopyard.toml").write_text(SETTINGS.format(broker=broker, database=database, folder=folder))
        (folder / "hopfile.py").write_text(HOPFILE)
        self.hopyard = Hopyard.load(config=folder / "hopyard.toml")
        self.ledger = ledger
        self.workers: list[Worker] = []
        calls = self.hopyard.task("site.call").function.__globals__["CALLS"]
        #: What the site's tasks call, by name.
        self.calls: dict[str, Callable[..., Any]] = calls

    def plugin(self, name: str, cls: type[Plugin[Any]]) -> Plugin[Any]:
        """Add one more enabled plugin, which has hooks and contributes nothing."""
        plugins = self.hopyard.plugins
        made = cls(name, PluginSettings())
        plugins._hooks.check(cls, all_known=True)
        plugins._hooks.register(name, made)
        plugins._loaded.records[name] = PluginRecord(name, PluginState.ENABLED)
        plugins._loaded.instances[name] = made
        plugins._loaded.contributions[name] = Contributions()
        plugins._settle()
        return made

    async def worker(self, *, batches: bool = False) -> Worker:
        """Start the worker; with `batches` it takes messages from the broker by itself."""
        made = Worker(self, batches=batches)
        self.workers.append(made)
        await made.start()
        return made

    async def submit(self, task: str = "site.call", **arguments: Any) -> str:
        """Submit a job; return its id. Its message waits in the broker."""
        return (await self.hopyard.task(task).submit(**arguments)).id

    async def row(self, id_: str) -> dict[str, Any]:
        """Return a job's row, live or of history; empty if there is none."""
        return await self.ledger.row(id_) or await self.ledger.past(id_) or {}

    async def state(self, id_: str) -> State | None:
        row = await self.row(id_)
        return State(row["state"]) if row else None

    async def until(self, true: Callable[[], Any], what: str = "") -> Any:
        """Return the first true answer of a function, which may be a coroutine function."""
        try:
            async with asyncio.timeout(DEADLINE):
                while True:
                    answer = true()
                    if isinstance(answer, Awaitable):
                        answer = await answer
                    if answer:
                        return answer
                    await asyncio.sleep(0.005)
        except TimeoutError:
            raise AssertionError(f"not within {DEADLINE:g} s: {what or true}") from None

    async def reaches(self, id_: str, *states: State) -> dict[str, Any]:
        """Wait until a job is in one of these states; return its row."""

        async def there() -> dict[str, Any] | None:
            row = await self.row(id_)
            return row if row and row["state"] in states else None

        row: dict[str, Any] = await self.until(there, f"job {id_} is {[s.label for s in states]}")
        return row

    async def ends(self, id_: str, as_: State = State.SUCCEEDED) -> dict[str, Any]:
        """Wait until a job is over, and check how."""
        row = await self.reaches(id_, State.SUCCEEDED, State.DEAD, State.CANCELLED)
        assert row["state"] == as_, row
        return row


@contextlib.asynccontextmanager
async def lab_in(folder: Path, broker: str, database: str, ledger: Any) -> AsyncIterator[Lab]:
    """An installation whose worker ends with the block."""
    import redis

    with redis.Redis.from_url(redis_url(broker)) as client:
        client.flushall()
    lab = Lab(folder, broker, database, ledger)
    try:
        yield lab
    finally:
        for worker in lab.workers:
            await worker.stop()
        await lab.hopyard.close()
        current.set_instance(None)
        worker_state.reset_state()
        worker_state.revoked.clear()
