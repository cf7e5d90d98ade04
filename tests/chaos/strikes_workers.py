"""Strikes at workers: T2 kills, T7 zombies, T1 named steps, T1-page checkpoints, T10 poison."""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from chaos import plan, poison
from chaos.checker import Evidence, hit_jobs, p95, recovery
from chaos.crashpoints import LEADING, POINTS
from chaos.fleet import Hit
from chaos.place import Place
from chaos.siege import Siege
from hopyard.specs import State

#: Where a zombie is stopped: just before it writes, for then it cannot know what happened meanwhile.
_STOPS = ("finish.before", "effect.action", "save.before", "effect.before")
#: So often another worker is stopped because one was stopped with SQLite's lock: under load one in three is.
_LOCKED = 15
#: Pages of the jobs that are killed; all but the last have one that follows.
_PAGES = 5


async def kills(siege: Siege) -> None:
    """T2: SIGKILL of a whole worker group; another one lives, so that jobs go on in time."""
    place, fault = siege.place, siege.round("T2")
    for _ in range(fault.planned):
        await asyncio.sleep(fault.rng.uniform(0.2, 1.5))
        async with siege.workers():
            place.strike(fault.rng.choice(await place.workers.ready(2)), "T2")
        fault.done()
    deadline = time.monotonic() + plan.AGAIN
    while not await _settled(siege) and time.monotonic() < deadline:
        await asyncio.sleep(0.2)

    def judge(e: Evidence) -> list[str]:
        heart = place.heart
        again = [x for x in recovery(e, "T2") if not heart.missed(x.died, x.died + x.seconds)]
        seconds = sorted(one.seconds for one in again)
        slow = [one for one in again if one.seconds > plan.AGAIN]
        fault.numbers |= {
            "jobs_hit": hit_jobs(e, "T2"),
            "again_p95_s": round(p95(seconds), 1),
            "again_max_s": round(max(seconds, default=0), 1),
            "hit_twice_and_slow": sum(one.twice for one in slow),
        }
        found = [
            f"I5 T2: {x.job} ran again {x.seconds:.1f} s after its worker died" for x in slow if not x.twice
        ]
        limit = plan.LEASE + 5 if plan.MODE == "full" and fault.pair == plan.PAIRS[0] else plan.AGAIN
        if p95(seconds) > limit:
            found.append(f"I5 T2: 95 % of killed workers' jobs ran again after {p95(seconds):.1f} s")
        return found

    siege.judges.append(judge)


async def _settled(siege: Siege) -> bool:
    """Say whether no job of a lost worker waits: what strikes next would delay it."""
    living = ", ".join(map(str, siege.place.workers.pids()))
    return not await siege.place.rows(
        "SELECT 1 FROM job_live j LEFT JOIN worker w ON w.id = j.worker WHERE j.queue = 'site' AND "
        f"((j.state = 1 AND j.crashes > 0) OR (j.state = 2 AND w.pid NOT IN ({living}))) LIMIT 1"
    )


async def zombies(siege: Siege) -> None:
    """T7: a worker is stopped until others have its jobs, and changes nothing when it goes on."""
    place, fault = siege.place, siege.round("T7")

    async def strike(turn: int) -> None:
        # On SQLite one at a time: who is not given up because another one holds the lock proves nothing.
        async with siege.point("lock") if "sqlite" in siege.pair else contextlib.nullcontext():
            await _zombie(siege, turn)

    await siege.stream(fault, strike)

    def judge(e: Evidence) -> list[str]:
        logs = [place.folder / f"{name}.log" for name in place.workers.names.values()]
        refused = sum(log.read_text().count("outcome was refused") for log in logs if log.exists())
        fault.numbers |= {"jobs_hit": hit_jobs(e, "T7"), "refused_writes": refused}
        return []

    siege.judges.append(judge)


async def _zombie(siege: Siege, turn: int) -> None:
    place, fault, point = siege.place, siege.round("T7"), _STOPS[turn % len(_STOPS)]
    async with siege.workers(), siege.point(point):
        await place.workers.ready(2)
        order = place.orders / point
        order.write_text(f"{int(signal.SIGSTOP)} noted")
        hit = await place.obeyed(order, "T7")
    if not await _given_up(siege, hit):
        fault.again()
        return
    # It goes on while others run its jobs; of one that was its third death nobody runs anything.
    deadline = time.monotonic() + 5
    while not _taken_over(siege, hit) and time.monotonic() < deadline:
        await asyncio.sleep(0.05)
    if turn % 3 == 2:
        await asyncio.sleep(2 * plan.LEASE)
    place.revive(hit)
    fault.done()


async def _given_up(siege: Siege, hit: Hit) -> bool:
    """Wait until others have given up a stopped worker.

    False where none can: on SQLite one that was stopped while its heartbeat wrote holds the lock of the one
    file. That is reported, and another one is stopped instead.
    """
    fault = siege.round("T7")
    # How fast is T2's to say: here the one that would do it may be stopped, cut off or dead, too.
    within = plan.AGAIN if "sqlite" in siege.pair else 3 * plan.AGAIN
    deadline = time.monotonic() + within
    while time.monotonic() < deadline:
        query = "SELECT 1 FROM worker WHERE pid = $1 AND stopped IS NULL"
        if not await siege.place.rows(query, hit.pid):
            return True
        if await asyncio.to_thread(siege.place.locked):
            siege.place.unlock(hit)  # everybody waits for it
            break
        await asyncio.sleep(0.1)
    else:
        siege.place.revive(hit)
    locked = fault.numbers["stopped_with_lock"] = fault.numbers.get("stopped_with_lock", 0) + 1
    siege.expect("sqlite" in siege.pair, f"T7: a stopped worker was not given up after {within:g} s")
    assert locked <= _LOCKED, "T7: no stopped worker is ever given up"
    return False


def _taken_over(siege: Siege, hit: Hit) -> bool:
    """Say whether a long job of a stopped process has been started by another one."""
    reports = siege.place.reports.look()
    assert hit.pid is not None
    for id_ in reports.jobs.get(hit.pid, ()):
        starts = reports.starts[id_]
        if starts[-1]["pid"] != hit.pid and starts[-1]["at"] > hit.begin and starts[-1].get("long"):
            return True
    return False


async def steps(siege: Siege) -> None:
    """T1: whoever comes to a named step dies there."""
    fault = siege.round("T1")
    deaths = 0
    # The smoke test's second pair takes half of them, drawn by the seed: it has eight minutes for all.
    half = plan.MODE != "full" and siege.pair != plan.PAIRS[0]

    async def strike(_: int) -> None:
        nonlocal deaths
        for point in fault.rng.sample(POINTS, len(POINTS) // 2 if half else len(POINTS)):
            await _step(siege, point)
            deaths += 1
            await asyncio.sleep(fault.rng.uniform(0.1, 0.6))
        fault.done()

    await siege.stream(fault, strike)
    siege.judges.append(lambda e: fault.numbers.update(deaths=deaths, jobs_hit=hit_jobs(e, "T1")) or [])


async def _step(siege: Siege, point: str) -> None:
    place = siege.place
    await place.workers.ready(2)
    order = place.orders / point
    async with siege.schedulers() if point.startswith("fire.") else siege.point(point), _led(siege, point):
        order.touch()
        if point.startswith("follow."):
            place.produce(2, mode="canvas", chains=1, chords=1, rate=2.0)
        if point.startswith("relay."):
            await _left_to_the_relay(place, order)
        await place.obeyed(order, "T1")


@asynccontextmanager
async def _led(siege: Siege, point: str) -> AsyncIterator[None]:
    """Alone with the leading reconciler, once it has done what the ones before it left.

    A site whose leaders all die within their first second does nothing but elect them.
    """
    if point not in LEADING:
        yield
        return

    async def relayed() -> bool:
        d = siege.place.hopyard.client().database.dialect
        old = f"SELECT 1 FROM job_outbox WHERE {d.plus('created', '$1')} < {d.now} LIMIT 1"
        return not await siege.place.rows(old, 5.0)

    async with siege.point("leading"):
        await siege.place.until(relayed, "what nobody rang for is rung for", 90)
        yield


async def _left_to_the_relay(place: Place, order: Path) -> None:
    """Have producers die between commit and ring until the relay has found what one left.

    Where another worker comes to lead just then, the jobs' empty queue may have been rung for already.
    """
    while order.exists():
        place.produce(3, mode="silent")
        deadline = time.monotonic() + 15
        while order.exists() and time.monotonic() < deadline:
            await asyncio.sleep(0.1)


async def pages(siege: Siege) -> None:
    """T1-page: jobs whose process is killed after each of their checkpoints go on right there."""
    place, fault = siege.place, siege.round("T1-page")
    ids: list[str] = []

    async def strike(_: int) -> None:
        now = [await place.submit("site.paged_child", victim=victim) for victim in range(1, _PAGES)]
        # Two at a time: those that share a worker share its deaths, of which the third ends a job.
        for victims in ((1, 2), (3, 4)):
            now += [await place.submit("site.paged", victim=victim) for victim in victims]
            await place.until(lambda now=now: _over(siege, now), "paged jobs end", 240)  # type: ignore[misc]
        ids.extend(handle.id for handle in now)
        fault.done()

    await siege.stream(fault, strike)
    place.accepted |= {*ids}

    def judge(e: Evidence) -> list[str]:
        saved: dict[str, int] = {}
        dead = {row["id"] for row in e.history if row["state"] == State.DEAD}
        killed, right, found = 0, 0, []
        for id_ in ids:
            death = None
            for line in (one for one in e.sink if one["job"] == id_):
                if line["what"] == "saved":
                    saved[id_] = line["page"]
                elif line["what"] in ("dies", "fail"):
                    death = line
                    killed += 1
                elif line["what"] == "start" and death:
                    there = line["from_page"] == saved[id_]
                    right += there
                    found += [] if there else [f"T1-page: {line} although {saved[id_]} pages were saved"]
                    death = None
            if death and id_ not in dead:
                found.append(f"T1-page: {id_} never resumed")
        fault.numbers |= {"jobs": len(ids), "killed": killed, "resumed_there": right}
        return found

    siege.judges.append(judge)


async def _over(siege: Siege, handles: list[Any]) -> bool:
    wanted = {handle.id for handle in handles}
    names = ", ".join(f"'{id_}'" for id_ in wanted)
    rows = await siege.place.rows(f"SELECT count(*) AS n FROM job_history WHERE id IN ({names})")
    return bool(rows[0]["n"] == len(wanted))


async def poisons(siege: Siege) -> None:
    """T10: jobs that kill what runs them end dead with evidence, and their neighbours go on."""
    place, fault = siege.place, siege.round("T10")
    kinds = {kind: plan.missing(kind) for kind in poison.EVIDENCE}
    given: dict[str, str] = {}
    possible = [kind for kind, why in kinds.items() if not why]

    async def strike(_: int) -> None:
        # What kills whole workers comes last: it takes the others with it.
        for some in ([kind for kind in possible if kind != "killer"], ["killer"]):
            now = [await place.submit(f"site.{kind}") for kind in some]
            given.update({handle.id: kind for handle, kind in zip(now, some, strict=True)})
            siege.poison |= given.keys()
            await place.until(lambda now=now: _over(siege, now), "poison ends", 240)  # type: ignore[misc]
        fault.done()

    await siege.stream(fault, strike)
    poison.remove_groups()
    place.accepted |= given.keys()

    def judge(e: Evidence) -> list[str]:
        found = []
        for row in e.history:
            kind = given.get(row["id"])
            if kind is None:
                continue
            message = json.loads(row["error"] or "{}").get("message", "")
            tries = [x["kind"] for x in json.loads(row["attempts"] or "[]") if x.get("kind")]
            lost = tries.count("WorkerLost")
            # Where its last death was its worker's, at a strike, what it did is told by the entries before.
            evident = poison.EVIDENCE[kind] in message + (row["attempts"] or "")
            evident = evident or (lost == 3 and "died 3 times" in message)
            if row["state"] != State.DEAD or not evident or len(tries) - lost > 3 or lost > 3:
                found.append(f"T10 {kind}: {State(row['state']).label} after {tries}: {message}")
        ended = [r for r in e.history if r["state"] == State.DEAD and r["id"] not in given]
        charged = sum(json.loads(r["error"] or "{}").get("kind") == "WorkerLost" for r in ended)
        fault.numbers |= {"poisonous": len(given), "bystanders_dead": charged}
        fault.numbers |= {f"no_{kind}": why for kind, why in kinds.items() if why}
        return found

    siege.judges.append(judge)
