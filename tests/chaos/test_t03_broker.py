"""T3: the broker dies, loses its data, or never had any."""

from __future__ import annotations

import asyncio
import shutil
import time
from pathlib import Path
from typing import Any

import pytest
from chaos.checker import check
from chaos.conftest import Stand
from chaos.machines import redis_machine
from chaos.place import Place
from hopyard.local import broker

#: All workers consume again within so many seconds after the broker came back.
_BACK = 35.0


async def _consuming(place: Place, since: float) -> float:
    """Wait until every worker has started a job after `since`; return the seconds it took."""

    async def all_started() -> bool:
        return {process.pid for process in place.fleet} <= place.started_since(since)

    await place.until(all_started, "every worker consumes again", _BACK)
    return time.time() - since


async def _load(place: Place, fault: Any, hurt: Any) -> None:
    """Hurt the broker in each round under load; every worker must consume again, none may end."""
    await place.man()
    workers = [process.pid for process in place.fleet]
    producer = place.produce(100_000, rate=12.0)
    await _consuming(place, time.time())
    longest = 0.0
    for _ in range(fault.planned):
        await asyncio.sleep(fault.rng.uniform(0.5, 2.0))
        await hurt()
        longest = max(longest, await _consuming(place, time.time()))
        fault.done()
    place.enough()
    await place.produced(producer)
    evidence = await place.evidence()
    ended = [pid for pid in workers if pid not in [process.pid for process in place.fleet]]
    violations = check(evidence) + [f"worker {pid} ended" for pid in ended]
    fault.verdict(violations, consuming_max_s=round(longest, 1), **evidence.numbers)


@pytest.mark.parametrize("fault", ["T3"], indirect=True)
async def test_a_killed_broker_costs_nothing(place: Place, stand: Stand, fault) -> None:  # type: ignore[no-untyped-def]
    """It comes back with its data."""

    async def hurt() -> None:
        stand.broker.kill()
        await asyncio.sleep(fault.rng.uniform(0.1, 3.0))
        await asyncio.to_thread(lambda: None)
        stand.broker.start()

    await _load(place, fault, hurt)


@pytest.mark.parametrize("fault", ["T3-flush"], indirect=True)
async def test_a_broker_without_its_data_costs_nothing(place: Place, stand: Stand, fault) -> None:  # type: ignore[no-untyped-def]
    """All messages are deleted while jobs wait for them."""

    async def hurt() -> None:
        stand.empty()

    await _load(place, fault, hurt)


@pytest.mark.parametrize("fault", ["T3-amnesia"], indirect=True)
async def test_a_broker_without_persistence_costs_nothing(
    stand: Stand,
    fault,  # type: ignore[no-untyped-def]
    tmp_path: Path,
    request: pytest.FixtureRequest,
) -> None:
    """It comes back empty each time."""
    program = str(broker.binary()) if "valkey" in stand.pair else shutil.which("redis-server")
    assert program
    kept = stand.broker
    with redis_machine(program, tmp_path / "amnesiac", persistent=False) as machine:
        stand.broker = machine
        folder = tmp_path / "site"
        folder.mkdir()
        try:
            place: Place = await _place(stand, fault, folder, request)

            async def hurt() -> None:
                machine.kill()
                await asyncio.sleep(fault.rng.uniform(0.1, 2.0))
                machine.start()

            await _load(place, fault, hurt)
        finally:
            stand.broker = kept
            place.end()


async def _place(stand: Stand, fault: Any, folder: Path, request: pytest.FixtureRequest) -> Place:
    from servers import fresh_database

    database = f"sqlite:///{folder / 'hopyard.db'}"
    if stand.database is not None:
        database = fresh_database(stand.database.url)
    place = Place(folder, broker=stand.broker.url, database=database, rng=fault.rng)
    await asyncio.to_thread(lambda: asyncio.run(place.hopyard.upgrade()))
    return place
