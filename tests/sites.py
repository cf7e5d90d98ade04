"""A Hopyard installation in a directory of its own, with real processes, for tests of the whole."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
from hopyard import current, portal
from hopyard.app import Hopyard
from hopyard.errors import UnknownJob
from hopyard.supervise import die_with_parent

#: The longest that anything in these tests may take; a deadline, not an expectation.
DEADLINE = 60.0
_BIN = Path(sys.executable).parent


class Site:
    """A directory with `hopyard.toml` and `hopfile.py`, and the processes that were started in it."""

    def __init__(
        self,
        folder: Path,
        *,
        broker: str,
        database: str,
        hopfile: str = "",
        extra: str = "",
        lease: float = 3,
    ) -> None:
        self.folder = folder
        self.broker = broker
        self.processes: list[subprocess.Popen[bytes]] = []
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "hopyard.toml").write_text(
            f'broker_url = "{broker}"\ndatabase_url = "{database}"\ndata = "{folder / "data"}"\n'
            f'[worker]\nlease = {lease:g}\ngrace = 5\n[log]\nformat = "text"\n' + extra
        )
        if hopfile:
            (folder / "hopfile.py").write_text(hopfile)
        self.hopyard = Hopyard.load(config=folder / "hopyard.toml")

    @property
    def environment(self) -> dict[str, str]:
        """By what processes find this site."""
        return {**os.environ, "HOPYARD_CONFIG": str(self.folder / "hopyard.toml"), "PYTHONUNBUFFERED": "1"}

    def start(self, *arguments: str, log: str | None = None) -> subprocess.Popen[bytes]:
        """Start a program of the environment, e.g. `celery -A hopyard worker`; it dies with the tests."""
        name = log or f"{arguments[0]}-{len(self.processes)}"
        with (self.folder / f"{name}.log").open("ab") as output:
            process = subprocess.Popen(
                [str(_BIN / arguments[0]), *arguments[1:]],
                cwd=self.folder,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
                preexec_fn=die_with_parent(signal.SIGKILL),
            )
        self.processes.append(process)
        return process

    def celery(self, *arguments: str, status: int = 0) -> Any:
        """Run `celery -A hopyard …` to its end; return what it printed, as JSON if asked for JSON."""
        ran = subprocess.run(
            [str(_BIN / "celery"), "-A", "hopyard", *arguments],
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            timeout=DEADLINE,
            check=False,
        )
        assert ran.returncode == status, f"{arguments}: {ran.stdout.decode()}{ran.stderr.decode()}"
        return json.loads(ran.stdout) if "--json" in arguments else ran.stdout.decode()

    async def worker(self, *arguments: str, stock: bool = True) -> subprocess.Popen[bytes]:
        """Start a worker and wait until it has registered and consumes."""
        name = f"w{len(self.processes)}"
        if stock:
            command = ["celery", "-A", "hopyard", "worker", "-n", f"{name}@test", "-l", "INFO", *arguments]
        else:
            command = ["hopyard", "worker", "--single", "-n", name, *arguments]
        process = self.start(*command, log=name)
        await self.until(lambda: self.ready(process, name), f"{name} is ready")
        return process

    async def ready(self, process: subprocess.Popen[bytes], name: str) -> bool:
        """Say whether a worker has registered; fails if it has ended."""
        assert process.poll() is None, self.logs()
        rows = await self.rows("SELECT name FROM worker WHERE pid = $1 AND stopped IS NULL", process.pid)
        return bool(rows)

    def logs(self) -> str:
        """Return the ends of all logs."""
        return "\n".join(f"== {p.name}\n{p.read_text()[-6000:]}" for p in sorted(self.folder.glob("*.log")))

    async def until(self, true: Callable[[], Awaitable[Any]], what: str, within: float = DEADLINE) -> Any:
        """Return the first true answer. Fails with the logs when the deadline has passed."""
        deadline = time.monotonic() + within
        while True:
            answer = await true()
            if answer:
                return answer
            assert time.monotonic() < deadline, f"not within {within:g} s: {what}\n{self.logs()}"
            await asyncio.sleep(0.05)

    async def rows(self, sql: str, *parameters: Any) -> list[dict[str, Any]]:
        """Ask the ledger."""
        rows = await self.hopyard.client().database.fetch(sql, *parameters)
        return [{key: row[key] for key in row.keys()} for row in rows]  # noqa: SIM118

    async def submit(self, task: str, options: Mapping[str, Any] | None = None, **kwargs: Any) -> Any:
        """Submit a job; return its handle."""
        return await self.hopyard.task(task).options(**(options or {})).submit(**kwargs)

    async def result(self, handle: Any, within: float = DEADLINE) -> Any:
        """Return a job's result; a failure shows the logs."""
        try:
            return await handle.result(within)
        except Exception as error:
            error.add_note(self.logs())
            raise

    async def ended(self, id_: str) -> dict[str, Any]:
        """Wait until a job is over; return it as people see it."""
        from hopyard.ledger import details

        async def over() -> dict[str, Any] | None:
            try:
                job = await details.job(self.hopyard.client().database, id_)
            except UnknownJob:  # a stock producer's, still on its way
                return None
            return job if job["state"] in ("succeeded", "dead", "cancelled") else None

        found: dict[str, Any] = await self.until(over, f"job {id_} is over")
        return found

    async def state(self, handle: Any, *states: str) -> Any:
        """Wait until a job is in one of these states; return its status."""

        async def there() -> Any:
            status = await handle.status()
            return status if status.state.label in states else None

        return await self.until(there, f"job {handle.id} is {' or '.join(states)}")

    def stop(self, processes: Sequence[subprocess.Popen[bytes]] | None = None) -> None:
        """End processes at once, with all that they started: a worker that drains yet would take messages."""
        ended = self.processes if processes is None else processes
        living = [process for process in ended if process.poll() is None]
        started = [child for process in living for child in _children(process.pid)]
        for pid in [process.pid for process in ended] + [child.pid for child in started]:
            try:
                os.killpg(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        for process in ended:
            process.wait(DEADLINE)
        psutil.wait_procs(started, DEADLINE)


def _children(pid: int) -> list[psutil.Process]:
    try:
        return psutil.Process(pid).children(recursive=True)
    except psutil.NoSuchProcess:
        return []


@contextmanager
def site_in(folder: Path, **values: Any) -> Iterator[Site]:
    """A site whose processes end with the block."""
    site = Site(folder, **values)
    try:
        yield site
    finally:
        site.stop()
        portal.run(site.hopyard.close(), within_loop=True)  # what plain calls opened
        current.set_instance(None)
