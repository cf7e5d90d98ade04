"""Strikes at the way between workers and servers: T5 partitions, T6 delay."""

from __future__ import annotations

import asyncio
import itertools
import time
from typing import Any

from chaos import plan
from chaos.checker import Evidence, hit_jobs, run_of
from chaos.fleet import Hit
from chaos.siege import Siege
from chaos.wires import Wire, Wires

_WHERE = ("database", "both", "broker")
_HOW = ("cut", "half open", "up", "down")
_SECONDS = (3.0, 10.0, 40.0) if plan.MODE == "full" else (3.0, 8.0)
#: For how many seconds all ways are slow, on the first pair and on the others.
_SLOW = (300.0, 60.0) if plan.MODE == "full" else (8.0, 8.0)
#: A worker that cannot reach the ledger stops its jobs when its lease ends, within so many seconds.
_MARGIN = 5.0


async def partitions(siege: Siege) -> None:
    """T5: a worker loses the broker, the database or both; nothing it does later counts."""
    fault = siege.round("T5")
    if not fault.planned:
        return
    kinds = itertools.cycle(fault.rng.sample([*itertools.product(_WHERE, _HOW)], len(_WHERE) * len(_HOW)))
    lengths = itertools.cycle(_SECONDS)
    await siege.stream(fault, lambda _: _partition(siege, *next(kinds), next(lengths)))

    def judge(e: Evidence) -> list[str]:
        late = sorted(_beyond(e))
        fault.numbers |= {"jobs_hit": hit_jobs(e, "T5"), "beyond_lease_max_s": round(max(late, default=0), 1)}
        return [f"T5: a run went on for {s:.1f} s after another began" for s in late if s > _MARGIN]

    siege.judges.append(judge)


async def _partition(siege: Siege, where: str, how: str, seconds: float) -> None:
    place, fault = siege.place, siege.round("T5")
    async with siege.workers():
        able = await place.workers.ready(2)
        victim = fault.rng.choice([one for one in able if one.pid in place.wires])
        wires = place.wires[victim.pid]
        handles = [await place.submit("site.ticking", seconds=1.5 * plan.LEASE) for _ in range(6)]
        place.accepted |= {handle.id for handle in handles}
        await asyncio.sleep(1.0)
        hit = Hit(victim.pid, "T5", time.time())
        place.hits.append(hit)
        _cut(_chosen(wires, where), how)
    await asyncio.sleep(seconds)
    for wire in wires.all():
        wire.cut = frozenset()
    # What it did on connections that are still half open it may only learn when these time out.
    hit.end = time.time() + (35.0 if how == "half open" else 0.0)
    fault.done()


def _chosen(wires: Wires, where: str) -> list[Wire]:
    if where == "both" or wires.database is None:
        return wires.all()
    return [wires.database if where == "database" else wires.broker]


def _cut(wires: list[Wire], how: str) -> None:
    for wire in wires:
        if how == "half open":
            wire.forget()
        else:
            wire.cut = frozenset({"up", "down"} if how == "cut" else {how})


def _beyond(e: Evidence) -> list[float]:
    """Return for how long runs went on (they report every half second) after the next one had begun.

    A process that was stopped meanwhile (T7) can learn of it only when it goes on.
    """
    last: dict[Any, float] = {}
    for line in e.sink:
        if line["what"] == "ticks":
            last[run_of(line)] = line["at"]
    found = []
    for starts in e.starts.values():
        for line, following in itertools.pairwise(starts):
            ticked = last.get(run_of(line), 0.0)
            stops = [hit.end for hit in e.hits if (hit.fault, hit.pid) == ("T7", line["pid"])]
            woken = max((end for end in stops if end <= ticked + _MARGIN), default=0.0)
            found.append(ticked - max(following["at"], woken))
    return [seconds for seconds in found if seconds > 0]


async def delays(siege: Siege) -> None:
    """T6: slow ways cost no lease: 0.2 s each way for all, then a fifteenth of the lease."""
    place, fault = siege.place, siege.round("T6")
    for _ in range(fault.planned):
        begun = time.time()
        pids = place.workers.pids()
        for seconds, lasts in (
            (0.2, _SLOW[siege.pair != plan.PAIRS[0]]),
            (plan.LEASE / 15, 2 * plan.LEASE),
        ):
            for pid in pids:
                for wire in place.wires[pid].all():
                    wire.delay = seconds
            await asyncio.sleep(lasts)
        for wires in place.wires.values():
            for wire in wires.all():
                wire.delay = 0.0
        drained = {hit.pid for hit in place.hits if hit.begin >= begun - plan.GRACE}
        for pid in pids - drained:
            lost = await place.rows("SELECT 1 FROM worker WHERE pid = $1 AND stopped IS NOT NULL", pid)
            late = place.heart.missed(begun)
            siege.expect(late or not lost, f"T6: worker {place.workers.names[pid]} lost its lease by delay")
        fault.done()
