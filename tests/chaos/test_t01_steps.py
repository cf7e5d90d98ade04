"""T1: a process dies at a named step of the engine."""

from __future__ import annotations

import asyncio

import pytest
from chaos.checker import check
from chaos.crashpoints import POINTS
from chaos.place import Place


@pytest.mark.parametrize("fault", ["T1"], indirect=True)
async def test_a_death_at_any_step_costs_nothing(place: Place, fault) -> None:  # type: ignore[no-untyped-def]
    """All steps share the load: each has its turn, and every order must have been obeyed."""
    await place.man()
    producer = place.produce(100_000, rate=12.0)
    met = []
    for _ in range(fault.planned):
        points = [*POINTS]
        fault.rng.shuffle(points)
        for point in points:
            order = place.orders / point
            order.touch()

            async def obeyed(order=order) -> bool:  # type: ignore[no-untyped-def]
                return not order.exists()

            await place.until(obeyed, f"somebody dies at {point}")
            met.append(point)
            await asyncio.sleep(fault.rng.uniform(0.2, 1.0))
        fault.done()
    place.enough()
    await place.produced(producer)
    evidence = await place.evidence()
    fault.verdict(check(evidence), deaths=len(met), **evidence.numbers)
