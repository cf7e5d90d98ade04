"""The fault suite's stands and its report. Deselected unless it is asked for (`plan.MODE`)."""

from __future__ import annotations

import importlib.metadata
import random
import subprocess
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from chaos import plan
from chaos.machines import Machine, postgres_machine, rabbitmq_machine, redis_machine
from chaos.place import Place, place_in
from chaos.siege import Round, Siege
from chaos.wheels import Installation
from hopyard.local import broker
from servers import _folder as open_folder
from servers import fresh_database

_sieges: list[Siege] = []
_others: list[Round] = []
_installed: list[Installation] = []
_FOLDER = Path(__file__).parent


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "chaos: the fault suite (`make chaos-smoke`, `make chaos`)")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave the suite out unless it is asked for."""
    ours = [item for item in items if item.path.is_relative_to(_FOLDER)]
    for item in ours:
        item.add_marker(pytest.mark.chaos)
        item.add_marker(pytest.mark.timeout(3600 if plan.MODE == "full" else 420))
    if not plan.MODE and ours:
        config.hook.pytest_deselected(items=ours)
        items[:] = [item for item in items if item not in ours]


class Stand:
    """The servers of one pair."""

    def __init__(self, pair: str, database: Machine | None, broker_: Machine) -> None:
        self.pair, self.database, self.broker = pair, database, broker_

    def empty(self) -> None:
        """Take everything from the broker."""
        if not self.pair.endswith("rabbitmq"):
            import redis

            with redis.Redis.from_url(self.broker.url) as client:
                client.flushall()
            return
        from kombu.connection import Connection

        with Connection(self.broker.url) as connection:  # type: ignore[no-untyped-call]
            ours = ("site", "site.ticks", "site.busy", "site.paged", "site.many")
            for queue in (*ours, "hopyard", "hopyard:epoch"):
                connection.default_channel.queue_purge(queue)


@pytest.fixture(scope="session")
def installation(tmp_path_factory: pytest.TempPathFactory) -> Installation:
    """The wheels under test, installed once."""
    _installed.append(Installation(tmp_path_factory.mktemp("installation")))
    return _installed[0]


@pytest.fixture(scope="session", params=plan.pairs())
def stand(request: pytest.FixtureRequest) -> Iterator[Stand]:
    """A pair of database and broker, started once."""
    pair: str = request.param
    with ExitStack() as stack:
        folder = stack.enter_context(open_folder())
        database = stack.enter_context(postgres_machine(folder / "db")) if "postgres" in pair else None
        if "rabbitmq" in pair:
            machine = stack.enter_context(rabbitmq_machine(folder / "broker"))
        else:
            program = str(broker.binary()) if "valkey" in pair else plan.redis_program()
            machine = stack.enter_context(redis_machine(program, folder / "broker"))
        yield Stand(pair, database, machine)


@pytest.fixture
async def place(stand: Stand, installation: Installation, tmp_path: Path) -> AsyncIterator[Place]:
    """A site with an empty database, an empty broker and no processes."""
    database = f"sqlite:///{tmp_path / 'hopyard.db'}"
    if stand.database is not None:
        database = fresh_database(stand.database.url)
    rng = random.Random(f"{plan.SEED}:{stand.pair}")
    urls = {"broker": stand.broker.url, "database": database}
    with place_in(tmp_path, installation=installation, **urls, rng=rng) as made:
        await made.upgrade()
        yield made
        left = await made.leave()
        await made.close()
        assert not left, f"I9 processes are left over: {left}\n{made.logs()}"


@pytest.fixture
def siege(stand: Stand, place: Place) -> Siege:
    """The site, to be struck by all faults of the plan."""
    if plan.ONLY and plan.ONLY <= plan.ALONE:
        pytest.skip("left out")
    made = Siege(place, stand.pair, stand.database, stand.broker, stand.empty)
    _sieges.append(made)
    return made


@pytest.fixture
def alone(stand: Stand) -> Iterator[dict[str, Round]]:
    """The rounds of faults with an installation of their own. Skipped where none are planned."""
    made = {fault: Round(fault, stand.pair) for fault in plan.ALONE}
    planned = [fault for fault in made.values() if fault.planned]
    if not planned:
        pytest.skip("; ".join(plan.SKIPS.get((fault, stand.pair), "left out") for fault in sorted(made)))
    _others.extend(planned)
    yield made
    for fault in planned:
        fault.say()


@pytest.fixture
def empty(stand: Stand) -> Callable[[], None]:
    """Take everything from the broker."""
    return stand.empty


def _versions() -> str:
    names = ("celery", "kombu", "asyncpg", "redis")
    found = [f"{name} {importlib.metadata.version(name)}" for name in names]
    for argv in (["postgres", "--version"], ["redis-server", "--version"]):
        try:
            said = subprocess.run(argv, capture_output=True, text=True, check=False).stdout.split()
        except FileNotFoundError:
            continue
        found.append(" ".join(said[:3]))
    return ", ".join(found)


def _shown(numbers: dict[str, Any]) -> str:
    return "  ".join(f"{key} {value}" for key, value in numbers.items())


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Print planned and run rounds, the numbers, and every skip."""
    if not plan.MODE:
        return
    say = terminalreporter.write_line
    say(f"\nfault suite, {plan.MODE}, lease {plan.LEASE:g} s, seed {plan.SEED}, break {plan.BREAK or 'none'}")
    for made in _installed:
        say(f"processes run {made.what}, built and installed in {made.seconds:.0f} s; {_versions()}")
    for siege in _sieges:
        say(f"{siege.pair}: {_shown(siege.numbers)}")
        for one in siege.rounds.values():
            say(f"  {one.fault:11} rounds {one.run:>4} of {one.planned:<4}  {_shown(one.numbers)}")
    for one in _others:
        say(f"{one.pair}: {one.fault} rounds {one.run} of {one.planned}  {_shown(one.numbers)}")
    for (fault, pair), why in sorted(plan.SKIPS.items()):
        if pair in plan.pairs():
            say(f"{fault:11} {pair:18} skipped: {why}")


def pytest_sessionfinish(session: pytest.Session) -> None:
    """A skip that is not declared, and a round that was not run, turn the suite red."""
    if not plan.MODE or session.config.option.collectonly:
        return
    reports = session.config.pluginmanager.get_plugin("terminalreporter")
    skipped = len(reports.stats.get("skipped", ())) if reports else 0
    declared = sum(not any(plan.rounds(one, pair) for one in plan.ALONE) for pair in plan.pairs())
    declared += len(plan.pairs()) if plan.ONLY and plan.ONLY <= plan.ALONE else 0
    rounds = [fault for siege in _sieges for fault in siege.rounds.values()] + _others
    short = [(fault.fault, fault.pair) for fault in rounds if fault.run < fault.planned]
    if reports and session.exitstatus == 0 and (short or skipped > declared or not rounds):
        session.exitstatus = 3
        reports.write_line(f"RED: rounds not run: {short}; skipped {skipped}, declared {declared}")
