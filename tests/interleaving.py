"""Every order in which a few actors can take their steps, one run of the test for each order.

An actor is a coroutine function that works with a database of its own; each of its steps waits at a gate.
`explore` runs the actors once, letting the first one that waits go on each time, and then again and again
with one choice changed, until all orders were taken (a depth-first search over the choices).

On PostgreSQL, `Stepped` gives each statement and each commit a step of its own, in a transaction that is
really open meanwhile: an actor that waits for another one's lock goes on when that lock is gone. On SQLite a
transaction holds the only write lock from its beginning, so that a transaction is one step there.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from random import Random
from typing import Any

from hopyard.ledger.database import Database
from hopyard.ledger.postgres import PostgresDatabase
from hopyard.ledger.sqlite import SqliteDatabase

#: How often a lock is looked for, in seconds; nothing depends on it but the tests' duration.
_LOOK = 0.001


class Gate:
    """Where one actor waits before each step."""

    def __init__(self) -> None:
        #: Only statements with this text, and the commits after them, are steps.
        self.only = ""
        self.begin()

    def begin(self) -> None:
        """Have a new run begin; gates are open outside of runs."""
        self._arrived, self._go = asyncio.Event(), asyncio.Event()
        self.closed = False
        self.over = False

    async def __call__(self, sql: str) -> None:
        if self.closed and self.only in sql:
            self._arrived.set()
            await self._go.wait()
            self._go.clear()

    @property
    def waits(self) -> bool:
        return self._arrived.is_set() and not self.over

    def open(self) -> None:
        self._arrived.clear()
        self._go.set()

    async def changed(self, seconds: float) -> None:
        """Return when the actor waits here again, or after a while."""
        try:
            async with asyncio.timeout(seconds):
                await self._arrived.wait()
        except TimeoutError:
            return

    def end(self) -> None:
        self.over = True
        self._arrived.set()


class _Raw:
    """An asyncpg connection whose statements and commits wait at the gate."""

    def __init__(self, raw: Any, gate: Gate) -> None:
        self._raw = raw
        self._gate = gate
        self._inside = False
        self._last = ""

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[None]:
        async with self._raw.transaction():  # BEGIN takes no snapshot and no lock: no step
            self._inside = True
            try:
                yield
                await self._gate(self._last)
            finally:
                self._inside = False

    async def _one(self, name: str, sql: str, *arguments: Any) -> Any:
        if self._inside:
            self._last = sql
            await self._gate(sql)
            return await getattr(self._raw, name)(sql, *arguments)
        async with self.transaction():  # a statement alone is one transaction too: its commit takes time
            return await self._one(name, sql, *arguments)

    async def fetch(self, sql: str, *parameters: Any) -> Any:
        return await self._one("fetch", sql, *parameters)

    async def execute(self, sql: str, *parameters: Any) -> Any:
        if sql.startswith("BEGIN"):  # takes no snapshot and no lock: no step
            self._inside = True
            return await self._raw.execute(sql)
        if sql == "COMMIT":
            await self._gate(self._last)
        if sql in ("COMMIT", "ROLLBACK"):
            self._inside = False
            return await self._raw.execute(sql)
        return await self._one("execute", sql, *parameters)

    def terminate(self) -> None:
        self._raw.terminate()

    async def executemany(self, sql: str, rows: Iterable[Sequence[Any]]) -> None:
        if some := [*rows]:  # nothing is sent for none
            await self._one("executemany", sql, some)


class Stepped(PostgresDatabase):
    """One actor's own connection to PostgreSQL, with a step for each statement and each commit."""

    def __init__(self, url: str, gate: Gate) -> None:
        # Deadlocks are part of some orders; they are to be seen soon.
        super().__init__(f"{url}?deadlock_timeout=10ms", size=1)
        self._gate = gate
        self.pid = 0

    @asynccontextmanager
    async def _connection(self) -> AsyncIterator[Any]:
        async with super()._connection() as raw:
            self.pid = raw.get_server_pid()
            yield _Raw(raw, self._gate)

    async def evict(self) -> int:
        """An actor that waits for its turn is not frozen; when one looks would depend on the clock."""
        return 0


class SteppedWhole(SqliteDatabase):
    """One actor's own connection to SQLite, with a step for each transaction."""

    def __init__(self, path: str, gate: Gate) -> None:
        super().__init__(path)
        self._gate = gate

    async def _write(self, work: Callable[[Any], Any], **kind: Any) -> Any:
        await self._gate(self._gate.only)
        return await super()._write(work, **kind)

    async def _read(self, work: Callable[[Any], Any]) -> Any:
        await self._gate(self._gate.only)
        return await super()._read(work)

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Any]:
        await self._gate(self._gate.only)
        async with super().transaction() as tx:
            yield tx


class Stage:
    """The actors' databases, used for all runs, and a connection that sees who waits for whom."""

    def __init__(self, connect: Callable[[Gate], Database], observer: Database, names: Sequence[str]) -> None:
        self.gates = {name: Gate() for name in names}
        self.databases = {name: connect(gate) for name, gate in self.gates.items()}
        self._observer = observer

    async def blocked(self, name: str) -> bool:
        """Whether an actor waits for a lock that another one holds."""
        pid = getattr(self.databases[name], "pid", 0)
        if not pid:
            return False
        rows = await self._observer.fetch("SELECT cardinality(pg_blocking_pids($1)) AS n", pid)
        return bool(rows[0]["n"])

    async def close(self) -> None:
        for database in self.databases.values():
            await database.close()

    async def play(
        self,
        actors: Mapping[str, Coroutine[Any, Any, None]],
        choices: Sequence[int] = (),
        wanted: Sequence[str] = (),
    ) -> tuple[list[int], list[int], list[str]]:
        """Run the actors; where several can go on take the one of `choices`, then always the first.

        `wanted` says by name who is to go, as far as they can.
        Returns the choices that were made, how many there were each time, and who went.
        """
        tasks = {}
        for name, actor in actors.items():
            gate = self.gates[name]
            gate.begin()
            gate.closed = True
            tasks[name] = asyncio.create_task(actor)
            tasks[name].add_done_callback(lambda _, gate=gate: gate.end())  # type: ignore[misc]
        taken: list[int] = []
        widths: list[int] = []
        order: list[str] = []
        try:
            async with asyncio.timeout(30):
                for name in actors:
                    await self._settled(name)
                while not all(self.gates[name].over for name in actors):
                    ready = [name for name in actors if self.gates[name].waits]
                    if not ready:  # all wait for locks: PostgreSQL ends one of them
                        await asyncio.sleep(_LOOK)
                        continue
                    choice = choices[len(taken)] if len(taken) < len(choices) else 0
                    choice %= len(ready)  # drawn; and whom a deadlock ends is PostgreSQL's choice
                    if len(taken) < len(wanted) and wanted[len(taken)] in ready:
                        choice = ready.index(wanted[len(taken)])
                    taken.append(choice)
                    widths.append(len(ready))
                    order.append(ready[choice])
                    self.gates[ready[choice]].open()
                    for name in actors:  # its commit may have let others go on
                        await self._settled(name)
            for task in tasks.values():
                task.result()
        except BaseException as error:
            error.add_note(f"in this order: {' '.join(order)}")
            raise
        finally:
            for name, task in tasks.items():
                self.gates[name].closed = False
                self.gates[name].open()
                task.cancel()
            await asyncio.gather(*tasks.values(), return_exceptions=True)
        return taken, widths, order

    async def _settled(self, name: str) -> None:
        """Return when an actor waits at its gate, waits for a lock, or is over."""
        gate = self.gates[name]
        while not (gate.waits or gate.over):
            await gate.changed(_LOOK)
            if not (gate.waits or gate.over) and await self.blocked(name):
                return


async def explore(
    stage: Stage,
    prepare: Callable[[], Awaitable[Mapping[str, Coroutine[Any, Any, None]]]],
    check: Callable[[], Awaitable[None]],
    most: int,
    random: Random,
) -> tuple[int, bool]:
    """Run what `prepare` gives in every order, `check` after each.

    Where there are more than `most` orders the second half of so many is drawn at random. Returns how many
    orders were run, and whether these are all.
    """
    choices: list[int] = []
    runs = 0
    while runs < most:
        drawn = runs >= most // 2
        taken, widths, order = await stage.play(
            await prepare(), [random.randrange(12) for _ in range(200)] if drawn else choices
        )
        runs += 1
        try:
            await check()
        except BaseException as error:
            error.add_note(f"in this order: {' '.join(order)}")
            raise
        if drawn:
            continue
        while taken and taken[-1] + 1 == widths[len(taken) - 1]:
            taken.pop()
        if not taken:
            return runs, True
        choices = [*taken[:-1], taken[-1] + 1]
    return runs, False
