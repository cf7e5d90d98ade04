"""T0: stock Celery under the same kills. Only reported: the suite does not judge it."""

from __future__ import annotations

import asyncio
import time

import pytest
from chaos import stock
from chaos.place import Place

_COUNT = 60


@pytest.mark.parametrize("fault", ["T0"], indirect=True)
async def test_stock_celery_is_measured(place: Place, fault) -> None:  # type: ignore[no-untyped-def]
    """Lost and repeated tasks at `stock.SETTINGS`, on the same broker, killed as T2 kills."""
    place.stock = place.broker
    stock.app.conf.broker_url = place.broker
    accepted: set[str] = set()

    def hire():  # type: ignore[no-untyped-def]
        argv = ["celery", "-A", "chaos.stock", "worker", "-c", "2", "--without-mingle", "--without-gossip"]
        return place.start(*argv, "-n", f"s{len(place.processes)}@stock", log="stock")

    fleet = [hire() for _ in range(3)]
    await asyncio.sleep(5)
    for _ in range(fault.planned):
        for _ in range(_COUNT):
            accepted.add(stock.step.delay().id)
        await asyncio.sleep(fault.rng.uniform(0.2, 1.5))
        n = fault.rng.randrange(len(fleet))
        place.strike(fleet[n])
        await asyncio.to_thread(fleet[n].wait)
        fleet[n] = hire()
        fault.done()
    deadline, seen = time.monotonic() + 60, -1
    while time.monotonic() < deadline:
        ended = {line["job"] for line in place.sunk() if line["what"] == "end"}
        if accepted <= ended or (time.monotonic() > deadline - 30 and len(ended) == seen):
            break
        seen = len(ended)
        await asyncio.sleep(10)
    ends = [line["job"] for line in place.sunk() if line["what"] == "end"]
    for process in fleet:
        place.strike(process)
    await asyncio.sleep(0.5)
    again = len(ends) - len(set(ends))
    fault.verdict([], tasks=len(accepted), lost=len(accepted - set(ends)), again=again, **stock.SETTINGS)
