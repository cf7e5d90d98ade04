"""Ringing: what kombu reads of it on each broker, in which order, and which queues are empty."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from hopyard.broker import envelope
from hopyard.broker.publisher import Publisher, open_publisher
from hopyard.errors import BrokerError
from hopyard.ledger.values import Ring, new_id


@pytest.fixture(params=["valkey_url", "redis_url", "rabbitmq_url"])
def broker(request: pytest.FixtureRequest) -> str:
    url: str = request.getfixturevalue(request.param)
    return url


@pytest.fixture
async def publisher(broker: str) -> AsyncIterator[Publisher]:
    opened = open_publisher(broker)
    yield opened
    await opened.close()


@pytest.fixture
def queue() -> str:
    """A queue that no other test uses."""
    return f"ring-{new_id()[-8:]}"


def ring(queue: str, priority: int = 4, *, first: bool = False) -> Ring:
    id_ = new_id()
    return Ring(
        id_,
        "site.add",
        queue,
        priority,
        envelope.body((), {"n": 1}),
        envelope.headers(id_, "site.add"),
        first,
    )


def taken(broker: str, queue: str) -> list[Any]:
    """Take all messages as a stock consumer does."""
    from kombu import Connection, Queue

    found: list[Any] = []
    with Connection(broker) as connection:
        bound = Queue(queue, queue_arguments={"x-max-priority": 9})(connection.default_channel)
        while message := bound.get(no_ack=True):
            found.append(message)
    return found


async def test_a_stock_consumer_reads_what_is_rung(publisher: Publisher, broker: str, queue: str) -> None:
    sent = ring(queue)
    await publisher.publish([sent])
    (message,) = taken(broker, queue)
    assert message.payload == json.loads(sent.body)
    assert (message.headers["id"], message.headers["task"]) == (sent.id, "site.add")
    assert message.properties["correlation_id"] == sent.id


async def test_higher_priorities_come_first_and_equals_in_order(
    publisher: Publisher, broker: str, queue: str
) -> None:
    low, one, two, high = ring(queue, 0), ring(queue), ring(queue), ring(queue, 9)
    await publisher.publish([low, one, two, high])
    assert [message.headers["id"] for message in taken(broker, queue)] == [high.id, one.id, two.id, low.id]


async def test_a_job_that_has_waited_already_overtakes(publisher: Publisher, broker: str, queue: str) -> None:
    waiting = [ring(queue) for _ in range(3)]
    rescued = ring(queue, first=True)
    await publisher.publish(waiting)
    await publisher.publish([rescued])
    assert [message.headers["id"] for message in taken(broker, queue)] == [
        rescued.id,
        *(job.id for job in waiting),
    ]


async def test_queues_without_messages_are_found(publisher: Publisher, broker: str, queue: str) -> None:
    other = f"{queue}-other"
    await publisher.publish([ring(queue, 9)])
    assert await publisher.empty([queue, other]) == {other}
    taken(broker, queue)
    assert await publisher.empty([queue, other]) == {queue, other}


async def test_a_broker_that_is_away_is_named(broker: str) -> None:
    away = "redis://127.0.0.1:1/0" if broker.startswith("redis") else "amqp://127.0.0.1:1//"
    publisher = open_publisher(away)
    with pytest.raises(BrokerError, match="cannot be used now"):
        await publisher.ping()
    await publisher.close()
