"""One system under measurement: its client, workers and servers. Every wait has a deadline."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import psutil

from benchmarks.environments import PLACE, ROOT
from benchmarks.measure import cpu, tree
from benchmarks.systems.jobs import SLOTS, marks

sys.path.insert(0, str(ROOT / "tests"))
import servers
from hopyard.supervise import die_with_parent


class FailedSystem(Exception):
    """A system did not do what it should, in time. The text says what, with the end of its log."""


@dataclass(frozen=True)
class System:
    """A contender. `scale`: how many times as many jobs as stock Celery it gets, to last as long."""

    name: str
    environment: str
    module: str
    uses: tuple[str, ...] = ("redis",)
    scale: int = 1
    env: Mapping[str, str] = field(default_factory=dict)


class Servers:
    """One Redis and one PostgreSQL for all systems of a run."""

    def __init__(self, redis: str, postgres: str) -> None:
        self.redis, self.postgres = redis, postgres
        mine = psutil.Process().children()
        self.pids = {
            name: [p.pid for p in mine if p.name().startswith(name)] for name in ("redis", "postgres")
        }

    def flush(self) -> None:
        """Empty Redis."""
        import redis

        with redis.Redis.from_url(self.redis) as client:
            client.flushall()

    @contextmanager
    def database(self) -> Iterator[str]:
        """A database of its own; its vacuum is not to be charged to the next system."""
        parts = urlsplit(servers.fresh_database(self.postgres))
        try:
            yield urlunsplit(parts._replace(scheme="postgresql"))
        finally:
            place = ["-h", str(parts.hostname), "-p", str(parts.port), "-U", str(parts.username)]
            drop = [str(servers.postgres_programs() / "dropdb"), "--force", "--if-exists", *place]
            subprocess.run([*drop, parts.path[1:]], check=True, capture_output=True, timeout=60)


@contextmanager
def running_servers() -> Iterator[Servers]:
    """Start the servers."""
    with servers.running_postgres() as postgres, servers.running_redis("redis-server") as redis:
        yield Servers(redis, postgres)


class Session:
    """A system in a folder of its own, from the start of its client to the end of the block."""

    def __init__(self, system: System, python: Path, shared: Servers) -> None:
        self.system, self.servers, self._python = system, shared, python
        self._next = 0
        self._stack = ExitStack()

    def __enter__(self) -> Session:
        with ExitStack() as stack:
            self.folder = PLACE / "sessions" / f"{self.system.name}-{secrets.token_hex(3)}"
            self.folder.mkdir(parents=True)
            path = self.folder / "marks"
            with path.open("wb") as file:
                file.truncate(SLOTS * 8)
            self.marks = marks(str(path))
            self.servers.flush()
            self.environment = {
                **{k: v for k, v in os.environ.items() if not k.startswith(("HOPYARD_", "VIRTUAL_ENV"))},
                **self.system.env,
                "BENCH_MARKS": str(path),
                "BENCH_REDIS": self.servers.redis,
                "BENCH_POSTGRES": stack.enter_context(self.servers.database()),
                "PYTHONPATH": str(ROOT),
            }
            stack.callback(path.unlink)
            command = [str(self._python), "-m", self.system.module]
            self._client = self._start(command, "client", subprocess.PIPE)
            stack.callback(self._end, [self._client])
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    # --- the client

    def order(self, op: str, within: float = 60, **arguments: Any) -> Any:
        """Let the client do something. Raises `FailedSystem`."""
        assert self._client.stdin is not None
        assert self._client.stdout is not None
        try:
            self._client.stdin.write(json.dumps({"op": op, **arguments}).encode() + b"\n")
            self._client.stdin.flush()
        except BrokenPipeError:
            raise self.failed(f"the client ended before {op}") from None
        if not select.select([self._client.stdout], [], [], within)[0]:
            raise self.failed(f"{op} took more than {within:g} s")
        answer = json.loads(self._client.stdout.readline() or '{"error": "the client ended"}')
        if "error" in answer:
            raise self.failed(f"{op}: {answer['error']}")
        return answer["ok"]

    def numbers(self, count: int) -> int:
        """Return the first of so many numbers of jobs that nobody had yet."""
        first, self._next = self._next, self._next + count
        return first

    def reset(self) -> None:
        """Forget all jobs; no worker may run."""
        self.order("reset")

    def server_cpu(self) -> float:
        """Return the CPU seconds of the servers that this system uses."""
        return cpu(pid for name in self.system.uses for pid in self.servers.pids[name])

    # --- its workers

    @contextmanager
    def workers(self, kind: str, **env: str) -> Iterator[list[int]]:
        """Worker processes until the end of the block; yields their process numbers."""
        commands = self.order("workers", kind=kind)
        running = [self._start(command, f"worker-{kind}-{n}", env=env) for n, command in enumerate(commands)]
        try:
            yield [process.pid for process in running]
        finally:
            self._end(running)

    @contextmanager
    def frozen(self, pids: list[int]) -> Iterator[None]:
        """Workers stand still while their queue is filled; stopped when idle, for one may hold a lock."""
        used = -1.0
        while (now := cpu(pids)) - used > 0.005:
            used = now
            time.sleep(0.25)
        stopped = tree(pids)
        for process in stopped:
            process.suspend()
        try:
            yield
        finally:
            for process in reversed(stopped):
                with contextlib.suppress(psutil.NoSuchProcess):
                    process.resume()

    def until(self, met: Callable[[], bool], what: str, within: float, pause: float = 0.005) -> None:
        """Wait for a condition. Raises `FailedSystem`."""
        deadline = time.monotonic() + within
        while not met():
            if time.monotonic() > deadline:
                raise self.failed(f"{what}: not within {within:g} s")
            time.sleep(pause)

    def started(self, first: int, count: int) -> Callable[[], bool]:
        """Return a test whether all of these jobs have started; cheap to ask again and again."""
        place = first

        def all_started() -> bool:
            nonlocal place
            while place < first + count and self.marks[place]:
                place += 1
            return place == first + count

        return all_started

    def failed(self, what: str) -> FailedSystem:
        """Return the error, with the ends of the logs."""
        logs = sorted(self.folder.glob("*.log"))
        ends = "\n".join(f"== {log.name}\n{log.read_text(errors='replace')[-1500:]}" for log in logs)
        return FailedSystem(f"{self.system.name}: {what}\n{ends}")

    def _start(
        self, command: list[str], name: str, pipe: int | None = None, env: Mapping[str, str] | None = None
    ) -> subprocess.Popen[bytes]:
        with (self.folder / f"{name}.log").open("ab") as log:
            return subprocess.Popen(
                command,
                cwd=self.folder,
                env={**self.environment, **(env or {})},
                stdin=pipe or subprocess.DEVNULL,
                stdout=pipe or log,
                stderr=log,
                start_new_session=True,
                preexec_fn=die_with_parent(signal.SIGKILL),
            )

    def _end(self, running: list[subprocess.Popen[bytes]]) -> None:
        everybody = tree(process.pid for process in running)
        for process in running:
            process.terminate()
        _, alive = psutil.wait_procs(everybody, timeout=8)
        for process in alive:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        for ended in running:
            ended.wait(10)
            for stream in (ended.stdin, ended.stdout):
                if stream is not None:
                    stream.close()
