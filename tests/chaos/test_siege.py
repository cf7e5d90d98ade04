"""One installation of a pair, under load, struck by many faults of many kinds; the checker at the end.

Faults that do not disturb each other strike at the same time, those that do have an act of their own.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine
from typing import Any

from chaos import plan
from chaos.checker import check, figures
from chaos.siege import Siege
from chaos.strikes_canvas import canvas
from chaos.strikes_clients import cancels, messages, producers
from chaos.strikes_deploy import deployments
from chaos.strikes_network import delays, partitions
from chaos.strikes_schedulers import SCHEDULERS, clocks, leaders, schedule
from chaos.strikes_servers import servers
from chaos.strikes_workers import kills, pages, poisons, steps, zombies
from chaos.viewer import Viewer

Strikes = Callable[[Siege], Coroutine[Any, Any, None]]

#: The schedulers are struck beside the first three acts, zombies rise beside the second and third.
_ACTS: tuple[tuple[str, tuple[Strikes, ...]], ...] = (
    ("clients", (messages, cancels, delays, deployments)),
    ("workers", (kills, canvas, producers)),
    ("steps", (steps, pages, poisons, partitions)),
    ("servers", (servers, canvas)),
)
#: Jobs a second: so few that none waits, also while workers start.
_RATE = 8.0


async def test_a_site_under_siege(siege: Siege) -> None:
    """Whatever is killed, every accepted job ends once, every effect and every fire happens once."""
    place = siege.place
    begun = time.monotonic()
    took: dict[str, float] = {}
    await schedule(place)
    place.workers.wired = True
    place.workers.man(plan.WORKERS)
    place.beats.man(SCHEDULERS)
    load = place.produce(10_000_000, rate=_RATE, long=3.0)
    await place.workers.ready(plan.WORKERS)
    took["start"] = time.monotonic() - begun
    viewer = Viewer(place)
    watching = asyncio.create_task(viewer.watch())

    beside = [asyncio.create_task(siege.struck(strike)) for strike in (leaders, clocks)]
    for name, strikes in _ACTS:
        if name == "workers":
            beside.append(asyncio.create_task(siege.struck(zombies)))
        elif name == "servers":
            await asyncio.gather(*beside)
        begun = time.monotonic()
        await asyncio.gather(*(siege.struck(strike) for strike in strikes))
        took[name] = time.monotonic() - begun
        siege.say(name, took[name])

    begun, calm = time.monotonic(), time.time()
    place.enough()
    await place.produced(load)
    for process in place.beats.end():
        await asyncio.to_thread(process.wait, 30)
    evidence = await place.evidence()
    evidence.cancelled, evidence.poison, evidence.calm = siege.cancelled, siege.poison, calm
    took["quiet"] = time.monotonic() - begun
    siege.numbers = figures(evidence) | {"seconds": {name: round(s) for name, s in took.items()}}
    violations = [*place.failures, *check(evidence), *(await viewer.differences())[:5]]
    watching.cancel()
    viewer.end()
    siege.numbers["viewer"] = (
        f"{viewer.connections} connections, {viewer.kills} kills, {viewer.resets} resets"
    )
    violations += [line for judge in siege.judges for line in judge(evidence)]
    siege.verdict(violations)
