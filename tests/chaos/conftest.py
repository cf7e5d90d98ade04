"""The fault suite's stands and its report. Deselected unless it is asked for (`plan.MODE`)."""

from __future__ import annotations

import asyncio
import importlib.metadata
import random
import subprocess
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from chaos import plan
from chaos.machines import Machine, postgres_machine, rabbitmq_machine, redis_machine
from chaos.place import Place, place_in
from hopyard.local import broker
from servers import fresh_database

_ran: dict[tuple[str, str], dict[str, Any]] = {}
_FOLDER = Path(__file__).parent


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "chaos: the fault suite (`make chaos-smoke`, `make chaos`)")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave the suite out unless it is asked for."""
    ours = [item for item in items if item.path.is_relative_to(_FOLDER)]
    for item in ours:
        item.add_marker(pytest.mark.chaos)
        item.add_marker(pytest.mark.timeout(1800 if plan.MODE == "full" else 240))
    if not plan.MODE and ours:
        config.hook.pytest_deselected(items=ours)
        items[:] = [item for item in items if item not in ours]


class Stand:
    """The servers of one pair."""

    def __init__(self, pair: str, database: Machine | None, broker_: Machine) -> None:
        self.pair, self.database, self.broker = pair, database, broker_
        self.kind = "rabbitmq" if pair.endswith("rabbitmq") else "redis"

    def empty(self) -> None:
        """Take everything from the broker."""
        if self.kind == "redis":
            import redis

            with redis.Redis.from_url(self.broker.url) as client:
                client.flushall()
            return
        from kombu.connection import Connection

        with Connection(self.broker.url) as connection:  # type: ignore[no-untyped-call]
            for queue in ("site", "site.ticks", "site.poison", "hopyard", "hopyard:epoch"):
                connection.default_channel.queue_delete(queue)


@pytest.fixture(scope="session", params=plan.pairs())
def stand(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stand]:
    """A pair of database and broker, started once."""
    import shutil

    pair: str = request.param
    folder = tmp_path_factory.mktemp(pair.replace("+", "-"))
    for parent in (folder, *folder.parents[:3]):
        parent.chmod(0o755)  # PostgreSQL runs as a user of its own
    with ExitStack() as stack:
        database = stack.enter_context(postgres_machine(folder / "db")) if "postgres" in pair else None
        if "rabbitmq" in pair:
            machine = stack.enter_context(rabbitmq_machine(folder / "broker"))
        else:
            program = str(broker.binary()) if "valkey" in pair else shutil.which("redis-server")
            assert program, "redis-server is not installed: `make setup-test-servers`"
            machine = stack.enter_context(redis_machine(program, folder / "broker", persistent=True))
        yield Stand(pair, database, machine)


class Round:
    """What a test does of one fault."""

    def __init__(self, fault: str, pair: str) -> None:
        self.fault, self.pair = fault, pair
        self.planned = plan.rounds(fault, pair)
        self.rng = random.Random(f"{plan.SEED}:{fault}:{pair}")
        self.entry: dict[str, Any] = {"planned": self.planned, "run": 0}
        _ran[fault, pair] = self.entry

    def done(self, **numbers: Any) -> None:
        """Count a round that was run; keep numbers for the table."""
        self.entry["run"] += 1
        self.entry |= numbers

    def verdict(self, violations: list[str], **numbers: Any) -> None:
        """Fail with every violation."""
        self.entry |= {**numbers, "violations": len(violations)}
        shown = "\n".join(violations[:20])
        more = f"\n… and {len(violations) - 20} more" if len(violations) > 20 else ""
        assert not violations, (
            f"{self.fault} {self.pair}, seed {plan.SEED}: {len(violations)} violations\n{shown}{more}"
        )


@pytest.fixture
def fault(request: pytest.FixtureRequest, stand: Stand) -> Round:
    """The rounds of a test marked with `@pytest.mark.parametrize("fault", ["T2"], indirect=True)`."""
    name: str = request.param
    if (name, stand.pair) in plan.SKIPS:
        pytest.skip(plan.SKIPS[name, stand.pair])
    return Round(name, stand.pair)


@pytest.fixture
async def place(stand: Stand, fault: Round, tmp_path: Path) -> AsyncIterator[Place]:
    """An installation on the pair, with an empty database, an empty broker and no processes."""
    stand.empty()
    database = f"sqlite:///{tmp_path / 'hopyard.db'}"
    if stand.database is not None:
        database = fresh_database(stand.database.url)
    with place_in(tmp_path, broker=stand.broker.url, database=database, rng=fault.rng) as made:
        upgrading = threading.Thread(target=lambda: asyncio.run(made.hopyard.upgrade()))
        upgrading.start()
        upgrading.join()
        yield made
        left = await made.leave()
        await made.hopyard.close()
        assert not left, f"I9 processes are left over: {left}\n{made.logs()}"


def _versions() -> str:
    names = ("hopyard", "celery", "kombu", "asyncpg", "redis")
    found = [f"{name} {importlib.metadata.version(name)}" for name in names]
    for argv in (["postgres", "--version"], ["redis-server", "--version"]):
        try:
            said = subprocess.run(argv, capture_output=True, text=True, check=False).stdout.split()
        except FileNotFoundError:
            continue
        found.append(" ".join(said[:3]))
    return ", ".join(found)


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Print planned and run rounds, the numbers, and every skip."""
    if not plan.MODE:
        return
    say = terminalreporter.write_line
    say(
        f"\nfault suite, {plan.MODE}, lease {plan.LEASE:g} s, seed {plan.SEED}, break: {plan.BREAK or 'none'}"
    )
    say(_versions())
    for (fault, pair), entry in sorted(_ran.items()):
        numbers = "  ".join(f"{key} {value}" for key, value in entry.items() if key not in ("planned", "run"))
        say(f"{fault:11} {pair:18} rounds {entry['run']:>4} of {entry['planned']:<4}  {numbers}")
    for (fault, pair), why in sorted(plan.SKIPS.items()):
        if pair in plan.pairs():
            say(f"{fault:11} {pair:18} skipped: {why}")


def pytest_sessionfinish(session: pytest.Session) -> None:
    """A skip that is not declared, and a round that was not run, turn the suite red."""
    if not plan.MODE or session.config.option.collectonly:
        return
    asked = session.config.option.keyword or any("::" in arg for arg in session.config.args)
    reports = session.config.pluginmanager.get_plugin("terminalreporter")
    skipped = len(reports.stats.get("skipped", ())) if reports else 0
    declared = sum(pair in plan.pairs() for _, pair in plan.SKIPS)
    short = [key for key, entry in _ran.items() if entry["run"] < entry["planned"]]
    if session.exitstatus == 0 and (short or skipped > declared):
        session.exitstatus = 3
        reports.write_line(f"RED: rounds not run: {short}; skipped {skipped}, declared {declared}")
    elif session.exitstatus == 0 and not asked and skipped < declared:
        reports.write_line(f"note: {declared} skips are declared, {skipped} were met")
