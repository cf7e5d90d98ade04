"""Ringing: what kombu reads of it on each broker, in which order, and which queues are empty."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from hopyard.broker import envelope
from hopyard.broker.kombu_publisher import _Outlet
from hopyard.broker.publisher import Publisher, open_publisher
from hopyard.errors import BrokerError
from hopyard.ledger.values import QueueMessage, new_id


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


def ring(queue: str, priority: int = 4, *, first: bool = False) -> QueueMessage:
    id_ = new_id()
    return QueueMessage(
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


async def test_a_thousand_messages_are_there_when_it_returns(
    publisher: Publisher, broker: str, queue: str
) -> None:
    """RabbitMQ confirms some alone and some together."""
    sent = [ring(queue) for _ in range(1000)]
    await publisher.publish(sent)
    assert [message.headers["id"] for message in taken(broker, queue)] == [one.id for one in sent]


async def test_a_queue_that_was_declared_otherwise_is_named_and_the_next_message_is_taken(
    rabbitmq_url: str, queue: str
) -> None:
    from kombu import Connection, Queue

    other = f"{queue}-other"
    with Connection(rabbitmq_url) as connection:
        Queue(queue, queue_arguments={"x-max-priority": 3})(connection.default_channel).declare()
    publisher = open_publisher(rabbitmq_url)
    with pytest.raises(BrokerError, match="inequivalent arg"):
        await publisher.publish([ring(queue), ring(other)])
    await publisher.publish([ring(other)])
    assert await publisher.empty([other]) == set()
    await publisher.close()


async def test_a_connection_that_was_closed_meanwhile_is_made_again(rabbitmq_url: str, queue: str) -> None:
    publisher: Any = open_publisher(rabbitmq_url)
    await publisher.publish([ring(queue)])
    publisher._connection.connection.close()
    await publisher.publish([ring(queue)])
    await publisher.close()
    assert len(taken(rabbitmq_url, queue)) == 2


def test_messages_that_are_refused_are_counted(queue: str) -> None:
    class Refusing:
        """A connection and its channel."""

        def __init__(self) -> None:
            self.events: dict[str, set[Any]] = {"basic_ack": set(), "basic_nack": set()}

        def channel(self) -> Any:
            return self

        def drain_events(self, timeout: float) -> None:
            for event, tag, multiple in (("basic_ack", 2, False), ("basic_nack", 3, True)):
                for call in self.events[event]:
                    call(tag, multiple)

        def confirm_select(self, **_: Any) -> None: ...
        def queue_declare(self, **_: Any) -> None: ...
        def prepare_message(self, body: str, **_: Any) -> None: ...
        def basic_publish(self, message: None, **_: Any) -> None: ...

    with pytest.raises(BrokerError, match="refused 2 of 3"):
        _Outlet(Refusing()).publish([ring(queue) for _ in range(3)])


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
