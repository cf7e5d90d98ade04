"""An installation under fire: its processes, what hits them, and what they leave as evidence."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import json
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
from chaos import plan
from chaos.checker import Evidence
from chaos.fleet import Fleet, Hit
from chaos.heart import Heart
from chaos.sink import Reports, read_lines
from chaos.wheels import Installation
from chaos.wires import Exchange, Wires
from hopyard import current, portal
from hopyard.app import Hopyard
from hopyard.errors import LedgerUnavailable
from hopyard.ledger.database import Database, sqlite_path
from hopyard.supervise import die_with_parent
from sites import Site

#: Of a worker's for the queue `site` (`hopfile.py`).
_SLOTS = 8
#: What a worker says that was given up although nobody hit it: the machine was too slow for its lease.
_STARVED = "the lease was lost"


class Place(Site):
    """A `Site` of installed wheels with the fault suite's tasks, a sink, and processes that may be killed."""

    def __init__(
        self, folder: Path, *, installation: Installation, broker: str, database: str, rng: random.Random
    ) -> None:
        self.folder, self.broker, self.database = folder, broker, database
        self.rng, self._installation = rng, installation
        self.processes: list[subprocess.Popen[bytes]] = []
        self.hits: list[Hit] = []
        self.accepted: set[str] = set()
        """What the suite itself submitted, beside the producers' journals."""
        self.failures: list[str] = []
        """Promises that were seen broken on the way."""
        self.stock = ""
        self._first = 0
        self.orders = folder / "orders"
        self.orders.mkdir()
        (folder / "hopyard.toml").write_text(
            f'broker_url = "{broker}"\ndatabase_url = "{database}"\ndata = "{folder / "data"}"\n'
            f'[plugins]\nallow = ["site"]\n[worker]\nlease = {plan.LEASE}\ngrace = {plan.GRACE}\n'
            '[log]\nformat = "text"\n'
        )
        shutil.copy(installation.path / "chaos" / "hopfile.py", folder)
        self.hopyard = Hopyard.load(config=folder / "hopyard.toml")
        assert "site.step" in self.hopyard.tasks, [r.reason for r in self.hopyard.plugins.records]
        self.exchange = Exchange(broker, database)
        self.heart = Heart()
        self.wires: dict[int, Wires] = {}
        """By worker, of those that have some."""
        self.workers = Fleet(self, "worker", "--single")
        self.beats = Fleet(self, "beat")
        # A unix socket's path is short.
        self._short = Path(tempfile.mkdtemp(prefix="chaos-"))
        self.reports = Reports(folder / "sink.jsonl")
        self._sink = self._python("chaos.sink", str(self._short / "sink"), str(folder / "sink.jsonl"))
        deadline = time.monotonic() + 30
        while not (self._short / "sink").exists():
            assert time.monotonic() < deadline, self.logs()
            time.sleep(0.02)

    @property
    def environment(self) -> dict[str, str]:
        """By what processes find this site and the installation; nothing of the checkout is in it."""
        clean = {name: value for name, value in os.environ.items() if not name.startswith("HOPYARD_")}
        return {
            **clean,
            "HOPYARD_CONFIG": str(self.folder / "hopyard.toml"),
            "HOPYARD_INTERNAL_CHAOS": plan.MODE,
            "HOPYARD_INTERNAL_SINK": str(self._short / "sink"),
            "HOPYARD_INTERNAL_CRASH": str(self.orders),
            "HOPYARD_INTERNAL_BREAK": plan.BREAK,
            "HOPYARD_INTERNAL_STOCK": self.stock,
            "PYTHONPATH": str(self._installation.path),
            "PYTHONUNBUFFERED": "1",
        }

    def logs(self) -> str:
        """Return the ends of the latest logs."""
        latest = sorted(self.folder.glob("*.log"), key=lambda p: p.stat().st_mtime)[-4:]
        return "\n".join(f"== {p.name}\n{p.read_text()[-2500:]}" for p in latest)

    def start(
        self, *arguments: str, log: str | None = None, more: Mapping[str, str] | None = None
    ) -> subprocess.Popen[bytes]:
        """Start a program of the installation; it dies with the tests."""
        with (self.folder / f"{log or arguments[0]}.log").open("ab") as output:
            process = subprocess.Popen(
                [str(self._installation.bin / arguments[0]), *arguments[1:]],
                cwd=self.folder,
                env={**self.environment, **(more or {})},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
                preexec_fn=die_with_parent(signal.SIGKILL),
            )
        self.processes.append(process)
        return process

    def _python(self, module: str, *arguments: str) -> subprocess.Popen[bytes]:
        return self.start("python", "-m", module, *arguments, log=module)

    async def upgrade(self) -> None:
        """Make the ledger's tables, in a loop of their own."""
        await asyncio.to_thread(lambda: asyncio.run(self.hopyard.upgrade()))

    @functools.cached_property
    def _looking(self) -> Database:
        return self.hopyard.open_database()

    async def rows(self, sql: str, *parameters: Any) -> list[dict[str, Any]]:
        """Read the ledger, never behind what is submitted here: that may wait for a lock."""
        rows = await self._looking.fetch(sql, *parameters)
        return [{key: row[key] for key in row.keys()} for row in rows]  # noqa: SIM118

    async def close(self) -> None:
        """Close this loop's connections."""
        await self._looking.close()
        await self.hopyard.close()

    # --- faults

    def strike(self, process: subprocess.Popen[bytes], fault: str, number: int = signal.SIGKILL) -> Hit:
        """Send a signal to a process and all that it started."""
        hit = Hit(process.pid, fault, time.time())
        self.hits.append(hit)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        return hit

    def revive(self, hit: Hit) -> None:
        """Let a stopped process go on."""
        assert hit.pid is not None
        with contextlib.suppress(ProcessLookupError):
            os.killpg(hit.pid, signal.SIGCONT)
        hit.end = time.time()

    def unlock(self, hit: Hit) -> None:
        """Let a process go on that was stopped with the lock of SQLite's one file: so it hit everybody."""
        self.revive(hit)
        self.hits.append(Hit(None, f"{hit.fault} with the lock", hit.begin, hit.end))
        self.heart.note()

    def locked(self) -> bool:
        """Say whether nobody could write to SQLite's file for three seconds; False where there is none."""
        if not self.database.startswith("sqlite"):
            return False
        connection = sqlite3.connect(sqlite_path(self.database), timeout=3, isolation_level=None)
        try:
            connection.execute("BEGIN IMMEDIATE")
            connection.execute("ROLLBACK")
        except sqlite3.OperationalError:
            return True
        finally:
            connection.close()
        return False

    async def obeyed(self, order: Path, fault: str) -> Hit:
        """Wait until somebody met an order; return who was hit by it."""

        async def met() -> int | None:
            done = next(iter(self.orders.glob(f"{order.name}.by-*")), None)
            return int(done.name.rpartition("-")[2]) if done else None

        pid: int = await self.until(met, f"somebody obeys at {order.name}", 90)
        (self.orders / f"{order.name}.by-{pid}").unlink()
        hit = Hit(pid, fault, time.time() - 0.1)
        self.hits.append(hit)
        return hit

    # --- producers

    async def occupy(self, workers: int) -> None:
        """Submit jobs of 0.2 s that take all slots which so many workers have for them."""
        try:
            jobs = await self.hopyard.task("site.link").submit_many(
                {"before": {"value": 0}, "more": n} for n in range(_SLOTS * workers)
            )
        except LedgerUnavailable:  # it is not back yet
            return
        self.accepted |= {job.id for job in jobs}

    def produce(self, count: int, **order: Any) -> subprocess.Popen[bytes]:
        """Start a producer process."""
        order = {
            "journal": str(self.folder / f"journal-{len(self.processes)}.jsonl"),
            "count": count,
            "first": self._first,
        } | order
        self._first += count
        return self._python("chaos.producer", json.dumps(order))

    def enough(self) -> None:
        """Tell plain producers to stop."""
        for journal in self.folder.glob("journal-*.jsonl"):
            (journal.parent / f"{journal.name}.stop").touch()

    async def produced(self, process: subprocess.Popen[bytes], within: float = 120) -> int:
        """Wait for a producer's end; return its status."""

        async def ended() -> bool:
            return process.poll() is not None

        await self.until(ended, "the producer ends", within)
        assert process.returncode in (0, -signal.SIGKILL), self.logs()
        return process.returncode

    # --- evidence

    def journal(self) -> list[dict[str, Any]]:
        """All submissions, as their producers saw them."""
        return [line for file in sorted(self.folder.glob("journal-*.jsonl")) for line in read_lines(file)]

    async def quiet(self, without: float = 90) -> float:
        """Wait until no job is live and none is to be followed; return the seconds it took.

        Gives up once nothing has ended for so many seconds, which is longer than the ledger waits between two
        rings for the same job: stuck jobs are for the checker to find.
        """
        begun = moved = time.monotonic()
        left = -1
        while time.monotonic() < moved + without:
            live = "SELECT id FROM job_live UNION ALL SELECT id FROM job_follow"
            now = (await self.rows(f"SELECT count(*) AS n FROM ({live}) x"))[0]["n"]
            if not now:
                break
            if now != left:
                left, moved = now, time.monotonic()
            await asyncio.sleep(0.2)
        return time.monotonic() - begun

    async def evidence(self) -> Evidence:
        """Let the work end; return everything that the checker compares."""
        seconds = await self.quiet()
        columns = "id, task, state, attempt, crashes, worker, claim, schedule, due, created, parent"
        history = await self.rows(f"SELECT {columns}, result, error, attempts, finished FROM job_history")
        live = await self.rows(f"SELECT {columns}, reason, attempts FROM job_live")
        hits = [*self.hits, *self._starved()]
        hits += [Hit(x["pid"], "poison", x["at"]) for x in self.reports.look().lines if x["what"] == "dies"]
        return Evidence(
            journal=self.journal(),
            sink=self.reports.lines,
            history=history,
            live=live,
            hits=hits,
            names=self.workers.names,
            ended={**self.workers.ended, **self.beats.ended},
            accepted=self.accepted,
            quiet=seconds,
        )

    def _starved(self) -> Iterator[Hit]:
        """Yield workers that lost their lease although nobody hit them."""
        hit = {one.pid for one in self.hits}
        for pid, name in self.workers.names.items():
            log = self.folder / f"{name}.log"
            if pid not in hit and log.exists() and _STARVED in log.read_text():
                yield Hit(pid, "starved", 0.0)

    async def leave(self) -> list[str]:
        """End the workers in an orderly way; return processes that are left over."""
        ending = self.workers.end() + self.beats.end()
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline and any(p.poll() is None for p in ending):
            await asyncio.sleep(0.05)
        return [str(one) for one in _processes_of(self.folder) if one.pid != self._sink.pid]

    def end(self) -> None:
        """Kill what is left and remove what is outside of the folder."""
        self.stop()
        self.exchange.end()
        self.heart.end()
        shutil.rmtree(self._short, ignore_errors=True)


def _processes_of(folder: Path) -> Iterator[psutil.Process]:
    """Yield the processes, other than this one, that were started in a folder."""
    for process in psutil.process_iter():
        try:
            if process.cwd() == str(folder) and process.status() != psutil.STATUS_ZOMBIE:
                yield process
        except psutil.Error:
            continue


@contextmanager
def place_in(folder: Path, **values: Any) -> Iterator[Place]:
    """A place whose processes end with the block."""
    place = Place(folder, **values)
    try:
        yield place
    finally:
        place.end()
        portal.run(place.hopyard.close(), within_loop=True)
        current.set_instance(None)
