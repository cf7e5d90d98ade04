"""RabbitMQ on a line that was cut without notice: nobody waits there for an answer that never comes."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from chaos.wires import Exchange, Wires
from hopyard.broker import kombu_publisher
from hopyard.broker.publisher import open_publisher
from hopyard.engine.consumer import LedgerConsumer
from hopyard.errors import BrokerError
from kombu import Connection

Line = tuple[str, Wires]


@pytest.fixture
def line(rabbitmq_url: str) -> Iterator[Line]:
    """Where RabbitMQ is reached, and the wire on the way there."""
    exchange = Exchange(rabbitmq_url, "sqlite:///none")
    wires, settings = exchange.wires()
    yield settings["HOPYARD_BROKER_URL"], wires
    exchange.end()


def test_a_consumer_drops_the_connection_of_its_events(line: Line, monkeypatch: pytest.MonkeyPatch) -> None:
    url, wires = line

    class Dispatcher:
        connection = Connection(url)

    def celerys(consumer: Any, exc: Exception) -> None:
        """It sees to the connection that it consumes from."""

    monkeypatch.setattr(LedgerConsumer.__base__, "on_connection_error_after_connected", celerys)
    consumer: Any = LedgerConsumer.__new__(LedgerConsumer)
    consumer.connection_errors = consumer.channel_errors = (OSError,)
    consumer.event_dispatcher = Dispatcher
    Dispatcher.connection.default_channel.queue_declare("half-open", auto_delete=True)
    wires.broker.forget()
    consumer.on_connection_error_after_connected(OSError("too many heartbeats missed"))
    Dispatcher.connection.close()


async def test_a_publisher_gives_up_and_connects_anew(line: Line, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kombu_publisher, "_ANSWER_SECONDS", 0.5)
    url, wires = line
    publisher = open_publisher(url)
    await publisher.empty(["other-half"])
    wires.broker.forget()
    async with asyncio.timeout(30):
        with pytest.raises(BrokerError):
            await publisher.empty(["other-half"])
        assert await publisher.empty(["other-half"]) == {"other-half"}
    await publisher.close()
