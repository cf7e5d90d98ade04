"""T12: a broker that doubles, reorders and drops messages."""

from __future__ import annotations

import asyncio

import pytest
from chaos.checker import check
from chaos.place import Place
from hopyard.broker.publisher import redis_keys
from hopyard.ledger.values import Ring

_COLUMNS = "id, task, queue, priority, body, headers"
_AT_ONCE = 100


@pytest.mark.parametrize("fault", ["T12"], indirect=True)
async def test_messages_prove_nothing(place: Place, fault) -> None:  # type: ignore[no-untyped-def]
    """No job runs twice, although hundreds of messages come again, of running and finished jobs too."""
    import redis.asyncio

    await place.man()
    producer = place.produce(fault.planned * 4 * _AT_ONCE, rate=60.0, seconds=0.3)
    await place.loaded()
    publisher = place.hopyard.client().publisher
    doubled = dropped = 0
    async with redis.asyncio.Redis.from_url(place.broker) as client:
        for _ in range(fault.planned):
            await asyncio.sleep(fault.rng.uniform(0.5, 1.5))
            rows = await place.rows(
                f"SELECT {_COLUMNS} FROM job_live UNION ALL SELECT {_COLUMNS} FROM job_history"
            )
            some = fault.rng.sample(rows, min(_AT_ONCE, len(rows)))
            running = await place.rows(f"SELECT {_COLUMNS} FROM job_live WHERE state = 2")
            rings = [Ring(**{**row, "id": str(row["id"])}) for row in (*running, *some)]
            fault.rng.shuffle(rings)
            await publisher.publish(rings)
            doubled += len(rings)
            for key in redis_keys("site"):
                dropped += len(await client.rpop(key, fault.rng.randrange(1, 10)) or ())
            fault.done()
    place.enough()
    await place.produced(producer)
    evidence = await place.evidence()
    fault.verdict(check(evidence), doubled=doubled, dropped=dropped, **evidence.numbers)
