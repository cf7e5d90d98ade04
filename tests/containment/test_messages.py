"""No message, whatever its bytes, ends a worker, comes twice to one, or holds up another plugin's jobs."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from typing import Any

from contained import Place, examples, seed
from hopyard.engine.consume.delivery import Delivery, Refused, from_redis
from hopyard.ledger import set_aside
from odd_messages import message, raw

_ROUND = 250


def test_the_parser_takes_or_refuses_whatever_it_reads() -> None:
    start = seed()
    for n in range(examples(1000)):
        data = raw(random.Random(start + n))
        found = from_redis("site", data)
        assert isinstance(found, Delivery | Refused), (start + n, data)
        if isinstance(found, Refused):
            assert found.reason
            continue
        assert isinstance(found.id, str)
        assert isinstance(found.task, str)
        if found.foreign is not None:
            json.loads(found.foreign.body)
            json.loads(found.foreign.headers)


async def test_a_worker_survives_whatever_is_sent(place: Place, record_property: Any) -> None:
    start = seed()
    record_property("seed", start)
    send = _to_redis if place.broker.startswith("redis") else _to_rabbitmq
    for begin in range(0, examples(1000), _ROUND):
        draws = [random.Random(start + begin + n) for n in range(_ROUND)]
        good = await place.site.submit("site.echo", text="between them")
        send(place.broker, draws)
        assert await place.site.result(good) == "between them"
        await place.site.until(lambda: _taken(place), "all messages are taken")
        await place.check()
    kept = await set_aside.latest(place.site.hopyard.client().database, limit=5000)
    assert {one["kind"] for one in kept} <= {"message", "follow-up"}, kept
    assert any(one["kind"] == "message" for one in kept), "what is refused is kept, with its reason"
    assert all(one["reason"] for one in kept)


def _to_redis(url: str, draws: Sequence[random.Random]) -> None:
    import redis

    with redis.Redis.from_url(url) as client:
        client.lpush("site", *(raw(draw) for draw in draws))


def _to_rabbitmq(url: str, draws: Sequence[random.Random]) -> None:
    from kombu.connection import Connection

    with Connection(url) as connection:  # type: ignore[no-untyped-call]
        producer = connection.Producer(auto_declare=False)
        for draw in draws:
            made = message(draw)
            try:
                producer.publish(
                    _body(made.get("body")),
                    exchange="site",
                    routing_key="site",
                    headers=_table(made.get("headers")),
                    content_type=_text(made.get("content-type")),
                    content_encoding=_text(made.get("content-encoding")),
                    serializer=None,
                )
            except Exception:
                continue  # AMQP itself has no way to say that


def _body(value: Any) -> bytes:
    return value.encode(errors="surrogatepass") if isinstance(value, str) else json.dumps(value).encode()


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) and len(value) < 200 and value.isascii() else None


def _table(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {"headers": value}


async def _taken(place: Place) -> bool:
    """Say whether nothing waits in the broker, nor is held unacknowledged."""
    if place.broker.startswith("redis"):
        import redis

        with redis.Redis.from_url(place.broker) as client:
            return not client.llen("site") and not client.zcard("hopyard:batches")
    publisher = place.site.hopyard.client().publisher
    return "site" in await publisher.empty(["site"])
