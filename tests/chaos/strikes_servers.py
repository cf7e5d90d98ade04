"""Strikes at the servers: T3 the broker, with and without its data, T4 the database."""

from __future__ import annotations

import asyncio
import time

from chaos import plan
from chaos.checker import Evidence, hit_jobs
from chaos.fleet import Hit
from chaos.siege import Round, Siege

_FAULTS = ("T3", "T3-flush", "T3-amnesia", "T4")


async def servers(siege: Siege) -> None:
    """One after another in an order drawn by the seed; each time all workers must consume again."""
    rounds = [siege.round(fault) for fault in _FAULTS]
    rng = siege.place.rng
    strikes = [fault for fault in rounds for _ in range(fault.planned)]
    rng.shuffle(strikes)
    await siege.place.workers.ready(plan.WORKERS)
    workers = siege.place.workers.pids()
    for fault in strikes:  # which grows by what has to be done again
        await asyncio.sleep(fault.rng.uniform(0.3, 1.5))
        hit = Hit(None, fault.fault, time.time())
        if fault.fault == "T4":  # a dead broker is no reason for a job to run again
            siege.place.hits.append(hit)
        await _hurt(siege, fault)
        hit.end = time.time()
        limit = plan.DATABASE_BACK if fault.fault == "T4" else plan.BROKER_BACK
        seconds = await siege.place.workers.consuming(hit.end, limit)
        fault.longest("consuming_max_s", seconds)
        what = f"I5 {fault.fault}: a worker did not consume again within {limit:g} s"
        if siege.held(fault, seconds < limit, hit.begin, what):
            fault.done()
        else:
            strikes.append(fault)
    gone = len(workers - siege.place.workers.pids())
    siege.expect(not gone, f"T3 or T4: {gone} workers ended")

    def judge(e: Evidence) -> list[str]:
        if siege.round("T4").planned:
            siege.round("T4").numbers["jobs_hit"] = hit_jobs(e, "T4")
        return []

    siege.judges.append(judge)


async def _hurt(siege: Siege, fault: Round) -> None:
    down = fault.rng.uniform(0.1, 2.0)
    if fault.fault == "T3-flush":
        await asyncio.to_thread(siege.empty)
        return
    machine = siege.database if fault.fault == "T4" else siege.broker
    assert machine is not None
    machine.kill()
    if fault.fault == "T3-amnesia":
        machine.forget()
    await asyncio.sleep(down)
    machine.start()  # in this thread: a server ends with the thread that started it (`die_with_parent`)
