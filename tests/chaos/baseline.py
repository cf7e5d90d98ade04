"""T0: stock Celery under the same kills. Only reported: the suite does not judge it."""

from __future__ import annotations

import asyncio
import subprocess
import time

from chaos import stock
from chaos.place import Place
from chaos.siege import Round

_COUNT = 60


async def stock_celery(baseline: Round, place: Place) -> None:
    """Count lost and repeated tasks at `stock.SETTINGS`, on the place's broker, killed as T2 kills."""
    if not baseline.planned:
        return
    place.stock = place.broker
    stock.app.conf.broker_url = place.broker
    accepted: set[str] = set()

    def hire() -> subprocess.Popen[bytes]:
        argv = ["celery", "-A", "chaos.stock", "worker", "-c", "2", "--without-mingle", "--without-gossip"]
        return place.start(*argv, "-n", f"s{len(place.processes)}@stock", log="stock")

    def submit() -> None:
        accepted.update(stock.step.delay().id for _ in range(_COUNT))

    fleet = [hire() for _ in range(3)]
    await asyncio.sleep(5)
    for _ in range(baseline.planned):
        await asyncio.to_thread(submit)
        await asyncio.sleep(baseline.rng.uniform(0.2, 1.5))
        n = baseline.rng.randrange(len(fleet))
        place.strike(fleet[n], "T0")
        await asyncio.to_thread(fleet[n].wait)
        fleet[n] = hire()
        baseline.done()
    # Unacknowledged messages come back after the visibility timeout, whenever a worker looks.
    deadline, moved, seen = time.monotonic() + 90, time.monotonic(), -1
    ended: list[str] = []
    while time.monotonic() < min(deadline, moved + 30) and not accepted <= {*ended}:
        ended = [line["job"] for line in place.reports.look().lines if line["what"] == "end"]
        if len(ended) != seen:
            seen, moved = len(ended), time.monotonic()
        await asyncio.sleep(1)
    for process in fleet:
        place.strike(process, "T0")
        await asyncio.to_thread(process.wait)
    lost, again = len(accepted - {*ended}), len(ended) - len({*ended})
    baseline.numbers = {"tasks": len(accepted), "lost": lost, "again": again, "settings": stock.SETTINGS}
