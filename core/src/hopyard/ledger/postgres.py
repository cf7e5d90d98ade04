"""The ledger on PostgreSQL, through asyncpg."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
import weakref
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final

from hopyard import portal
from hopyard.errors import LedgerError, LedgerUnavailable
from hopyard.ledger import postgres_statements as sql
from hopyard.ledger.database import Database, Row, kept_statements
from hopyard.ledger.dialect import POSTGRES
from hopyard.ledger.postgres_errors import POOLER, translated
from hopyard.ledger.values import ORDINARY, Again, Claim, Done, NewJob, Stored, new_id

log = logging.getLogger("hopyard.ledger")


def _changed(status: str) -> int:
    """Return the row count in a command tag such as `UPDATE 3`."""
    count = status.rsplit(" ", 1)[-1]
    return int(count) if count.isdigit() else 0


def _columns(rows: Sequence[Sequence[Any]], width: int) -> list[list[Any]]:
    return [[row[n] for row in rows] for n in range(width)]


#: What the ledger's sessions are called; no others are ended.
_NAME: Final = "hopyard"
#: A plan that was made while `job_live` was empty reads it from end to end once it is full, and a kept
#: statement keeps its plan; planning anew each time doubles what a small statement costs. So statements name
#: the ids they are about, and plans take an index wherever there is one, whatever the statistics say. (What
#: is ruled out is made dear, not impossible; `jit` would take that for a long query.)
_PLANS: Final = {"enable_seqscan": "off", "jit": "off"}
#: A process that is frozen or cut off inside a transaction keeps its locks for so long, not until TCP gives
#: up: its jobs are to be taken back, and the leader must not wait for it.
IDLE_SECONDS: Final = 4.0
#: How often to look for such sessions.
_EVICT_SECONDS: Final = 2.0
#: A statement that has no answer after so long has none: the server hangs, or the way there is cut.
_ANSWER_SECONDS: Final = 10.0
#: Waiting for one's turn is no fault: on a slow way each statement takes long, and all of them get theirs.
_TURN_SECONDS: Final = 60.0
#: Statements under way are given so long when the connections are closed.
_CLOSE_SECONDS: Final = 2.0


class _Connection:
    """A `Connection` on an asyncpg connection."""

    def __init__(self, raw: Any) -> None:
        self._raw = raw

    async def fetch(self, sql: str, *parameters: Any) -> Sequence[Row]:
        with translated():
            rows: Sequence[Row] = await self._raw.fetch(sql, *parameters)
        return rows

    async def execute(self, sql: str, *parameters: Any) -> int:
        with translated():
            return _changed(await self._raw.execute(sql, *parameters))

    async def execute_many(self, sql: str, rows: Iterable[Sequence[Any]]) -> None:
        with translated():
            await self._raw.executemany(sql, rows)

    async def _value(self, sql: str, *parameters: Any) -> Any:
        with translated():
            return await self._raw.fetchval(sql, *parameters)

    async def insert_jobs(self, jobs: Sequence[NewJob]) -> set[str]:
        return (await self.insert(jobs)).new

    async def insert(self, jobs: Sequence[NewJob], *, fresh: bool = False) -> Stored:
        """As `Database.submit`."""
        if fresh and all(job[5:] == ORDINARY for job in jobs):
            ids = {job.id for job in jobs}
            if len(jobs) == 1:
                return Stored(ids, await self._value(sql.FRESH_ONE, *jobs[0][:5]))
            entry, alike = new_id(), jobs[0][1:4]
            columns: list[Any] = _columns(jobs, 5)
            if all(job[1:4] == alike for job in jobs):
                columns[1:4] = alike
                return Stored(ids, await self._value(sql.FRESH_ALIKE, *columns, entry), entry)
            return Stored(ids, await self._value(sql.FRESH, *columns, entry), entry)
        found: Any = await self.fetch(sql.INSERT, *_columns(jobs, len(sql.JOB_TYPES)))
        new = {str(row[0]) for row in found}
        over = await self.fetch(sql.STORED_AGAIN, [*new]) if new and not fresh else ()
        return Stored(new - {str(row["id"]) for row in over}, found[0][1] if found else None)


class PostgresDatabase(Database):
    """Connections of one event loop to one PostgreSQL database."""

    dialect = POSTGRES

    def __init__(self, url: str, *, size: int = 6, answer_within: float | None = None) -> None:
        url, kept = kept_statements(url)
        self._dsn = "postgresql" + url[url.index("://") :]
        self._pooled = kept == 0
        self._options: dict[str, Any] = {} if kept is None else {"statement_cache_size": kept}
        self._options["server_settings"] = {"application_name": _NAME, **({} if self._pooled else _PLANS)}
        self._size = size
        self._answer_within = answer_within or _ANSWER_SECONDS
        self._pool: Any = None
        self._parked: Any = None
        """A connection kept for the next caller: out of the pool and back costs as much as a statement."""
        self._opening = asyncio.Lock()
        #: All open connections.
        self._raws: weakref.WeakSet[Any] = weakref.WeakSet()
        self._evicted = 0.0

    async def close(self) -> None:
        if self._pool is not None:
            parked, self._parked = self._parked, None
            try:
                async with asyncio.timeout(_CLOSE_SECONDS):
                    if parked is not None:
                        await self._pool.release(parked)
                    await self._pool.close()
            except (TimeoutError, OSError):  # a statement that hangs, a server that is gone
                self._pool.terminate()
            self._pool = None

    def abandon(self) -> None:
        self._pool = self._parked = None
        for raw in self._raws:
            if not _is_closed(raw):
                portal.cut(raw._transport)

    async def _begun(self, raw: Any) -> None:
        self._raws.add(raw)

    async def _open(self) -> Any:
        import asyncpg

        async with self._opening:
            if self._pool is None:
                # No reset query on release: the ledger changes no session state.
                self._pool = await asyncpg.create_pool(
                    self._dsn,
                    min_size=0,
                    max_size=self._size,
                    reset=_no_reset,
                    init=self._begun,
                    timeout=_ANSWER_SECONDS,
                    command_timeout=self._answer_within,
                    **self._options,
                )
        return self._pool

    @asynccontextmanager
    async def _connection(self) -> AsyncIterator[Any]:
        raw, self._parked = self._parked, None
        with translated():
            pool = self._pool or await self._open()
            if raw is None or _is_closed(raw):
                raw = await pool.acquire(timeout=_TURN_SECONDS)
        sound = False
        try:
            yield raw
            sound = True
        except LedgerUnavailable as error:
            if isinstance(error.__cause__, TimeoutError):
                await self._give_up(raw, pool)
            raise
        finally:
            if sound and self._parked is None and pool is self._pool:
                self._parked = raw
            else:
                with translated():
                    await pool.release(raw)

    async def _give_up(self, raw: Any, pool: Any) -> None:
        """Wait for no connection again: the way there may be cut."""
        _terminate(raw)
        parked, self._parked = self._parked, None
        with translated():
            await pool.expire_connections()
            if parked is not None:
                _terminate(parked)
                await pool.release(parked)

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[_Connection]:
        async with self._connection() as raw:
            tx = _Connection(raw)
            # In one exchange, and within the transaction, as poolers want it.
            idle = int(IDLE_SECONDS * 1000)
            await tx.execute(f"BEGIN; SET LOCAL idle_in_transaction_session_timeout = {idle}")
            try:
                yield tx
            except BaseException:
                await _roll_back(raw)
                raise
            await tx.execute("COMMIT")

    @asynccontextmanager
    async def _single(self) -> AsyncIterator[_Connection]:
        """A connection for one statement, in a transaction behind a pooler.

        Without, the statement might be prepared on one server connection and run on another.
        """
        async with self._connection() as raw:
            if not self._pooled:
                yield _Connection(raw)
                return
            with translated():
                async with raw.transaction():
                    yield _Connection(raw)

    async def pooler_fault(self) -> str | None:
        """Say what is wrong where a pooler stands in front of the database and the URL does not say so."""
        try:
            async with self._connection() as raw:
                with translated():
                    async with raw.transaction():
                        # A pooler gives its clients numbers of its own.
                        behind = raw.get_server_pid() != await raw.fetchval("SELECT pg_backend_pid()")
        except LedgerUnavailable:
            raise
        except LedgerError as error:
            return str(error)
        return POOLER if behind and "statement_cache_size" not in self._options else None

    async def fetch(self, sql: str, *parameters: Any) -> Sequence[Row]:
        async with self._single() as one:
            return await one.fetch(sql, *parameters)

    async def execute(self, sql: str, *parameters: Any) -> int:
        async with self._single() as one:
            return await one.execute(sql, *parameters)

    def list(self, values: Iterable[str]) -> Any:
        return [*values]

    async def submit(self, jobs: Sequence[NewJob], *, fresh: bool = False) -> Stored:
        if fresh:
            async with self._single() as one:
                return await one.insert(jobs, fresh=True)
        async with self.transaction() as tx:
            return await tx.insert(jobs)

    async def drop_sent(self, messages: Sequence[tuple[str, Any]]) -> None:
        await self.execute(sql.HEARD, [id_ for id_, _ in messages], [*{at for _, at in messages}])

    async def evict(self) -> int:
        if time.monotonic() < self._evicted + _EVICT_SECONDS:
            return 0
        self._evicted = time.monotonic()
        return len(await self.fetch(sql.EVICT, IDLE_SECONDS, _NAME))

    async def claim(self, ids: Sequence[str], worker: int, claim: int) -> Sequence[Claim]:
        rows = await self.fetch(sql.CLAIM, ids, worker, claim)
        return [_claim(row) for row in rows]

    async def finish(self, done: Sequence[Done], worker: int) -> set[str]:
        if len({job.id for job in done}) < len(done):  # one was claimed twice: only its last claim can count
            done = [*{job.id: job for job in sorted(done, key=lambda job: job.claim)}.values()]
        rows = await self.fetch(sql.FINISH, *_columns(done, 6), worker)
        return {str(row[0]) for row in rows}  # type: ignore[index]  # a record is a tuple as well

    async def again(self, jobs: Sequence[Again], worker: int) -> set[str]:
        rows = await self.fetch(sql.AGAIN, *_columns(jobs, 6), worker)
        return {str(row[0]) for row in rows}  # type: ignore[index]


def _is_closed(raw: Any) -> bool:
    import asyncpg

    try:
        return bool(raw.is_closed())
    except asyncpg.InterfaceError:  # the pool has taken it back as it closed
        return True


def _terminate(raw: Any) -> None:
    import asyncpg

    with contextlib.suppress(asyncpg.InterfaceError):  # as above
        raw.terminate()


async def _roll_back(raw: Any) -> None:
    import asyncpg

    try:
        await raw.execute("ROLLBACK")
    except (
        OSError,
        TimeoutError,
        asyncpg.PostgresError,
        asyncpg.InterfaceError,
        asyncpg.InternalClientError,  # the statement that had no answer is still under way
    ) as error:
        log.info("a transaction ends with its connection: %s", error)
        _terminate(raw)


async def _no_reset(connection: Any) -> None:
    """Leave the session as it is."""


def _claim(row: Any) -> Claim:
    """Ids arrive as UUID objects; the program knows them as text."""
    values = list(row)
    for n in (0, 9, 10):
        if values[n] is not None:
            values[n] = str(values[n])
    return Claim(*values)
