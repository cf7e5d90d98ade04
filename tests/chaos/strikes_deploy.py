"""T11: a rolling deployment: each worker is drained (SIGTERM) and replaced, under jobs of 0.1 to 20 s."""

from __future__ import annotations

import asyncio
import signal

from chaos import plan
from chaos.checker import Evidence
from chaos.siege import Siege
from hopyard.specs import State

#: Steps of half a second each, with a checkpoint after each: the longest job does not fit into the grace.
_STEPS = (0, 2, 4, 8, 16, 40)


async def deployments(siege: Siege) -> None:
    """No job is lost, none is charged with an attempt, and none repeats more than one step."""
    place, fault = siege.place, siege.round("T11")
    ids: set[str] = set()
    for _ in range(fault.planned):
        async with siege.workers():
            able = await place.workers.ready(plan.WORKERS)
            handles = [await place.submit("site.stepwise", steps=steps) for steps in _STEPS]
            ids |= {handle.id for handle in handles}
            await asyncio.sleep(fault.rng.uniform(0.5, 1.5))
            oldest = min(able, key=place.processes.index)
            place.strike(oldest, "T11", signal.SIGTERM)

            async def gone(pid: int = oldest.pid) -> bool:
                return pid in place.workers.ended

            await place.until(gone, "a drained worker ends", plan.GRACE + 40)
            status = place.workers.ended[oldest.pid]
            siege.expect(status == 0, f"T11: {place.workers.names[oldest.pid]} drained with {status}")
        fault.done()
    place.accepted |= ids

    def judge(e: Evidence) -> list[str]:
        found, moved, redone = [], 0, 0
        for row in e.history:
            if row["id"] not in ids:
                continue
            starts = e.starts[row["id"]]
            others = {name for line in starts for name in e.hits_of(line)} - {"T11"}
            moved += len(starts) > 1
            if others:  # something else hit it too: that may charge it
                continue
            if row["state"] != State.SUCCEEDED or row["attempt"] != 1 or row["crashes"]:
                found.append(f"T11: {row['id']} {row['state']}, attempt {row['attempt']} after a drain")
            pages = [x["page"] for x in e.sink if x["job"] == row["id"] and x["what"] == "page"]
            again = len(pages) - len({*pages})
            redone += again
            if again > len(starts) - 1:
                found.append(f"T11: {row['id']} repeated {again} steps in {len(starts)} runs")
        fault.numbers |= {"jobs": len(ids), "handed_on": moved, "steps_redone": redone}
        return found

    siege.judges.append(judge)
