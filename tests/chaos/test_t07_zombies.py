"""T7: a worker is stopped until others have its jobs, and then goes on."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import time

import psutil
import pytest
from chaos import plan
from chaos.checker import check
from chaos.place import Place

#: Where it is stopped: just before it writes, for then it cannot know what happened meanwhile.
_POINTS = ("finish.before", "effect.action", "save.before", "effect.before")


@pytest.mark.parametrize("fault", ["T7"], indirect=True)
async def test_a_worker_from_the_dead_changes_nothing(place: Place, fault) -> None:  # type: ignore[no-untyped-def]
    """Its results, checkpoints and effects are refused where others have the jobs."""
    await place.man()
    # Long enough that those who took over still run when the stopped one goes on.
    producer = place.produce(100_000, rate=4.0, seconds=3.0)
    for n in range(fault.planned):
        await asyncio.sleep(fault.rng.uniform(3.0, 5.0))
        order = place.orders / _POINTS[n % len(_POINTS)]
        order.write_text(str(int(signal.SIGSTOP)))
        victim: subprocess.Popen[bytes] = await place.until(lambda: _stopped(place), "a worker stops")
        place.hit.add(victim.pid)
        begun = time.monotonic()
        await place.until(lambda pid=victim.pid: _taken_over(place, pid), "its jobs run elsewhere")  # type: ignore[misc]
        if n % 3 == 2:
            await asyncio.sleep(max(0.0, begun + 2 * plan.LEASE - time.monotonic()))
        place.strike(victim, signal.SIGCONT)
        fault.done()
    await asyncio.sleep(2)
    place.enough()
    await place.produced(producer)
    evidence = await place.evidence()
    refused = sum(log.read_text().count("outcome was refused") for log in place.folder.glob("w*.log"))
    fault.verdict(check(evidence), **evidence.numbers, refused_writes=refused)


async def _stopped(place: Place) -> subprocess.Popen[bytes] | None:
    for process in place.fleet:
        if process.poll() is None and psutil.Process(process.pid).status() == psutil.STATUS_STOPPED:
            return process
    return None


async def _taken_over(place: Place, pid: int) -> bool:
    """Say whether a job that the process had begun has been started by another one."""
    theirs: set[str] = set()
    for line in place.sunk():
        if line["what"] == "start":
            if line["pid"] == pid:
                theirs.add(line["job"])
            elif line["job"] in theirs:
                return True
    return False
