"""Messages of Celery's own tasks that its pool cannot run are set aside, and end no worker."""

from __future__ import annotations

import json
from typing import Any

import pytest
from engines import Lab, redis_url
from hopyard.engine.consume.delivery import Refused
from hopyard.ledger import set_aside
from hopyard.ledger.values import MARK, new_id

UNLOCK, CLEAN = "celery.chord_unlock", "celery.backend_cleanup"


def written(task: str, body: Any, **headers: Any) -> str:
    """Return a message as it stands in a list of Redis."""
    about = {"id": new_id(), "task": task, "lang": "py"} | headers
    return json.dumps(
        {
            "body": body if isinstance(body, str) else json.dumps(body),
            "headers": about,
            "properties": {"delivery_info": {"routing_key": "site"}},
            "content-type": "application/json",
            "content-encoding": "utf-8",
        }
    )


ODD = {
    "no body": written(CLEAN, ""),
    "no arguments": written(UNLOCK, [[], {}, None]),
    "other arguments": written(CLEAN, [[1, 2, 3], {"x": 1}, None]),
    "not three": written(CLEAN, [[], {}]),
    "odd headers": written(CLEAN, [[], {}, None], timelimit=5),
}


@pytest.mark.parametrize("text", ODD.values(), ids=ODD)
async def test_an_odd_message_of_celerys_own_task_is_set_aside(lab: Lab, text: str) -> None:
    from redis.asyncio import Redis

    worker = await lab.worker(batches=True)

    def strategy(message: Any, body: Any, ack: Any, reject: Any, callbacks: Any) -> None:
        """As Celery's, which reads headers where it makes a request."""
        if not isinstance(message.headers.get("timelimit", []), list):
            raise TypeError("cannot unpack the time limit")

    worker.consumer.strategies |= {UNLOCK: strategy, CLEAN: strategy}
    async with Redis.from_url(redis_url(lab.hopyard.broker_url)) as redis:
        await redis.lpush("site", text)

    async def kept() -> list[dict[str, Any]]:
        return await set_aside.latest(lab.ledger.database)

    (one,) = await lab.until(kept, "it is set aside")
    assert one["kind"] == "message"
    assert one["reason"].startswith("in queue site: ")
    assert one["data"] == text
    await lab.ends(await lab.submit("site.add", a=1))


async def test_the_other_brokers_consumer_keeps_them_as_well(lab: Lab) -> None:
    worker = await lab.worker()
    message = worker.message(json.dumps([[1], {}, None]), {"id": new_id(), "task": CLEAN})
    assert worker.engine.takes_from_celery(message)

    async def kept() -> list[dict[str, Any]]:
        return await set_aside.latest(lab.ledger.database)

    (one,) = await lab.until(kept)
    assert CLEAN in one["reason"]
    await lab.until(lambda: worker.acked)
    marked = worker.message(json.dumps([[], {}, None]), {"id": new_id(), "task": CLEAN, MARK: 1})
    assert worker.engine.takes_from_celery(marked)
    good = worker.message(json.dumps([[], {}, None]), {"id": new_id(), "task": CLEAN})
    assert not worker.engine.takes_from_celery(good)
    assert not isinstance(worker.engine._receiver.read(good), Refused)
