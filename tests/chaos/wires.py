"""The network between a worker and its servers: small TCP proxies that can be cut, slowed and forgotten.

Each worker has its own two. They work on streams: loss, reordering and duplication of single packets are
mended by TCP before they could see them, so that only their effect, delay, can be made here.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Mapping
from urllib.parse import urlsplit, urlunsplit


class Wire:
    """A proxy to one server, which works in the loop of its `Exchange`."""

    def __init__(self, target: tuple[str, int]) -> None:
        self._target = target
        self.delay = 0.0
        """Seconds that each piece of data takes, either way."""
        self.cut: frozenset[str] = frozenset()
        """`up` (to the server), `down`: data waits until that is over."""
        self.port = 0
        self._dead: set[int] = set()
        self._open: dict[int, list[asyncio.StreamWriter]] = {}

    async def listen(self) -> asyncio.Server:
        """Begin to serve."""
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        return server

    def forget(self) -> None:
        """Let nothing pass on today's connections any more, and tell nobody: they are half open."""
        self._dead |= self._open.keys()

    def writers(self) -> list[asyncio.StreamWriter]:
        """Return both ends of today's connections."""
        return [writer for ends in self._open.values() for writer in ends]

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        key = id(writer)
        try:
            there, back = await asyncio.open_connection(*self._target)
        except OSError:
            writer.close()
            return
        except asyncio.CancelledError:
            writer.transport.abort()
            raise
        self._open[key] = [writer, back]
        ways = (self._pass(key, "up", reader, back), self._pass(key, "down", there, writer))
        try:
            tasks = [asyncio.ensure_future(way) for way in ways]
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        finally:
            self._dead.discard(key)
            for each in self._open.pop(key):
                each.close()

    async def _pass(
        self, key: int, way: str, here: asyncio.StreamReader, there: asyncio.StreamWriter
    ) -> None:
        with contextlib.suppress(OSError):
            while data := await here.read(65536):
                await asyncio.sleep(self.delay)
                while way in self.cut or key in self._dead:
                    await asyncio.sleep(0.05)
                there.write(data)
                await there.drain()
        while way in self.cut or key in self._dead:  # not even the end of a connection passes
            await asyncio.sleep(0.05)


class Wires:
    """The wires of one worker."""

    def __init__(self, broker: Wire, database: Wire | None) -> None:
        self.broker, self.database = broker, database

    def all(self) -> list[Wire]:
        """Return those there are: SQLite has none."""
        return [self.broker, *([self.database] if self.database else [])]


class Exchange:
    """A thread with a loop of its own for all wires, so that nothing the suite does delays them."""

    def __init__(self, broker: str, database: str) -> None:
        self._urls = {"broker": broker, "database": database}
        self._servers: list[asyncio.Server] = []
        self._wires: list[Wire] = []
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="wires", daemon=True)
        self._thread.start()
        self.delay = 0.0
        """Of wires that are made from now on."""

    def wires(self) -> tuple[Wires, Mapping[str, str]]:
        """Make the wires of a worker; return them and the settings that lead it there."""
        settings = {}
        made: dict[str, Wire | None] = {"broker": None, "database": None}
        for name, url in self._urls.items():
            parts = urlsplit(url)
            if parts.port is None:
                continue
            wire = made[name] = Wire((str(parts.hostname), parts.port))
            wire.delay = self.delay
            self._wires.append(wire)
            self._servers.append(asyncio.run_coroutine_threadsafe(wire.listen(), self._loop).result(10))
            before, at, _ = parts.netloc.rpartition("@")
            netloc = f"{before}{at}127.0.0.1:{wire.port}"
            settings[f"HOPYARD_{name.upper()}_URL"] = urlunsplit(parts._replace(netloc=netloc))
        assert made["broker"] is not None
        return Wires(made["broker"], made["database"]), settings

    def end(self) -> None:
        """Stop serving; nothing is left for the garbage collector to complain about."""
        asyncio.run_coroutine_threadsafe(self._leave(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    async def _leave(self) -> None:
        for server in self._servers:
            server.close()
        writers = [writer for wire in self._wires for writer in wire.writers()]
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for writer in writers:  # not closed: what is written to who does not read would be waited for
            writer.transport.abort()
        await asyncio.sleep(0)  # they are gone in the loop's next turn
