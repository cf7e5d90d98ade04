"""`Hop`: an installation for one test, with the plugins that it names and nothing else."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Coroutine, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar, overload
from zoneinfo import ZoneInfo

from hopyard import checks, current, portal, rules
from hopyard.errors import HopyardError
from hopyard.events import TaskEvent
from hopyard.ledger import details, readers
from hopyard.ledger.read import listing
from hopyard.ledger.values import NewJob
from hopyard.loading import SITE, wrong_name
from hopyard.plugin import Plugin
from hopyard.schedule.scheduler import fired_job
from hopyard.specs import Schedule
from hopyard.tasks import Task
from hopyard.tasks.declaration import Call
from hopyard.tasks.job import current_job
from hopyard.testing._site import Site, lay_ledger, name_of
from hopyard.testing._time import PassedTime
from hopyard.testing.faults import Fault
from hopyard.testing.outcome import Outcome

T = TypeVar("T")
R = TypeVar("R")
Given = type[Plugin[Any]] | str | Mapping[str, type[Plugin[Any]]]


class Hop:
    """An installation for one test: real ledger, real payloads, real jobs; no broker, no other plugins.

    `plugins` are classes of installed packages, names of installed plugins, or a mapping of names to classes
    that need not be installed. `settings` are as in the settings file, nested or by dotted key. `folder` is
    an empty directory of the test's own: data directory and SQLite file. While it is open it is the process's
    Hopyard, so that `task.sync.submit(…)`, `notify(…)` and the rest work as they do elsewhere.

    What it leaves out: the broker, leases of workers, schedules firing by themselves, and child processes:
    tasks of `pool="process"` run in threads. Jobs run one after the other or at the same time on one loop,
    as they are submitted. For the rest there is `Hop.worker`. What one call runs may take `within` seconds
    together.

    Raises `PluginError` for a plugin that cannot be loaded, `ConfigError` for settings that are none.
    """

    def __init__(
        self,
        *plugins: Given,
        folder: Path,
        settings: Mapping[str, Any] | None = None,
        within: float = 60.0,
    ) -> None:
        _make(folder)
        self._log = _JobLog()
        self.hopyard = Site(folder, _named(plugins), settings or {}, within)
        current.set_instance(self.hopyard)
        try:
            self._on_portal(lay_ledger(self.hopyard))
        except BaseException:
            current.set_instance(self.hopyard.before)
            raise
        self._faults: list[Fault] = []
        self._time = PassedTime(self.hopyard)
        self._live = False
        self._log.attach()
        self.hopyard.plugins.start_process("worker")

    def close(self) -> None:
        """End it: the process's Hopyard is again what it was before. A second time it does nothing."""
        if self.hopyard.closed:
            return
        self.hopyard.plugins.stop_process("worker")
        self.hopyard.plugins.teller.close()
        if self.hopyard.worker is not None:
            self.hopyard.worker.close()
        self._on_portal(self.hopyard.close())
        self._log.detach()
        self.hopyard.closed = True
        if current.peek() is self.hopyard:
            current.set_instance(_open_one(self.hopyard.before))

    def __enter__(self) -> Hop:
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        self.close()
        if self._faults and kind is None:
            raise HopyardError(f"no job was run by `run` that this could happen to: {self._faults}")

    def plugin(self, name: str) -> Plugin[Any]:
        """Return the instance of a plugin. Raises `PluginError` if there is none."""
        return self.hopyard.plugins.get(name)

    # --- running jobs

    @overload
    def run(self, task: Task[Any, R] | Call[Any, R], /, *args: Any, **kwargs: Any) -> Outcome[R]: ...
    @overload
    def run(self, task: str, /, *args: Any, **kwargs: Any) -> Outcome[Any]: ...
    def run(self, task: Any, /, *args: Any, **kwargs: Any) -> Outcome[Any]:
        """Submit a job and run it to its end, with all that it leads to; return what came of it.

        `task` may have options (`hop.run(refresh.options(person="alice"), "Oslo")`) or be a name. Retries do
        not wait; a delayed job does, until `pass_time`. Raises `PayloadError` for arguments that do
        not fit; what the task raises is in the outcome.
        """
        call = task if isinstance(task, Task | Call) else self.hopyard.task(task)
        made: Call[Any, Any] = call if isinstance(call, Call) else Call(call)
        return self._on_portal(self._run(made, args, kwargs))

    def inject(self, fault: Fault) -> None:
        """Have a fault befall the job of the next `run`; several may, one after the other.

        Raises `SpecError` for what is no fault, and `HopyardError` while a real worker runs the jobs.
        """
        if not isinstance(fault, Fault):
            checks.refuse("inject: fault", fault, "DieAfter, LoseLease, CancelAfter or TimeOutAfter")
        if self._live:
            self._refuse_faults([fault])
        self._faults.append(fault)

    def _refuse_faults(self, faults: Sequence[Fault]) -> None:
        raise HopyardError(f"faults happen to jobs of `run` alone, not to those of a real worker: {faults}")

    def drain(self) -> None:
        """Run all that is queued, and all that it leads to."""
        self._on_portal(self.hopyard.work())
        self._settle()

    def pass_time(self, seconds: float) -> None:
        """Bring on the jobs and schedules that are due within so many seconds, and run what they lead to.

        Each schedule fires as its misfire policy says of times that have passed, which is once mostly. Calls
        add up: what is due in an hour is so after two half hours.

        Raises `SpecError` for what is no number of seconds.
        """
        checks.number("pass_time: seconds", seconds, 0, 100 * checks.YEAR)
        self._on_portal(self._pass_time(seconds))
        self._settle()

    @contextmanager
    def eager(self) -> Iterator[None]:
        """Run each job before its `submit`, `delay` or `apply_async` returns, as Celery's eager mode does.

        Unlike that, arguments and results go through their JSON form, retries happen, and an error is in the
        job's handle, not raised by `submit`. Jobs with a delay wait for `pass_time`.
        """
        before, self.hopyard.eager = self.hopyard.eager, True
        try:
            yield
        finally:
            self.hopyard.eager = before

    @contextmanager
    def worker(self) -> Iterator[None]:
        """Have a real worker and a real broker until the block ends, for what needs them.

        Jobs are then submitted as everywhere (`task.sync.submit(…).sync.result(timeout=10)`), not by `run`.
        It starts in about a second. Children of `pool="process"` find only installed plugins. Faults are for
        `run`: with one that has not happened yet it raises `HopyardError`.
        """
        if self._faults:
            self._refuse_faults(self._faults)
        from hopyard.testing._live import live

        with live(self.hopyard):
            self._live = True
            try:
                yield
            finally:
                self._live = False

    def outcome(self, job: Any) -> Outcome[Any]:
        """Return what has come so far of a job: its id or its handle."""
        return self._on_portal(self._outcome(str(getattr(job, "id", job))))

    # --- what was told

    @property
    def events(self) -> Sequence[TaskEvent]:
        """What happened to all jobs, oldest first."""
        return [event for event in self.hopyard.events if isinstance(event, TaskEvent)]

    @property
    def notifications(self) -> Sequence[Mapping[str, Any]]:
        """What people were told, oldest first: `person`, `title`, `body`, `data`, `deliveries`."""

        async def read() -> list[dict[str, Any]]:
            return await readers.notifications(self.hopyard.client().database, limit=10_000)

        return self._on_portal(read())[::-1]

    def jobs(self, task: str | None = None) -> Sequence[Mapping[str, Any]]:
        """Return all jobs, or those of a task, oldest first, as `hopyard jobs --json` shows them.

        Raises `UnknownTask` for a name that is no task's.
        """

        async def read() -> list[dict[str, Any]]:
            return await listing.jobs(
                self.hopyard.client().database, listing.JobFilter(task=task), limit=10_000
            )

        found = self._on_portal(read())[::-1]
        if task is not None and not found:
            self.hopyard.task(task)  # raises with the nearest name
        return found

    def fetch(self, sql: str, *parameters: Any) -> Sequence[Mapping[str, Any]]:
        """Return the rows of a statement on the installation's database; parameters are `$1`, `$2` …"""

        async def read() -> Sequence[Mapping[str, Any]]:
            return [dict(row) for row in await self.hopyard.client().database.fetch(sql, *parameters)]

        return self._on_portal(read())

    # --- schedules

    def due_between(self, schedule: str, start: datetime, end: datetime) -> Sequence[datetime]:
        """Return when a schedule is due after `start` and until `end`, in its own zone.

        Times without a zone are in the configured one. Raises `SpecError` for an unknown name, for what is no
        time, and for an end before the start.
        """
        declared = self._schedule(schedule)
        zone = ZoneInfo(declared.rule.zone or self.hopyard.settings.time_zone)
        low = self._moment("due_between: start", start).astimezone(UTC)
        high = self._moment("due_between: end", end).astimezone(UTC)
        if high < low:
            checks.refuse("due_between: end", str(end), f"a time that is not before the start, {start}")
        return [due.astimezone(zone) for due in rules.between(declared.rule, low, high, 100_000)]

    def fire(self, schedule: str, due: datetime | None = None) -> Outcome[Any]:
        """Have a schedule fire, for `due` (now unless given), and run its job."""
        declared = self._schedule(schedule)
        moment = self._moment("fire: due", due) if due is not None else datetime.now(UTC)
        job = fired_job(self.hopyard, declared, moment.astimezone(UTC), None)
        return self._on_portal(self._run_job(job))

    def _schedule(self, name: str) -> Schedule:
        there = self.hopyard.plugins.schedules
        if name not in there:
            checks.refuse(
                "schedule", name, f"one of {', '.join(there) or 'none'}", checks.nearest(name, there)
            )
        return there[name]

    def _moment(self, what: str, moment: datetime) -> datetime:
        if not isinstance(moment, datetime):
            checks.refuse(what, moment, "a datetime")
        return moment if moment.tzinfo else moment.replace(tzinfo=ZoneInfo(self.hopyard.settings.time_zone))

    # --- on the portal's loop

    def _on_portal(self, work: Coroutine[Any, Any, T]) -> T:
        if self.hopyard.closed:
            work.close()
            raise HopyardError("this Hop is closed: make another one")
        return portal.run(work, within_loop=True)

    async def _run(self, call: Call[Any, Any], args: Any, kwargs: Mapping[str, Any]) -> Outcome[Any]:
        job = call.job(args, kwargs)
        if self._live:
            raise HopyardError("a worker runs the jobs here: submit, and wait for the result")
        if call.unique is not None or call.session is not None:
            raise HopyardError("`run` takes no `unique` and no `session`: submit the job, then `drain`")
        return await self._run_job(job)

    async def _run_job(self, job: NewJob) -> Outcome[Any]:
        faults, self._faults = self._faults, []
        client = self.hopyard.client()
        eager, self.hopyard.eager = self.hopyard.eager, False
        try:
            await client.submit([job])
            if faults:
                self.hopyard.made_worker().faults[job.id] += faults
            await self.hopyard.work()
        finally:
            self.hopyard.eager = eager
        await asyncio.to_thread(self._settle)
        unused = self.hopyard.made_worker().faults.pop(job.id, [])
        if unused:
            raise HopyardError(f"{job.task} was over before this could happen: {unused}")
        return await self._outcome(job.id)

    async def _pass_time(self, seconds: float) -> None:
        await self._time.go_on(seconds)
        await self.hopyard.work()

    def _settle(self) -> None:
        """Wait until plugins were told what happened."""
        self.hopyard.plugins.teller.close()

    async def _outcome(self, id_: str) -> Outcome[Any]:
        row = await details.job(self.hopyard.client().database, id_)
        worker = self.hopyard.made_worker()
        task = self.hopyard.tasks.get(row["task"])
        succeeded = row["state"] == "succeeded"
        return Outcome(
            id=id_,
            task=row["task"],
            state=row["state"],
            value=task.payload.load_result(json.dumps(row["result"])) if succeeded and task else None,
            error=row["error"],
            attempt=row["attempt"],
            attempts=row["attempts"],
            progress=[(one.current, one.total, one.message) for one in worker.progress[id_]],
            saved=[*worker.saved[id_]],
            effects={one["name"]: one for one in row["effects"]},
            log=self._log.of(id_),
            events=[event for event in self.events if event.job == id_],
        )


def _make(folder: Path) -> None:
    """Make the directory of an installation. Raises `SpecError` for what can be none."""
    if not isinstance(folder, Path):
        checks.refuse("Hop: folder", folder, "a Path, such as `tmp_path`")
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        checks.refuse("Hop: folder", folder, f"a directory that can be made ({error.strerror})")


def _open_one(before: Any) -> Any:
    """Return the process's Hopyard of before, or of before that, whichever is open still."""
    while isinstance(before, Site) and before.closed:
        before = before.before
    return before


def _named(plugins: Sequence[Given]) -> dict[str, type[Plugin[Any]] | str]:
    named: dict[str, type[Plugin[Any]] | str] = {}
    for given in plugins:
        if isinstance(given, str):
            named[given] = given
        else:
            named |= _classes(given)
    return named


def _classes(given: type[Plugin[Any]] | Mapping[str, type[Plugin[Any]]]) -> dict[str, type[Plugin[Any]]]:
    if isinstance(given, type) and issubclass(given, Plugin):
        given = {name_of(given): given}
    if not isinstance(given, Mapping):
        checks.refuse("Hop: plugin", given, "a Plugin class, the name of an installed plugin, or a mapping")
    for name, cls in given.items():
        if not (isinstance(cls, type) and issubclass(cls, Plugin)):
            checks.refuse(f"Hop: plugin {name}", cls, "a Plugin class")
        if name != SITE and (fault := wrong_name(name)):  # a hopfile's plugin is tested under its own name
            checks.refuse("Hop: plugin", name, f"another name: {fault}")
    return dict(given)


class _JobLog(logging.Handler):
    """Keeps what jobs log, by their ids."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self._lines: dict[str, list[str]] = {}
        self._level = logging.NOTSET

    def attach(self) -> None:
        """Begin to listen."""
        tasks = logging.getLogger("hopyard.task")
        self._level = tasks.level
        tasks.setLevel(logging.DEBUG)
        logging.getLogger().addHandler(self)

    def detach(self) -> None:
        """Listen no more."""
        logging.getLogger("hopyard.task").setLevel(self._level)
        logging.getLogger().removeHandler(self)

    def emit(self, record: logging.LogRecord) -> None:
        """Keep a line, if a task wrote it."""
        job = current_job.get()
        ours = record.name.startswith("hopyard.") and not record.name.startswith("hopyard.task.")
        if job is not None and not ours:
            self._lines.setdefault(job.id, []).append(f"{record.levelname} {record.getMessage()}")

    def of(self, id_: str) -> list[str]:
        """Return what a job has logged."""
        return [*self._lines.get(id_, ())]
