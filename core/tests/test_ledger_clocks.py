"""Leases under clocks that are set, machines that start anew, and machines that are suspended."""

from __future__ import annotations

import asyncio
import copy
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hopyard.ledger import leader, migrations, workers
from hopyard.ledger.database import Database, open_database
from hopyard.ledger.dialect import Dialect
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

LEASE = 8.0
#: How often a process asks for the lead.
ASKS = 2.0
#: Beyond the lease itself: what a process that asks may be late by, and what is taken for a clock that runs.
FEW = ASKS + 2.0


class World:
    """A ledger whose clock of leases is the test's, and processes that lead and work."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.clock = 3000.0
        made = copy.copy(database.dialect)
        world = self

        class Clocked(type(made)):  # type: ignore[misc]
            @property
            def clock(self) -> str:
                if self.name == "sqlite":
                    return str(round(world.clock * 1_000_000))
                moment = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=world.clock)
                return f"CAST('{moment.isoformat()}' AS timestamptz)"

        made.__class__ = Clocked
        self.dialect: Dialect = made
        database.dialect = made
        self.living = {"a", "b", "c"}
        self.terms: dict[int, str] = {}
        self.since_led = 0.0
        self.before: dict[str, int] = {}

    async def pass_(self, seconds: float, asking: set[str]) -> None:
        """Let time pass; who lives and asks does so every `ASKS` seconds."""
        left = seconds
        while left > 0:
            step = min(left, ASKS)
            left -= step
            self.clock += step
            self.since_led += step
            for name in sorted(asking & self.living):
                await self.ask(name)
            await self.check()
            if asking & self.living:
                assert self.since_led <= LEASE + FEW, "nobody leads"

    async def ask(self, name: str) -> None:
        term = await leader.lead(self.database, "duty", name, LEASE)
        if term is None:
            self.before.pop(name, None)
            return
        assert self.terms.setdefault(term, name) == name, "two holders under one term"
        assert term == max(self.terms)
        self.before[name] = term
        self.since_led = 0.0

    async def check(self) -> None:
        """Of all that believe to lead at most one may write."""
        leading = []
        async with self.database.transaction() as tx:
            for name, term in self.before.items():
                if await leader.leads(tx, self.dialect, "duty", name, term):
                    leading.append(name)
        assert len(leading) <= 1

    async def set_clock(self, seconds: float) -> None:
        self.clock = max(1.0, self.clock + seconds)
        await self.check()

    async def reboot(self) -> None:
        """All processes are gone, and others begin; the clock begins anew on SQLite."""
        if self.database.dialect.name == "sqlite":
            self.clock = 20.0
        self.living = {f"{name}'" for name in self.living}
        self.before.clear()
        self.since_led = 0.0


moves = st.lists(
    st.one_of(
        st.tuples(st.just("pass"), st.floats(0.5, 20), st.sets(st.sampled_from("abc"))),
        st.tuples(st.just("set"), st.floats(-10_000, 10_000)),
        st.tuples(st.just("set"), st.floats(-12, 12)),
        st.tuples(st.just("reboot")),
        st.tuples(st.just("resign"), st.sampled_from("abc")),
    ),
    max_size=12,
)


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of a ledger, made outside of any loop: each example has a loop of its own."""
    if request.param == "sqlite":
        made = f"sqlite:///{tmp_path / 'ledger.db'}"
    else:
        from servers import fresh_database

        made = fresh_database(request.getfixturevalue("postgres_url"))
    asyncio.run(migrations.upgrade(made, {migrations.CORE: migrations.CORE_PACKAGE}))
    return made


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(moves)
def test_somebody_leads_soon_and_nobody_beside_him(url: str, steps: list[tuple[Any, ...]]) -> None:
    """Clocks that jump, reboots, processes that stop asking: the lead is free within a lease and a bit."""

    async def live() -> None:
        database = open_database(url)
        try:
            await database.execute("DELETE FROM leader")
            world = World(database)
            for kind, *values in steps:
                if kind == "pass":
                    named = {name for name in world.living if name.rstrip("'") in values[1]}
                    world.since_led = 0.0  # those that ask now may be others
                    await world.pass_(values[0], named)
                elif kind == "set":
                    await world.set_clock(values[0])
                elif kind == "reboot":
                    await world.reboot()
                else:
                    await leader.resign(database, "duty", values[0])
            world.since_led = 0.0
            await world.pass_(LEASE + FEW + ASKS, set(sorted(world.living)[:1]))
        finally:
            await database.close()

    asyncio.run(live())


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.floats(-10_000, 10_000), max_size=4), st.floats(0, 20))
def test_a_dead_worker_is_lost_within_two_leases_whatever_the_clock_does(
    url: str, jumps: list[float], pause: float
) -> None:
    async def live() -> None:
        database = open_database(url)
        try:
            await database.execute("UPDATE worker SET stopped = beat")
            world = World(database)
            number = await workers.register(
                database, name="dead", role="worker", queues=["q"], plugins={}, lease=LEASE
            )
            for jump in jumps:
                world.clock = max(1.0, world.clock + jump)
            lost = (await workers.rescue(database)).workers
            waited = 0.0
            while number not in lost and waited <= 2 * LEASE + FEW:
                waited += ASKS
                world.clock += ASKS
                lost = (await workers.rescue(database)).workers
            assert number in lost
        finally:
            await database.close()

    asyncio.run(live())


@pytest.mark.parametrize("up", [50 * 60.0, 70.0, 21.0])
async def test_after_a_reboot_somebody_leads_at_once(database: Database, up: float) -> None:
    """Whether the processes stopped in order or with the machine, however long it had been up."""
    if database.dialect.name != "sqlite":
        pytest.skip("a server's clock goes on while it is down")
    world = World(database)
    for orderly in (True, False):
        world.clock = up
        await database.execute("DELETE FROM leader")
        assert await leader.lead(database, "duty", f"before {orderly}", LEASE)
        if orderly:
            await leader.resign(database, "duty", f"before {orderly}")
        world.clock = 20.0
        first = await leader.lead(database, "duty", f"after {orderly}", LEASE)
        if first is None:  # it had been up for hardly longer: the lease itself is waited for
            assert not orderly
            assert up < 20 + LEASE
            world.clock += LEASE + 2
            first = await leader.lead(database, "duty", f"after {orderly}", LEASE)
        assert first


async def test_leases_of_different_lengths_do_not_take_turns(database: Database) -> None:
    assert await leader.lead(database, "duty", "long", 60) == 1
    for _ in range(3):
        assert await leader.lead(database, "duty", "short", 1) is None
    assert await leader.lead(database, "duty", "long", 60) == 1


async def test_a_clock_that_was_set_back_a_little_costs_no_worker_its_jobs(ledger: Any) -> None:
    world = World(ledger.database)
    worker = await ledger.worker(lease=15)
    await ledger.running(worker)
    world.clock -= 10
    assert (await workers.rescue(ledger.database)).workers == []
    assert await workers.beat(ledger.database, worker)


async def test_what_was_accepted_before_the_clock_was_set_back_is_told_all_the_same(ledger: Any) -> None:
    """Outbox entries, marks of what follows and forgotten jobs: a moment that lies ahead is long ago."""
    from hopyard.ledger import following, waiting

    id_ = await ledger.job()
    linked = await ledger.job(linked=True)
    await ledger.database.execute("INSERT INTO job_follow (id, created) SELECT id, created FROM job_outbox")
    for table, column in (("job_outbox", "created"), ("job_live", "created"), ("job_follow", "created")):
        await ledger.later(table, column, -365 * 86400)
    assert {ring.id for ring in await waiting.unsent(ledger.database, 2.0)} == {id_, linked}
    assert {ring.id for ring in await waiting.forgotten(ledger.database, ["q"], 5.0)} == {id_, linked}
    await ledger.later("job_live", "rung", -365 * 86400)
    assert {ring.id for ring in await waiting.forgotten(ledger.database, ["q"], 5.0)} == {id_, linked}
    assert {*await following.marked(ledger.database, 2.0, 10)} == {id_, linked}
