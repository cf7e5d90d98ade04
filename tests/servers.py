"""Real servers for tests, started on first use and gone with the tests, however these end.

A pytest plugin (`-p servers`, or `pytest_plugins` in the top conftest, with this folder on the path). Each
fixture lives for the session and gives a URL; `fresh_database` makes an empty database for one test. A test
whose server is not installed is skipped; where the environment has `CI=true`, it fails.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import psutil
import pytest
from hopyard.local import broker
from hopyard.supervise import die_with_parent

_PREFIX = "hopyard-servers-"
_PAUSE = 0.05
#: Bytes that must be free in memory: the servers of three test processes write some 3 GB.
_ROOM = 8_000_000_000
_RABBITMQ_PROGRAMS = ("/usr/lib/rabbitmq/bin/rabbitmq-server", "/opt/rabbitmq/sbin/rabbitmq-server")


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    """A PostgreSQL server; its database is not to be used: take `fresh_database(postgres_url)`.

    It waits for no disk: what is killed here are processes, and what they wrote is the kernel's by then.
    """
    with running_postgres(fsync=False) as url:
        yield url


@pytest.fixture(scope="session")
def valkey_url() -> Iterator[str]:
    """The embedded Valkey on a TCP port, as a server elsewhere would be."""
    with running_redis(str(broker.binary())) as url:
        yield url


@pytest.fixture(scope="session")
def redis_url() -> Iterator[str]:
    """A Redis server of the system."""
    with running_redis(
        _needed(shutil.which("redis-server"), "redis-server on the PATH", strict=False)
    ) as url:
        yield url


@pytest.fixture(scope="session")
def rabbitmq_url() -> Iterator[str]:
    """A RabbitMQ server with its default user and virtual host."""
    with running_rabbitmq() as url:
        yield url


@pytest.fixture(scope="session")
def pgbouncer_url(postgres_url: str) -> Iterator[str]:
    """PgBouncer in front of `postgres_url`, in transaction mode; its URL says so."""
    with running_pgbouncer(postgres_url) as url:
        yield url


def fresh_database(url: str) -> str:
    """Create an empty database on the server of `postgres_url` and return its URL."""
    parts = urlsplit(url)
    name = f"test_{secrets.token_hex(6)}"
    place = ["--host", str(parts.hostname), "--port", str(parts.port), "--username", str(parts.username)]
    command = [str(postgres_programs() / "createdb"), *place, "--template", "template0", name]
    subprocess.run(command, check=True, capture_output=True, timeout=60)
    return urlunsplit(parts._replace(path=f"/{name}"))


def postgres_programs() -> Path:
    """The folder with PostgreSQL's programs, of the newest version there is; skips or fails without."""
    initdb = shutil.which("initdb")
    found = [Path(initdb).resolve().parent] if initdb else []
    found += Path("/usr/lib/postgresql").glob("*/bin")
    newest = max(
        (folder for folder in found if (folder / "initdb").exists()),
        key=lambda folder: [int(part) for part in folder.parts if part.isdigit()],
        default=None,
    )
    return Path(_needed(str(newest) if newest else None, "PostgreSQL's programs"))


@contextmanager
def running_postgres(*, fsync: bool = True) -> Iterator[str]:
    """A PostgreSQL server on a port of 127.0.0.1, with any password."""
    programs = postgres_programs()
    with ExitStack() as stack:
        folder = stack.enter_context(_folder())
        user = _plain_user() if os.geteuid() == 0 else None  # PostgreSQL refuses to run as root
        if user is not None:
            shutil.chown(folder, user)
        data, port = folder / "data", free_port()
        create = [str(programs / "initdb"), "--pgdata", str(data), "--username", "hopyard", "--auth", "trust"]
        subprocess.run(
            [*create, "--encoding", "UTF8", "--no-locale", "--no-sync"],
            check=True,
            capture_output=True,
            cwd=folder,
            user=user,
        )
        options = ["-D", str(data), "-h", "127.0.0.1", "-p", str(port), "-k", ""]
        options += ["-c", "max_connections=300", "-c", "max_wal_size=256MB"]
        options += ["-c", f"fsync={'on' if fsync else 'off'}"]
        ready = [str(programs / "pg_isready"), "--host", "127.0.0.1", "--port", str(port), "--quiet"]
        stack.enter_context(
            _server(
                [str(programs / "postgres"), *options],
                folder,
                lambda: subprocess.run(ready, check=False).returncode == 0,
                user=user,
                stop_signal=signal.SIGQUIT,  # at once: the data is thrown away
            )
        )
        yield f"postgresql+asyncpg://hopyard@127.0.0.1:{port}/postgres"


@contextmanager
def running_pgbouncer(url: str) -> Iterator[str]:
    """PgBouncer for all databases of a server: three connections to each, no statement kept prepared."""
    program = _needed(shutil.which("pgbouncer", path=f"{os.environ['PATH']}:/usr/sbin"), "pgbouncer")
    server = urlsplit(url)
    version = subprocess.run([program, "--version"], check=True, capture_output=True, text=True).stdout
    with ExitStack() as stack:
        folder, port = stack.enter_context(_folder()), free_port()
        settings = {
            "listen_addr": "127.0.0.1",
            "listen_port": port,
            "unix_socket_dir": "",
            "auth_type": "any",
            "pool_mode": "transaction",
            "default_pool_size": 3,
            "max_client_conn": 500,
        }
        if [int(part) for part in version.split()[1].split(".")[:2]] >= [1, 21]:
            settings["max_prepared_statements"] = 0
        lines = [f"* = host={server.hostname} port={server.port} user={server.username}", "[pgbouncer]"]
        lines += [f"{name} = {value}" for name, value in settings.items()]
        (folder / "pgbouncer.ini").write_text("\n".join(["[databases]", *lines, ""]))
        user = _plain_user() if os.geteuid() == 0 else None  # it refuses to run as root
        stack.enter_context(
            _server(
                [program, str(folder / "pgbouncer.ini")],
                folder,
                _listens(port),
                user=user,
                stop_signal=signal.SIGQUIT,  # at once
            )
        )
        place = server._replace(netloc=f"{server.username}@127.0.0.1:{port}")
        yield urlunsplit(place._replace(query="prepared_statement_cache_size=0"))


@contextmanager
def running_redis(program: str) -> Iterator[str]:
    """A Redis or Valkey server on a port of 127.0.0.1 that keeps nothing on disk."""
    with ExitStack() as stack:
        folder, port = stack.enter_context(_folder()), free_port()
        url = f"redis://127.0.0.1:{port}/0"
        options = ["--bind", "127.0.0.1", "--port", str(port), "--dir", str(folder), "--save", ""]
        stack.enter_context(_server([program, *options], folder, lambda: broker.answers(url)))
        yield url


@contextmanager
def running_rabbitmq(options: str = "") -> Iterator[str]:
    """A RabbitMQ node of its own name, ports and folders, with a port mapper (epmd) of its own.

    `options` are more words for Erlang's command line.
    """
    program = rabbitmq_program()
    mapper = _needed(shutil.which("epmd"), "Erlang's epmd")
    with ExitStack() as stack:
        folder = stack.enter_context(_folder())
        mapper_port, port, peers = free_port(), free_port(), free_port()
        # Started here, for the one that Erlang would start goes on for ever.
        stack.enter_context(
            _server(
                [mapper, "-port", str(mapper_port), "-address", "127.0.0.1"], folder, _listens(mapper_port)
            )
        )
        (folder / "plugins").write_text("[].\n")
        (folder / "rabbitmq.conf").write_text(
            f"listeners.tcp.1 = 127.0.0.1:{port}\n"
            "log.console = true\nlog.file = false\ndisk_free_limit.absolute = 50MB\n"
        )
        env = {
            "HOME": str(folder),
            "ERL_EPMD_PORT": str(mapper_port),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODENAME": f"hopyard{port}@localhost",
            "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODE_PORT": str(port),
            "RABBITMQ_DIST_PORT": str(peers),
            "RABBITMQ_MNESIA_BASE": str(folder / "mnesia"),
            "RABBITMQ_LOG_BASE": str(folder / "log"),
            "RABBITMQ_CONFIG_FILE": str(folder / "rabbitmq.conf"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(folder / "plugins"),
            "RABBITMQ_CONF_ENV_FILE": str(folder / "rabbitmq-env.conf"),
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "-kernel inet_dist_use_interface {127,0,0,1} " + options,
        }
        url = f"amqp://guest:guest@127.0.0.1:{port}//"
        stack.enter_context(_server([program], folder, lambda: _speaks_amqp(url), env=env, within=120))
        yield url


def free_port() -> int:
    """A port of 127.0.0.1 that nobody listens on at the moment.

    Below those that Linux gives to connections: one of these could take it until its server has started.
    """
    while True:
        port = 12_000 + secrets.randbelow(20_000)
        with contextlib.suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port


@contextmanager
def _server(
    argv: Sequence[str],
    folder: Path,
    ready: Callable[[], bool],
    *,
    user: str | None = None,
    env: Mapping[str, str] | None = None,
    stop_signal: int = signal.SIGTERM,
    within: float = 60,
) -> Iterator[None]:
    """Run a server until the end of the block; it ends too when this process is killed."""
    log = folder / f"{Path(argv[0]).name}.log"
    with log.open("ab") as output:
        process = subprocess.Popen(
            argv,
            cwd=folder,
            env={**os.environ, **(env or {})},
            user=user,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
            preexec_fn=die_with_parent(stop_signal),
        )
    try:
        deadline = time.monotonic() + within
        while not ready():
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"{argv[0]} does not run:\n{log.read_text()[-4000:]}")
            time.sleep(_PAUSE)
        yield
    finally:
        process.send_signal(stop_signal)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(10)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


@contextmanager
def _folder() -> Iterator[Path]:
    """A folder that other users may enter, unlike pytest's; those of killed sessions are removed."""
    base = _base()
    for old in base.glob(f"{_PREFIX}*"):
        owner = old.name.removeprefix(_PREFIX).partition("-")[0]
        if owner.isdigit() and not Path(f"/proc/{owner}").exists():
            shutil.rmtree(old, ignore_errors=True)
    folder = Path(tempfile.mkdtemp(prefix=f"{_PREFIX}{os.getpid()}-", dir=base))
    folder.chmod(0o755)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _base() -> Path:
    """Where servers' folders lie: in memory where there is room, for there a new database takes a fifth."""
    memory = Path("/dev/shm")
    if os.access(memory, os.W_OK):
        there = os.statvfs(memory)
        if min(there.f_bavail * there.f_frsize, psutil.virtual_memory().available) > _ROOM:
            return memory
    return Path(tempfile.gettempdir())


def _plain_user() -> str:
    """A user who is not root."""
    for name in ("postgres", "nobody"):
        with contextlib.suppress(KeyError):
            return pwd.getpwnam(name).pw_name
    return _needed(None, "a user who is not root")


def rabbitmq_program() -> str:
    """RabbitMQ's server program; skips or fails without."""
    # Debian's wrapper on the PATH switches to a user and folders of its own: the one behind it comes first.
    found = [program for program in _RABBITMQ_PROGRAMS if os.access(program, os.X_OK)]
    return _needed(found[0] if found else shutil.which("rabbitmq-server"), "RabbitMQ's server")


def _listens(port: int) -> Callable[[], bool]:
    def listens() -> bool:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return True
        return False

    return listens


def _speaks_amqp(url: str) -> bool:
    if not _listens(urlsplit(url).port or 0)():
        return False
    from kombu.connection import Connection

    opened = Connection(url, connect_timeout=2)  # type: ignore[no-untyped-call]
    try:
        with opened as connection:
            connection.connect()
            return True
    except opened.connection_errors:  # it listens before it is ready
        return False


def _needed(found: str | None, what: str, *, strict: bool = True) -> str:
    """Return what was found; without it skip, or in CI fail, the test that asks."""
    if found is not None:
        return found
    if strict and os.environ.get("CI") == "true":
        pytest.fail(f"{what}: not found, and CI needs it (`make setup-test-servers`)", pytrace=False)
    pytest.skip(f"{what}: not found (`make setup-test-servers`)")
