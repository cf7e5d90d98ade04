"""An installation with the given plugins only, settings of the test's own, and SQLite in a folder."""

from __future__ import annotations

import asyncio
import atexit
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import importlib_metadata

from hopyard import checks, current, portal, settings
from hopyard.app import Hopyard
from hopyard.broker.publisher import Publisher
from hopyard.builtin import BUILTIN
from hopyard.errors import PluginError
from hopyard.events import TASK_EVENTS, Event, TaskEvent
from hopyard.ledger import migrations
from hopyard.ledger.values import NewJob, QueueMessage, utcnow
from hopyard.loading import EventTeller, candidates, load_plugins
from hopyard.plugin import Plugin
from hopyard.tasks.client import Client
from hopyard.tasks.job import current_job
from hopyard.testing._worker import InProcessWorker

#: Ledgers with all tables, by the packages of their migrations: each test copies one.
_templates: dict[tuple[str, ...], Path] = {}


class Site(Hopyard):
    """What a process's Hopyard is in a test: nothing is discovered, nothing leaves the process."""

    def __init__(
        self,
        folder: Path,
        plugins: Mapping[str, type[Plugin[Any]] | str],
        given: Mapping[str, Any],
        within: float,
    ) -> None:
        """Load the plugins: classes by name, or a name for what is installed under it.

        Raises `ConfigError`, `SpecError` for an address of a database or broker, and `PluginError` for a
        plugin that is not there, is disabled or fails.
        """
        names = [*plugins]
        loaded = settings.load(
            data=folder, overrides=dict(given), environ={}, directory=folder, plugin_names=names
        )
        if loaded.database_url is not None or loaded.broker_url is not None:
            checks.refuse(
                "Hop: settings",
                "`database_url` or `broker_url`",
                "neither: the ledger is a new file in `folder`, and there is no broker",
            )
        classes = {name: cls for name, cls in plugins.items() if not isinstance(cls, str)}
        super().__init__(
            loaded,
            load_plugins(
                loaded,
                role="worker",
                builtin={**BUILTIN, **classes},
                distributions=_distributions([name for name in names if name not in classes]),
            ),
        )
        self._check_all(names)
        #: All that happened, oldest first.
        self.events: list[Event] = []
        self.teller = _Teller(self.plugins.teller, self.events)
        self.worker: InProcessWorker | None = None
        #: Run what is submitted before `submit` returns.
        self.eager = False
        self.closed = False
        #: The process's Hopyard before this one, which is that again when this one is closed.
        self.before: Any = current.peek()
        #: Seconds that the jobs of one call may take together.
        self.within = within
        self._broker: str | None = None

    def _check_all(self, names: Sequence[str]) -> None:
        """Raise `PluginError` unless all of the plugins are enabled, and no other one failed."""
        for record in self.plugins.records:
            if record.state != "enabled":
                hint = f" ({record.hint})" if record.hint else ""
                raise PluginError(
                    f"plugin `{record.name}` is {record.state}: {record.reason}{hint}",
                    stage=record.stage or "load",
                    hint=record.hint or "",
                )
        for name in names:
            if name not in self.plugins.names:
                hint = f"install it, or give its class: Hop({{'{name}': …}})"
                raise PluginError(f"no installed package has a plugin `{name}`", stage="discovery", hint=hint)
            if not self.settings.plugin(name).enabled:
                raise PluginError(f"plugin `{name}` is disabled by the settings", stage="allow")

    @property
    def broker_url(self) -> str:
        """The broker's, while there is one; otherwise Celery's transport within a process."""
        return self._broker or "memory://hopyard-testing"

    def open_client(self) -> Client:
        """Return connections to the ledger; without a broker messages go to the worker of this process."""
        return _Client(self) if self._broker is None else super().open_client()

    @contextmanager
    def connected(self, url: str) -> Iterator[None]:
        """Have a broker until the block ends."""
        self._change_broker(url)
        try:
            yield
        finally:
            self._change_broker(None)

    def _change_broker(self, url: str | None) -> None:
        """What was made for the one before is made anew when it is next asked for."""
        portal.run(self.close(), within_loop=True)
        self.worker = None
        self._clients.clear()
        self._broker = url
        self.__dict__.pop("celery", None)

    def _tell_sent(self, jobs: Sequence[NewJob]) -> None:
        now = utcnow()
        self.teller.tell(
            [
                TaskEvent("sent", job.id, job.task, job.queue, now, person=job.person, eta=job.eta)
                for job in jobs
            ]
        )

    def made_worker(self) -> InProcessWorker:
        """Return the worker, made on first use; on the portal's loop."""
        if self.worker is None:
            teller: Any = self.teller
            self.worker = InProcessWorker(self, self.client(), teller)
        return self.worker

    async def work(self) -> None:
        """Run what is queued, on the portal's loop, until nothing is left."""
        await self.made_worker().work(self.within)


class _Client(Client):
    def __init__(self, site: Site) -> None:
        super().__init__(site.open_database(), _ToWorker(site), site._tell_sent)
        self._site = site

    async def submit(self, jobs: Sequence[NewJob], *, fresh: bool = False) -> set[str]:
        new = await super().submit(jobs, fresh=fresh)
        await self._work_eagerly()
        return new

    async def announce(self, jobs: Sequence[NewJob], at: Any = None, entry: str | None = None) -> None:
        await super().announce(jobs, at, entry)
        if not self._busy:  # else within `submit`, for whose end those wait that submit meanwhile
            await self._work_eagerly()

    async def _work_eagerly(self) -> None:
        # What a job submits is run by the worker that runs the job: to wait for it here would be for itself.
        if self._site.eager and current_job.get() is None:
            await _on_portal(self._site.work())


class _ToWorker(Publisher):
    """Hands messages to the worker of this process instead of a broker."""

    def __init__(self, site: Site) -> None:
        self._site = site

    async def publish(self, messages: Sequence[QueueMessage]) -> None:
        if portal.on_portal():
            self._site.made_worker().enqueue(messages)
        else:
            portal.call_soon(portal.loop(), self._enqueue, [*messages])

    def _enqueue(self, messages: Sequence[QueueMessage]) -> None:
        self._site.made_worker().enqueue(messages)

    async def empty(self, queues: Any) -> set[str]:
        return set()

    async def remembers(self, epoch: str) -> bool:
        return True

    async def ping(self) -> None:
        return

    async def close(self) -> None:
        return

    def abandon(self) -> None:
        return


class _Teller:
    """Keeps all events, and tells the plugins that listen."""

    kinds = frozenset(TASK_EVENTS)

    def __init__(self, teller: EventTeller, events: list[Event]) -> None:
        self._teller = teller
        self._events = events

    def tell(self, events: Sequence[Event]) -> None:
        self._events += events
        self._teller.tell(events)


async def _on_portal(work: Any) -> None:
    if portal.on_portal():
        await work
    else:
        await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(work, portal.loop()))


def _distributions(names: Sequence[str]) -> list[Any]:
    """Return the distributions that provide plugins of these names; the loader says which are missing."""
    if not names:
        return []
    return [one.distribution for one in candidates() if one.name in names and one.distribution]


def name_of(cls: type[Plugin[Any]]) -> str:
    """Return the name under which a plugin class is installed. Raises `PluginError` if it is not."""
    value = f"{cls.__module__}:{cls.__qualname__}"
    entry_points: Any = importlib_metadata.entry_points(group="hopyard")
    for entry in entry_points:
        if entry.value.replace(" ", "") == value:
            return str(entry.name)
    raise PluginError(
        f"no installed entry point of the group `hopyard` leads to {value}",
        stage="discovery",
        hint='install the package (`pip install -e .`), or say its name: Hop({"weather": Weather})',
    )


async def lay_ledger(site: Site) -> None:
    """Make the site's ledger with all tables: a copy of one that was made once in this process."""
    target = Path(site.database_url.removeprefix("sqlite:///"))
    histories = {name: str(getattr(package, "name", package)) for name, package in site.histories.items()}
    key = tuple(f"{name}={package}" for name, package in histories.items())
    if key not in _templates:
        folder = Path(tempfile.mkdtemp(prefix="hopyard-testing-"))
        atexit.register(shutil.rmtree, folder, ignore_errors=True)
        made = folder / "ledger.db"
        for name, upgraded in (await migrations.upgrade(f"sqlite:///{made}", site.histories)).items():
            if upgraded.error is not None:
                raise PluginError(
                    f"plugin `{name}`: its migrations fail: {upgraded.error}",
                    stage="migrations",
                    hint="see `hopyard db upgrade`",
                )
        _templates[key] = made
    shutil.copyfile(_templates[key], target)
