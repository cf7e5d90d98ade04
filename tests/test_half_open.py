"""RabbitMQ on a line that was cut without notice: nobody waits there for an answer that never comes."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from chaos.wires import Exchange, Wires
from hopyard.broker import kombu_publisher
from hopyard.broker.publisher import open_publisher
from hopyard.engine.celery_node.consumer import LedgerConsumer
from hopyard.errors import BrokerError
from kombu import Connection
from sites import site_in

Line = tuple[str, Wires]


@pytest.fixture
def line(rabbitmq_url: str) -> Iterator[Line]:
    """Where RabbitMQ is reached, and the wire on the way there."""
    exchange = Exchange(rabbitmq_url, "sqlite:///none")
    wires, settings = exchange.wires()
    yield settings["HOPYARD_BROKER_URL"], wires
    exchange.end()


_HOPFILE = """
from hopyard import Plugin, PluginSettings, hookimpl, task


@task("site.one")
async def one() -> int:
    return 1


class Site(Plugin[PluginSettings]):
    @hookimpl
    def register_tasks(self):
        return [one]
"""


async def test_a_worker_finds_out_and_consumes_again(
    line: Line, rabbitmq_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url, wires = line
    database = f"sqlite:///{tmp_path / 'hopyard.db'}"
    with site_in(tmp_path, broker=rabbitmq_url, database=database, hopfile=_HOPFILE) as site:
        await asyncio.to_thread(lambda: asyncio.run(site.hopyard.upgrade()))
        monkeypatch.setenv("HOPYARD_BROKER_URL", url)
        await site.worker(stock=False)
        assert await site.result(await site.submit("site.one")) == 1
        wires.broker.forget()
        # RabbitMQ's own default would leave the worker deaf for two minutes, twice the deadline.
        assert await site.result(await site.submit("site.one")) == 1
        await site.hopyard.close()


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
