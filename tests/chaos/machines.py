"""Servers that can be killed and come back on the same port with the same data."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import psutil
from hopyard.local import broker
from hopyard.supervise import die_with_parent
from servers import free_port, postgres_programs, running_rabbitmq


class Machine:
    """A server process, by how it is started and when it answers."""

    def __init__(
        self,
        url: str,
        argv: Sequence[str],
        folder: Path,
        answers: Callable[[], bool],
        *,
        user: str | None = None,
        env: Mapping[str, str] | None = None,
    ) -> None:
        self.url = url
        self._argv, self._folder, self._answers, self._user = argv, folder, answers, user
        self._env = dict(env) if env is not None else dict(os.environ)
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it and wait until it answers."""
        with (self._folder / "server.log").open("ab") as log:
            self._process = subprocess.Popen(
                self._argv,
                cwd=self._folder,
                env=self._env,
                user=self._user,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                preexec_fn=die_with_parent(signal.SIGKILL),
            )
        deadline = time.monotonic() + 90
        while not self._answers():
            assert self._process.poll() is None, (self._folder / "server.log").read_text()[-4000:]
            assert time.monotonic() < deadline, f"{self._argv[0]} does not answer"
            time.sleep(0.05)

    def forget(self) -> None:
        """Delete what a dead server left on disk: it comes back empty."""
        for path in self._folder.iterdir():
            if path.is_dir():
                shutil.rmtree(path)
            elif path.name != "server.log":
                path.unlink()

    def kill(self) -> None:
        """Kill -9, with all its processes."""
        assert self._process is not None
        for process in reversed(_family(self._process.pid)):
            _kill(process)
        self._process.wait()


def _family(pid: int) -> list[psutil.Process]:
    process = psutil.Process(pid)
    return [process, *process.children(recursive=True)]


def _kill(process: psutil.Process) -> None:
    try:
        process.kill()
    except psutil.NoSuchProcess:
        return


@contextmanager
def redis_machine(program: str, folder: Path) -> Iterator[Machine]:
    """Redis or Valkey that writes each command to disk before it answers."""
    folder.mkdir()
    port = free_port()
    url = f"redis://127.0.0.1:{port}/0"
    argv = [program, "--bind", "127.0.0.1", "--port", str(port), "--dir", str(folder), "--save", ""]
    argv += ["--appendonly", "yes", "--appendfsync", "always"]
    machine = Machine(url, argv, folder, lambda: broker.answers(url))
    machine.start()
    try:
        yield machine
    finally:
        machine.kill()


@contextmanager
def postgres_machine(folder: Path) -> Iterator[Machine]:
    """PostgreSQL with fsync on.

    With room for connections that are forgotten (T5): a wire keeps them for ever, up to nine a worker.
    """
    programs, port = postgres_programs(), free_port()
    folder.mkdir()
    user = "postgres" if os.geteuid() == 0 else None  # it refuses to run as root
    if user:
        shutil.chown(folder, user)
    data = folder / "data"
    create = [str(programs / "initdb"), "--pgdata", str(data), "--username", "hopyard", "--auth", "trust"]
    create += ["--encoding", "UTF8", "--no-locale", "--no-sync"]
    subprocess.run(create, check=True, capture_output=True, cwd=folder, user=user)
    ready = [str(programs / "pg_isready"), "--host", "127.0.0.1", "--port", str(port), "--quiet"]
    machine = Machine(
        f"postgresql+asyncpg://hopyard@127.0.0.1:{port}/postgres",
        [
            str(programs / "postgres"),
            "-D",
            str(data),
            "-h",
            "127.0.0.1",
            "-p",
            str(port),
            "-k",
            "",
            "-N",
            "400",
        ],
        folder,
        lambda: subprocess.run(ready, check=False).returncode == 0,
        user=user,
    )
    machine.start()
    try:
        yield machine
    finally:
        machine.kill()


class _Node(Machine):
    """A RabbitMQ node that somebody else started: found by its name, started again in the same way."""

    def __init__(self, url: str, folder: Path) -> None:
        port = url.rpartition(":")[2].strip("/")
        self._name = f"hopyard{port}@localhost"
        first = self._find()
        super().__init__(url, first.cmdline(), folder, lambda: self._speaks(), env=first.environ())

    def _find(self) -> psutil.Process:
        for process in psutil.process_iter():
            try:
                named = process.environ().get("RABBITMQ_NODENAME") == self._name
                if named and "beam" not in process.name() and process.ppid() == os.getpid():
                    return process
            except psutil.Error:
                continue
        raise RuntimeError(f"no process of {self._name}")

    def _speaks(self) -> bool:
        from servers import _speaks_amqp

        return _speaks_amqp(self.url)

    def kill(self) -> None:
        for process in reversed(_family(self._find().pid)):
            _kill(process)
        psutil.wait_procs([])
        if self._process is not None:
            self._process.wait()


@contextmanager
def rabbitmq_machine(folder: Path) -> Iterator[Machine]:
    """A RabbitMQ node."""
    folder.mkdir()
    with running_rabbitmq() as url:
        node = _Node(url, folder)
        yield node
        if node._process is not None:
            node.kill()
