"""Assembly: settings and plugins become one Hopyard, and one ordinary Celery app."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from hopyard import checks, current, settings
from hopyard.errors import ConfigError, HopyardError, LedgerError, MigrationMissing, PluginError, UnknownTask
from hopyard.events import TaskEvent
from hopyard.ledger import migrations, switches
from hopyard.ledger.database import Database, open_database
from hopyard.ledger.values import NewJob, utcnow
from hopyard.tasks.client import Client
from hopyard.tasks.handle import JobHandle
from hopyard.tasks.job import current_job
from hopyard.tasks.options import MAX_ID

if TYPE_CHECKING:
    from celery import Celery

    from hopyard.egress import Egress
    from hopyard.hookspecs import Role
    from hopyard.loading import Moved, Plugins
    from hopyard.settings import Settings
    from hopyard.specs import TaskOptions
    from hopyard.tasks import Task

#: The stage of a plugin's record that was withdrawn for its tables.
MIGRATIONS: Final = "migrations"


class Hopyard:
    """Settings, plugins, ledger and broker of one process. Most programs need only `Hopyard.load()`."""

    def __init__(self, settings: Settings, plugins: Plugins | Callable[[], Plugins]) -> None:
        """`plugins` may be a function that loads them when they are first used."""
        self.settings = settings
        self._plugins = plugins
        self._clients: dict[asyncio.AbstractEventLoop, Client] = {}

    @classmethod
    def load(
        cls,
        *,
        config: Path | None = None,
        data: Path | None = None,
        overrides: Mapping[str, Any] | None = None,
        role: Role = "producer",
    ) -> Hopyard:
        """Read the settings, load the plugins, and make the result this process's Hopyard.

        Raises `ConfigError` with all faults of the settings' core part.
        """
        from hopyard.builtin import BUILTIN
        from hopyard.loading import installed_names, load_plugins

        loaded = settings.load(config=config, data=data, overrides=overrides, plugin_names=installed_names())
        made = cls(loaded, load_plugins(loaded, role=role, builtin=BUILTIN, site=loaded.site))
        current.set_instance(made)
        return made

    @classmethod
    def current(cls) -> Hopyard:
        """Return this process's Hopyard, loaded on first use. Raises `ConfigError`."""
        instance: Hopyard = current.get()
        return instance

    @property
    def plugins(self) -> Plugins:
        """The plugins of this process."""
        if callable(self._plugins):
            self._plugins = self._plugins()
        return self._plugins

    @property
    def database_url(self) -> str:
        """The ledger's address; without a setting a SQLite file in the data directory."""
        return self.settings.ledger_url

    @property
    def environment(self) -> dict[str, str]:
        """By which variables a child process finds the same settings."""
        file = {"HOPYARD_CONFIG": str(self.settings.file)} if self.settings.file else {}
        return {"HOPYARD_DATA": str(self.settings.data), **file}

    @cached_property
    def broker_url(self) -> str:
        """The broker's address; without a setting the embedded one of the data directory."""
        if self.settings.broker_url is not None:
            return self.settings.broker_url.get_secret_value()
        from hopyard.local.broker import embedded_url

        return embedded_url(self.settings.data)

    @cached_property
    def egress(self) -> Egress:
        """The one way out for tasks' HTTP requests."""
        from hopyard.egress import Egress

        return Egress(self.settings.egress.allow)

    @cached_property
    def celery(self) -> Celery:
        """The Celery app."""
        from hopyard.celeryapp import build

        return build(self)

    @property
    def tasks(self) -> Mapping[str, Task[..., Any]]:
        """All declared tasks of enabled plugins, by name."""
        return self.plugins.tasks

    def task(self, name: str) -> Task[..., Any]:
        """Return a declared task. Raises `UnknownTask` with the nearest name."""
        if not isinstance(name, str):
            checks.refuse("task", name, "the name of a task, as `plugin.task`")
        found: Task[..., Any] | None = self.plugins.tasks.get(name)
        if found is None and self._in_resting_job():
            found = self.plugins.running_task(name)
        if found is None:
            raise UnknownTask(f"no enabled plugin declares a task `{name}`{self._why_unknown(name)}")
        return found

    def _in_resting_job(self) -> bool:
        """Say whether this is a job whose plugin was disabled since: it goes on, what it submits waits."""
        job = current_job.get()
        return job is not None and self.plugins.resting(job.task)

    def _why_unknown(self, name: str) -> str:
        from difflib import get_close_matches

        if self.plugins.resting(name):
            return f": {self.plugins.record(name.partition('.')[0]).reason}"
        near = get_close_matches(name, self.plugins.tasks, 1)
        return f"; did you mean `{near[0]}`?" if near else "; `hopyard tasks` lists those that there are"

    def options(self, task: str) -> TaskOptions:
        """Return a task's queue, retry policy, time limit and priority, with the operator's overrides."""
        self.task(task)
        found = self.plugins.running_options(task)
        assert found is not None  # noqa: S101 - each task has options
        return found

    def handle(self, id: str) -> JobHandle[Any]:  # noqa: A002 - what callers call it
        """Return a handle for a job's id. Raises `SpecError` for what is no text."""
        checks.text("handle: id", id, MAX_ID)
        return JobHandle(id)

    def client(self) -> Client:
        """Return the running loop's connections to ledger and broker, opened on first use."""
        loop = asyncio.get_running_loop()
        client = self._clients.get(loop)
        if client is None:
            self._abandon_dead()
            client = self._clients[loop] = self.open_client()
            client.ends = _begun(self._closed_at_the_end())
        return client

    async def _closed_at_the_end(self) -> AsyncGenerator[None, None]:
        """Close the loop's connections when it is wound up, as `asyncio.run` and its like do at their end."""
        try:
            yield
        finally:
            await self.close()

    def _abandon_dead(self) -> None:
        """Let go of the connections of loops that were closed without being wound up."""
        for loop in [loop for loop in self._clients if loop.is_closed()]:
            self._clients.pop(loop).abandon()

    def open_client(self) -> Client:
        """Return connections of the caller's own, who closes them."""
        from hopyard.broker.publisher import open_publisher

        return Client(self.open_database(), open_publisher(self.broker_url), self._tell_sent)

    def _tell_sent(self, jobs: Sequence[NewJob]) -> None:
        """Tell the plugins' `on_task_sent` of jobs that were stored; nobody, where no plugin was needed."""
        if callable(self._plugins) or "sent" not in self._plugins.teller.kinds:
            return
        now = utcnow()
        self._plugins.teller.tell(
            [
                TaskEvent("sent", job.id, job.task, job.queue, now, person=job.person, eta=job.eta)
                for job in jobs
            ]
        )

    async def close(self) -> None:
        """Close the running loop's connections."""
        client = self._clients.pop(asyncio.get_running_loop(), None)
        if client is not None:
            await client.close()

    def open_database(self, answer_within: float | None = None) -> Database:
        """Return a database object of the caller's own (`ledger.database.open_database`).

        Raises `MigrationMissing` if there is no database.
        """
        url = self.database_url
        if url.startswith("sqlite"):
            from hopyard.ledger.database import sqlite_path

            if self.settings.database_url is None and self.settings.data.exists():
                from hopyard.local.directory import check_own

                check_own(self.settings.data)
            if not os.path.exists(sqlite_path(url)):
                raise MigrationMissing(
                    f"there is no ledger at {sqlite_path(url)}: start `hopyard up` in this directory, "
                    "or run `hopyard db upgrade`"
                )
        return open_database(url, answer_within)

    @property
    def histories(self) -> dict[str, Any]:
        """Who has migrations, and in which package: the core first."""
        return {migrations.CORE: migrations.CORE_PACKAGE, **self.plugins.migrations}

    async def check_core(self) -> None:
        """Raise what is wrong with the core's tables; no plugin is looked at, or imported for it."""
        core = {migrations.CORE: migrations.CORE_PACKAGE}
        for error in (await self._migration_faults(core)).values():
            raise error

    async def check_migrations(self) -> None:
        """Withdraw each plugin that somebody has disabled, or whose tables are not what its code needs.

        Call it first in a process: what a withdrawn plugin declared is gone from `tasks` and
        `plugins.queues`. Raises `MigrationMissing` or `MigrationError` if the core's tables are wrong,
        `LedgerUnavailable` if the database cannot be reached, `PluginError` where the settings want a
        refusal.
        """
        faults = await self._migration_faults(self.histories)
        refused: HopyardError | None = faults.pop(migrations.CORE, None)
        if refused is None:
            await self.follow_switches()
        for name, error in faults.items():
            mend = isinstance(error, MigrationMissing)
            # Not one withdrawn with another that it requires; without the core's tables nobody has any.
            if name not in self.plugins.names or (mend and refused is not None):
                continue
            hint = "run `hopyard db upgrade`" if mend else "mend its migrations, or install another release"
            try:
                self.plugins.withdraw(name, str(error), hint=hint, stage=MIGRATIONS)
            except (ConfigError, PluginError) as refusal:  # raised once all of them have their reasons
                refused = refused or refusal
        if refused is not None:
            raise refused

    async def follow_switches(self, database: Database | None = None) -> Moved:
        """Do without the plugins that somebody has disabled, and take those back that are enabled again.

        `database` is the running loop's; without one a connection is opened for this. What was taken back may
        have tables that are not right: `check_migrations`. Raises `LedgerUnavailable`.
        """
        opened = database or self.open_database()
        try:
            off = await switches.disabled(opened)
        finally:
            if database is None:
                await opened.close()
        return self.plugins.switch({name: one.reason for name, one in off.items()})

    async def look_again(self, database: Database) -> None:
        """Do without plugins that were disabled, and take back those that may run again.

        These are enabled again, or were withdrawn by `check_migrations` and their tables are right by now;
        with them come those that require them. Costs one statement where nothing has changed. Raises
        `LedgerUnavailable`.
        """
        back = (await self.follow_switches(database)).back
        if waiting := self.plugins.awaiting(MIGRATIONS):
            faults = await self._migration_faults(waiting)
            back += self.plugins.readmit([name for name in waiting if name not in faults])
        if back:
            await self.check_migrations()  # those that left with them were not looked at then

    async def _migration_faults(self, histories: Mapping[str, Any]) -> dict[str, LedgerError]:
        database = self.open_database()
        try:
            return await migrations.faults(database, histories)
        finally:
            await database.close()

    async def upgrade(self) -> dict[str, migrations.Upgraded]:
        """Bring the database up to date; return what was done with each history.

        Raises what is wrong with the core's; a plugin's failure is in its entry, and stops nothing else.
        """
        if self.settings.database_url is None:
            from hopyard.local.directory import prepare

            prepare(self.settings.data)
        return await migrations.upgrade(self.database_url, self.histories)


def _begun(generator: AsyncGenerator[None, None]) -> AsyncGenerator[None, None]:
    """Run a generator to its first `yield`, before which it awaits nothing: the loop knows it then."""
    with contextlib.suppress(StopIteration):
        generator.asend(None).send(None)
    return generator
