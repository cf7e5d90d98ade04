"""T4: PostgreSQL is killed and comes back."""

from __future__ import annotations

import asyncio
import time

import pytest
from chaos.checker import check
from chaos.conftest import Stand
from chaos.place import Place

#: Jobs run again within so many seconds after the database came back.
_BACK = 20.0


@pytest.mark.parametrize("fault", ["T4"], indirect=True)
async def test_a_killed_database_loses_nothing_that_was_accepted(
    place: Place,
    stand: Stand,
    fault,  # type: ignore[no-untyped-def]
) -> None:
    """A submission is durable or refused; what ran meanwhile is recorded or runs again."""
    assert stand.database is not None
    await place.man()
    producer = place.produce(100_000, rate=12.0)
    await place.loaded()
    longest = 0.0
    for _ in range(fault.planned):
        await asyncio.sleep(fault.rng.uniform(1.0, 3.0))
        stand.database.kill()
        await asyncio.sleep(fault.rng.uniform(0.1, 2.0))
        stand.database.start()
        back = time.time()

        async def running(back: float = back) -> bool:
            return any(line["what"] == "end" and line["at"] > back for line in place.sunk())

        await place.until(running, "jobs run again", _BACK)
        longest = max(longest, time.time() - back)
        fault.done()
    place.enough()
    await place.produced(producer)
    evidence = await place.evidence()
    refused = sum(line["outcome"] == "refused" for line in evidence.journal)
    numbers = {"back_max_s": round(longest, 1), "refused": refused}
    fault.verdict(check(evidence, all_hit=True), **evidence.numbers, **numbers)
