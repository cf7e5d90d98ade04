"""Strikes that hit no worker: T12 messages, T13 producers, T14 cancels."""

from __future__ import annotations

import asyncio
import time
from typing import Any

from chaos.checker import Evidence
from chaos.siege import Siege
from chaos.sink import read_lines
from hopyard.broker.publisher import redis_keys
from hopyard.ledger.values import QueueMessage
from hopyard.specs import State

_COLUMNS = "id, task, queue, priority, body, headers"
_BURST = 100
_JOBS = 9
#: Jobs that nobody rang for start within so many seconds: two until an entry is old, one until the next look,
#: and the rest for new leaders (T2) and a slow machine.
_RELAYED = 30.0
_AT_ONCE = 4


async def messages(siege: Siege) -> None:
    """T12: no job runs twice, although messages come again, of running and finished jobs too."""
    import redis.asyncio

    place, fault = siege.place, siege.round("T12")
    if not fault.planned:
        return
    publisher = place.hopyard.client().publisher
    doubled = dropped = 0
    async with redis.asyncio.Redis.from_url(place.broker) as client:
        for _ in range(fault.planned):
            await asyncio.sleep(fault.rng.uniform(0.3, 1.0))
            here = f"SELECT {_COLUMNS} FROM %s WHERE queue = 'site'"
            rows = await place.rows(f"{here % 'job_live'} UNION ALL {here % 'job_history'}")
            some = fault.rng.sample(rows, min(_BURST, len(rows)))
            running = await place.rows(f"{here % 'job_live'} AND state = 2")
            rings = [QueueMessage(**{**row, "id": str(row["id"])}) for row in (*running, *some)]
            fault.rng.shuffle(rings)
            await publisher.publish(rings)
            doubled += len(rings)
            for key in redis_keys("site"):
                dropped += len(await client.rpop(key, fault.rng.randrange(1, 10)) or ())
            fault.done()
    fault.numbers |= {"doubled": doubled, "dropped": dropped}


async def producers(siege: Siege) -> None:
    """T13: what was committed runs, although its producer died unrung and the queue is never empty."""
    place, fault = siege.place, siege.round("T13")
    if not fault.planned:
        return
    backlog = asyncio.create_task(_backlog(siege))
    dying = []
    try:
        await place.until(lambda: _queued(siege, 100), "there is a backlog")
        for first in range(0, fault.planned, _AT_ONCE):
            some = range(first, min(first + _AT_ONCE, fault.planned))
            now = [place.produce(_JOBS, mode="session" if n % 2 else "silent") for n in some]
            dying += now
            for process in now:
                siege.expect(await place.produced(process) < 0, "T13: a producer outlived its order")
                fault.done()
        journals = [place.folder / f"journal-{place.processes.index(process)}.jsonl" for process in dying]
        late = {x["id"]: x["at"] for j in journals for x in read_lines(j) if x["outcome"] == "accepted"}
        deadline = time.time() + _RELAYED + 10
        while not late.keys() <= place.reports.look().starts.keys() and time.time() < deadline:
            await asyncio.sleep(0.1)
    finally:
        backlog.cancel()
        await asyncio.wait([backlog])

    def judge(e: Evidence) -> list[str]:
        # Until somebody took it: where that one is killed (T2) it was rung for all the same.
        waits = [e.taken(id_) - at for id_, at in late.items()]
        fault.numbers |= {"unrung": len(late), "wait_max_s": round(max(waits, default=0), 1)}
        times = late.values()
        still = bool(times) and place.heart.missed(min(times), max(times) + _RELAYED)
        slow = [seconds for seconds in waits if seconds > _RELAYED and not still]
        return [f"I5 T13: nobody rang for {seconds:.1f} s" for seconds in slow]

    siege.judges.append(judge)


async def _backlog(siege: Siege) -> None:
    """Keep so many low jobs queued beside those that nobody rang for that their queue is never empty."""
    place = siege.place
    task = place.hopyard.task("site.busy")
    while True:
        if not await _queued(siege, 150):
            made = await task.options(priority=0).submit_many([{"seconds": 0.5}] * 100)
            place.accepted |= {handle.id for handle in made}
        await asyncio.sleep(0.2)


async def _queued(siege: Siege, number: int) -> bool:
    query = "SELECT count(*) AS n FROM job_live WHERE state = 1 AND queue = 'site.busy'"
    return bool((await siege.place.rows(query))[0]["n"] >= number)


async def cancels(siege: Siege) -> None:
    """T14: where the answer was `cancelled` nothing runs afterwards; where it was `running` the job ends."""
    place, fault = siege.place, siege.round("T14")
    answers: dict[str, tuple[State, float]] = {}

    async def one(n: int) -> None:
        handle = await place.submit("site.step", n=n, seconds=fault.rng.uniform(0.0, 0.95))
        place.accepted.add(handle.id)
        siege.cancelled.add(handle.id)
        await asyncio.sleep(fault.rng.uniform(0.0, 1.5))
        state = await handle.cancel()
        answers[handle.id] = (state, time.time())
        fault.done()

    for first in range(0, fault.planned, 10):
        await asyncio.gather(*(one(n) for n in range(first, min(first + 10, fault.planned))))

    def judge(e: Evidence) -> list[str]:
        found = []
        states = {row["id"]: State(row["state"]) for row in e.history}
        later: dict[str, list[Any]] = {}
        for line in e.sink:
            if line["job"] in answers and line["at"] > answers[line["job"]][1]:
                later.setdefault(line["job"], []).append(line["what"])
        for id_, (answer, _) in answers.items():
            if answer is State.CANCELLED and (id_ in later or states.get(id_) is not State.CANCELLED):
                found.append(f"T14: {id_} was cancelled, then {later.get(id_)}, {states.get(id_)}")
        asked = [id_ for id_, (answer, _) in answers.items() if answer is State.RUNNING]
        # A running job is asked: what it does until it hears of it counts, and is only reported.
        fault.numbers |= {
            "cancelled": sum(states.get(id_) is State.CANCELLED for id_ in answers),
            "asked_while_running": len(asked),
            "effects_after_asking": sum("effect" in later.get(id_, ()) for id_ in asked),
        }
        return found

    siege.judges.append(judge)
