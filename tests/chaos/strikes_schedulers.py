"""T8: of three schedulers the leading one is killed or stopped, with schedules of one second."""

from __future__ import annotations

import asyncio
import itertools
import signal
import subprocess
import time
from typing import Any

from chaos import plan
from chaos.checker import Evidence, p95
from chaos.place import Place
from chaos.siege import Siege
from hopyard.schedule import store
from hopyard.specs import Rule, Schedule

SCHEDULERS = 3
_SCHEDULES = 3
#: So many leaders may have been stopped with SQLite's lock, whose rounds are done again.
_LOCKED = 5
_OFFSETS = ("+10m", "-10m", "+1d", "-1d")


async def schedule(place: Place) -> None:
    """Store the schedules: every second, none to be missed."""
    database = place.hopyard.client().database
    async with database.transaction() as tx:
        for n in range(_SCHEDULES):
            one = Schedule(f"site.tick-{n}", "site.tick", Rule(every=1.0), misfire="all", overlap="allow")
            await store.put(tx, database.dialect, one)


async def leaders(siege: Siege) -> None:
    """Each due time fires once whoever leads; the checker looks for doubled and missed ones."""
    place, fault = siege.place, siege.round("T8")
    failovers = []
    while fault.run < fault.planned:
        await asyncio.sleep(fault.rng.uniform(1.0, 3.0))
        number = signal.SIGSTOP if fault.run % 2 else signal.SIGKILL
        async with siege.schedulers():
            await _able(siege)
            leader = await _leader(place)
            hit = place.strike(leader, "T8", number)
            locked = False
            while await _holder(place) == leader.pid and time.time() < hit.begin + plan.FAILOVER:
                # As with T7: who is stopped while it writes holds the lock of the one file.
                locked = number == signal.SIGSTOP and await asyncio.to_thread(place.locked)
                if locked:
                    break
                await asyncio.sleep(0.05)
            took = time.time() - hit.begin
            if locked:
                place.unlock(hit)
            elif number == signal.SIGSTOP:
                # What the old leader was about to commit arrives when another one has fired.
                await asyncio.sleep(fault.rng.uniform(0.5, 2.0))
                place.revive(hit)
        if locked:
            fault.numbers["stopped_with_lock"] = fault.numbers.get("stopped_with_lock", 0) + 1
            assert fault.numbers["stopped_with_lock"] <= _LOCKED, "T8: SQLite's file is always locked"
            continue
        failovers.append(took)
        what = f"T8: none other led after {plan.FAILOVER:g} s"
        if siege.held(fault, took < plan.FAILOVER, hit.begin, what):
            fault.done()

    def judge(e: Evidence) -> list[str]:
        failovers.sort()
        fault.numbers |= {
            "fires": sum(row["schedule"] is not None for row in e.history),
            "failover_p95_s": round(p95(failovers), 1),
            "failover_max_s": round(max(failovers, default=0), 1),
        }
        return []

    siege.judges.append(judge)


async def clocks(siege: Siege) -> None:
    """T9: a scheduler whose clock is wrong comes to lead; nothing fires early, twice or never."""
    place, fault = siege.place, siege.round("T9")
    offsets = itertools.cycle(fault.rng.sample(_OFFSETS, len(_OFFSETS)))
    for _ in range(fault.planned):
        await asyncio.sleep(fault.rng.uniform(1.0, 3.0))
        async with siege.schedulers():
            name = f"wrong-{len(place.processes)}"
            clock = {"LD_PRELOAD": str(plan.faketime()), "FAKETIME": next(offsets)}
            clock["FAKETIME_DONT_FAKE_MONOTONIC"] = "1"
            wrong = place.start("hopyard", "beat", log=name, more=clock)
            right = [*place.beats.processes]
            hits = [place.strike(beat, "T9", signal.SIGSTOP) for beat in right]

            async def leads(pid: int = wrong.pid) -> bool:
                return await _holder(place) == pid

            await place.until(leads, "the one with the wrong clock leads", plan.FAILOVER + 20)
            await asyncio.sleep(fault.rng.uniform(2.0, 4.0))
            # Asked to end it hands its lead over; how leaders are killed is T8's.
            place.strike(wrong, "T9", signal.SIGTERM)
            try:
                await asyncio.to_thread(wrong.wait, 10)
            except subprocess.TimeoutExpired:
                siege.expect(False, f"T9: {name} did not end within 10 s")
                place.strike(wrong, "T9")
            for hit in hits:
                place.revive(hit)
            await _leader(place)
        fault.done()

    def judge(e: Evidence) -> list[str]:
        early = [(row["created"] - row["due"]).total_seconds() for row in e.history if row["due"] is not None]
        fault.numbers["earliest_s"] = round(min(early, default=0.0), 1)
        return [f"T9: fired {-s:.0f} s before it was due" for s in early if s < -0.5][:5]

    if fault.planned:
        siege.judges.append(judge)


async def _able(siege: Siege) -> None:
    """Wait until one more scheduler than the leading one has ticked: who still starts cannot take over."""
    place = siege.place

    async def enough() -> bool:
        ticked = [beat for beat in place.beats.processes if (place.folder / f"ticked-{beat.pid}").exists()]
        return sum(beat.poll() is None for beat in ticked) >= 2

    await place.until(enough, "two schedulers tick", 90)


async def _holder(place: Place) -> int:
    rows = await place.rows("SELECT holder FROM leader WHERE name = 'schedule'")
    holder = rows[0]["holder"] if rows else ""  # a leader that has resigned leaves it empty
    return int(holder.split(":")[1]) if holder else 0


async def _leader(place: Place) -> subprocess.Popen[bytes]:
    async def leads() -> Any:
        pid = await _holder(place)
        return next((beat for beat in place.beats.processes if beat.pid == pid), None)

    found: subprocess.Popen[bytes] = await place.until(leads, "a scheduler leads")
    return found
