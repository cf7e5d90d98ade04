"""T2: the whole group of a worker is killed under load, again and again."""

from __future__ import annotations

import asyncio
import time

import pytest
from chaos import plan
from chaos.checker import check, p95, recovery
from chaos.place import Place


@pytest.mark.parametrize("fault", ["T2"], indirect=True)
async def test_killed_workers_lose_nothing(place: Place, fault) -> None:  # type: ignore[no-untyped-def]
    """Every accepted job ends once, every effect happens once, and jobs go on within 30 s."""
    await place.man()
    producer = place.produce(100_000, rate=15.0)
    await place.loaded()
    struck: dict[int, float] = {}
    for _ in range(fault.planned):
        await asyncio.sleep(fault.rng.uniform(0.2, 1.5))
        victim = await place.one_up()
        struck[victim.pid] = time.time()
        place.strike(victim)
        fault.done()
    place.enough()
    await place.produced(producer)
    evidence = await place.evidence()
    violations = check(evidence)
    seconds = recovery(evidence, struck)
    slow = [s for s in seconds if s > max(30.0, 2 * plan.LEASE)]
    violations += [f"I5 a killed worker's job ran again only after {s:.1f} s" for s in slow]
    again = {"again_p95_s": round(p95(seconds), 1), "again_max_s": round(max(seconds, default=0), 1)}
    fault.verdict(violations, **evidence.numbers, **again)
