"""T8: of three schedulers the leading one is killed or stopped, with schedules of one second."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import time
from collections import defaultdict
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest
from chaos.checker import check, p95
from chaos.place import Place
from hopyard.ledger.values import moment
from hopyard.schedule import store
from hopyard.specs import Rule, Schedule

_SCHEDULES = 3
_FAILOVER = 20.0


@pytest.mark.parametrize("fault", ["T8"], indirect=True)
async def test_each_due_time_fires_once_whoever_leads(place: Place, fault) -> None:  # type: ignore[no-untyped-def]
    """None twice, none missed with `misfire="all"`, and another leads within 20 s."""
    await place.man(1)
    database = place.hopyard.client().database
    async with database.transaction() as tx:
        for n in range(_SCHEDULES):
            rule = Rule(every=1.0)
            one = Schedule(f"site.tick-{n}", "site.tick", rule, misfire="all", overlap="allow")
            await store.put(tx, database.dialect, one)
    beats = [_beat(place) for _ in range(3)]
    failovers = []
    stopped: list[subprocess.Popen[bytes]] = []
    await _fired_since(place, 0)
    for n in range(fault.planned):
        await asyncio.sleep(fault.rng.uniform(1.0, 4.0))
        leader = await _leader(place, beats)
        number = signal.SIGSTOP if n % 2 else signal.SIGKILL
        begun = time.monotonic()
        place.strike(leader, number)
        # What the old leader was about to commit may still arrive: another one has to lead.
        await place.until(lambda old=leader: _led_by_another(place, old), "another leads", _FAILOVER + 5)  # type: ignore[misc]
        failovers.append(time.monotonic() - begun)
        if number == signal.SIGKILL:
            beats[beats.index(leader)] = _beat(place)
        else:
            stopped.append(leader)
            await asyncio.sleep(1)
            place.strike(leader, signal.SIGCONT)
        fault.done()
    await asyncio.sleep(3)
    for beat in beats:
        place.strike(beat, signal.SIGCONT)
        beat.terminate()
    for beat in beats:
        status = await asyncio.to_thread(beat.wait, 30)
        assert status in (0, -signal.SIGTERM), place.logs()  # the latter while it was starting
    evidence = await place.evidence()
    violations = check(evidence)
    violations += [f"I7 missed: {gap}" for gap in _gaps(evidence.history)]
    violations += [f"failover took {s:.1f} s" for s in failovers if s > _FAILOVER]
    failovers.sort()
    numbers = {"fires": len(evidence.history), "failover_p95_s": round(p95(failovers), 1)}
    fault.verdict(violations, **numbers, failover_max_s=round(failovers[-1], 1))


def _beat(place: Place) -> subprocess.Popen[bytes]:
    return place.start("hopyard", "beat", log=f"beat-{len(place.processes)}")


async def _fired_since(place: Place, number: int) -> None:
    async def fired() -> bool:
        rows = await place.rows("SELECT count(*) AS n FROM schedule_fire")
        return bool(rows[0]["n"] > number)

    await place.until(fired, "schedules fire")


async def _holder(place: Place) -> int:
    rows = await place.rows("SELECT holder FROM leader WHERE name = 'schedule'")
    return int(rows[0]["holder"].split(":")[1]) if rows else 0


async def _leader(place: Place, beats: list[subprocess.Popen[bytes]]) -> subprocess.Popen[bytes]:
    async def leads() -> Any:
        pid = await _holder(place)
        return next((beat for beat in beats if beat.pid == pid), None)

    found: subprocess.Popen[bytes] = await place.until(leads, "a scheduler leads")
    return found


async def _led_by_another(place: Place, old: subprocess.Popen[bytes]) -> bool:
    return await _holder(place) != old.pid


def _gaps(history: list[dict[str, Any]]) -> list[str]:
    """Return due times without a job, between the first and the last of each schedule."""
    dues: dict[str, list[datetime]] = defaultdict(list)
    for row in history:
        due = moment(row["due"])
        if row["schedule"] and due:
            dues[row["schedule"]].append(due)
    gaps = []
    for name, times in dues.items():
        times.sort()
        for one, following in pairwise(times):
            if following - one > timedelta(seconds=1.001):
                gaps.append(json.dumps([name, str(one), str(following)]))
    return gaps
