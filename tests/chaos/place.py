"""An installation under fire: workers that are started again when they die, producers, the sink."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
from chaos import plan
from chaos.checker import Evidence
from chaos.sink import read_lines
from hopyard import current, portal
from hopyard.app import Hopyard
from hopyard.supervise import die_with_parent
from sites import Site

_TESTS = Path(__file__).parent.parent


class Place(Site):
    """A `Site` with the fault suite's tasks, a sink, and processes that may be killed."""

    def __init__(self, folder: Path, *, broker: str, database: str, rng: random.Random) -> None:
        self.folder, self.broker, self.rng = folder, broker, rng
        self.processes: list[subprocess.Popen[bytes]] = []
        self.hit: set[int] = set()
        """Processes that a fault hit: what ran in them may have run again."""
        self.fleet: list[subprocess.Popen[bytes]] = []
        self._keeper: asyncio.Task[None] | None = None
        self._first = 0
        self.stock = ""
        self._read = 0
        self._started: dict[int, float] = {}
        self.orders = folder / "orders"
        self.orders.mkdir()
        (folder / "hopyard.toml").write_text(
            f'broker_url = "{broker}"\ndatabase_url = "{database}"\ndata = "{folder / "data"}"\n'
            f'[plugins]\nallow = ["site"]\n[worker]\nlease = {plan.LEASE}\ngrace = 5\n'
            '[log]\nformat = "text"\n'
        )
        shutil.copy(Path(__file__).with_name("hopfile.py"), folder)
        self.hopyard = Hopyard.load(config=folder / "hopyard.toml")
        assert "site.step" in self.hopyard.tasks, [r.reason for r in self.hopyard.plugins.records]
        # A unix socket's path is short.
        self._short = Path(tempfile.mkdtemp(prefix="chaos-"))
        self._sink = self._python("chaos.sink", str(self._short / "sink"), str(folder / "sink.jsonl"))
        deadline = time.monotonic() + 30
        while not (self._short / "sink").exists():
            assert time.monotonic() < deadline, self.logs()
            time.sleep(0.02)

    @property
    def environment(self) -> dict[str, str]:
        return {
            **os.environ,
            "HOPYARD_CONFIG": str(self.folder / "hopyard.toml"),
            "HOPYARD_INTERNAL_SINK": str(self._short / "sink"),
            "HOPYARD_INTERNAL_CRASH": str(self.orders),
            "HOPYARD_INTERNAL_BREAK": plan.BREAK,
            "HOPYARD_INTERNAL_STOCK": self.stock,
            "PYTHONPATH": os.pathsep.join(filter(None, (str(_TESTS), os.environ.get("PYTHONPATH")))),
            "PYTHONUNBUFFERED": "1",
        }

    def logs(self) -> str:
        """Return the ends of the latest logs."""
        latest = sorted(self.folder.glob("*.log"), key=lambda p: p.stat().st_mtime)[-4:]
        return "\n".join(f"== {p.name}\n{p.read_text()[-2500:]}" for p in latest)

    def _python(self, module: str, *arguments: str) -> subprocess.Popen[bytes]:
        with (self.folder / f"{module}.log").open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", module, *arguments],
                cwd=self.folder,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                preexec_fn=die_with_parent(signal.SIGKILL),
            )
        self.processes.append(process)
        return process

    # --- the fleet

    async def man(self, workers: int = plan.WORKERS) -> None:
        """Start workers, and from now on another one for each that ends."""
        self.fleet = [self._hire() for _ in range(workers)]
        await self.until(self._all_beat, f"{workers} workers are registered")
        self._keeper = asyncio.create_task(self._keep())

    def _hire(self) -> subprocess.Popen[bytes]:
        name = f"w{len(self.processes)}"
        return self.start("hopyard", "worker", "--single", "-n", name, log=name)

    async def _keep(self) -> None:
        while True:
            for n, process in enumerate(self.fleet):
                if process.poll() is not None:
                    self.hit.add(process.pid)
                    self.fleet[n] = self._hire()
            await asyncio.sleep(0.1)

    async def _all_beat(self) -> bool:
        try:
            rows = await self.rows("SELECT pid FROM worker WHERE stopped IS NULL AND role = 'worker'")
        except Exception:  # the database may be what was killed
            return False
        return {process.pid for process in self.fleet} <= {row["pid"] for row in rows}

    async def one_up(self) -> subprocess.Popen[bytes]:
        """Wait until a worker of the fleet, not hit before, has run something; return one of those."""

        async def up() -> Any:
            pids = self.started_since(0.0)
            return [p for p in self.fleet if p.pid in pids and p.poll() is None and p.pid not in self.hit]

        found: list[subprocess.Popen[bytes]] = await self.until(up, "a worker runs jobs")
        return self.rng.choice(found)

    async def loaded(self, jobs: int = 20) -> None:
        """Wait until so many jobs have been accepted and some run."""

        async def both() -> bool:
            return len(self.journal()) >= jobs and bool(self.started_since(0.0))

        await self.until(both, "there is a load")

    def started_since(self, moment: float) -> set[int]:
        """Return the processes that started a job after `moment`; reads only what is new in the sink."""
        with (self.folder / "sink.jsonl").open("rb") as file:
            file.seek(self._read)
            new = file.read()
        whole = new[: new.rfind(b"\n") + 1]
        self._read += len(whole)
        for line in whole.splitlines():
            report = json.loads(line)
            if report["what"] == "start":
                self._started[report["pid"]] = report["at"]
        return {pid for pid, at in self._started.items() if at > moment}

    async def all_beat(self, within: float = 60) -> float:
        """Wait until every worker of the fleet is registered; return the seconds it took."""
        begun = time.monotonic()
        await self.until(self._all_beat, "all workers are registered", within)
        return time.monotonic() - begun

    def strike(self, process: subprocess.Popen[bytes], number: int = signal.SIGKILL) -> None:
        """Send a signal to a process and all that it started."""
        self.hit.add(process.pid)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, number)

    # --- producers

    def produce(self, count: int, **order: Any) -> subprocess.Popen[bytes]:
        """Start a producer process."""
        order = {
            "journal": str(self.folder / f"journal-{len(self.processes)}.jsonl"),
            "count": count,
            "rate": 40.0,
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

    def sunk(self) -> list[dict[str, Any]]:
        """All that runs reported, in order."""
        return read_lines(self.folder / "sink.jsonl")

    async def quiet(self, without: float = 60) -> float:
        """Wait until no job is live; return the seconds it took.

        Gives up once nothing has ended for so many seconds: stuck jobs are for the checker to find.
        """
        begun = moved = time.monotonic()
        left = -1
        while time.monotonic() < moved + without:
            now = (await self.rows("SELECT count(*) AS n FROM job_live"))[0]["n"]
            if not now:
                break
            if now != left:
                left, moved = now, time.monotonic()
            await asyncio.sleep(0.2)
        return time.monotonic() - begun

    async def evidence(self) -> Evidence:
        """Let the work end; return everything that the checker compares."""
        seconds = await self.quiet()
        columns = "id, task, state, attempt, crashes, worker, claim, schedule, due"
        history = await self.rows(f"SELECT {columns}, result, error, attempts, finished FROM job_history")
        live = await self.rows(f"SELECT {columns}, reason FROM job_live")
        return Evidence(
            journal=self.journal(), sink=self.sunk(), history=history, live=live, hit=self.hit, quiet=seconds
        )

    async def leave(self) -> list[int]:
        """End the workers in an orderly way; return processes that are left over."""
        if self._keeper is not None:
            self._keeper.cancel()
        for process in self.fleet:
            self.strike(process, signal.SIGCONT)
            process.terminate()
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline and any(p.poll() is None for p in self.fleet):
            await asyncio.sleep(0.05)
        return [pid for pid in _processes_of(self.folder) if pid != self._sink.pid]

    def end(self) -> None:
        """Kill what is left and remove what is outside of the folder."""
        self.stop()
        shutil.rmtree(self._short, ignore_errors=True)


def _processes_of(folder: Path) -> Iterator[int]:
    """Yield the processes, other than this one, that were started in a folder."""
    for process in psutil.process_iter():
        try:
            if process.cwd() == str(folder) and process.status() != psutil.STATUS_ZOMBIE:
                yield process.pid
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
