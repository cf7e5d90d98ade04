"""The ledger on SQLite in WAL mode: a connection in a thread, next to the event loop that owns it.

Writes of a few rows go through a second one in the loop's own thread as long as they are quick: handing a
commit of half a millisecond to another thread, and waiting for that, costs as much again.
"""

from __future__ import annotations

import asyncio
import json
import sqlite3
import time
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager
from datetime import datetime
from typing import Any, Final, TypeVar

from hopyard.errors import LedgerError, LedgerUnavailable
from hopyard.ledger import sqlite_ended
from hopyard.ledger.columns import INSERTED, PAUSED, moved
from hopyard.ledger.database import Database, Row, appended
from hopyard.ledger.dialect import SQLITE
from hopyard.ledger.values import ORDINARY, Again, Claim, Done, NewJob, Stored, micros, moment, new_id
from hopyard.specs import State

T = TypeVar("T")

BUSY_SECONDS: Final = 30.0
#: A commit survives a power cut.
DURABLE: Final = "PRAGMA synchronous = FULL"
_LAZY: Final = "PRAGMA synchronous = NORMAL"
#: A write that took longer was no quick one: the next ones go to the thread.
_QUICK_SECONDS: Final = 0.003
_SHY: Final = 50
#: Rows of a write that may be quick.
_FEW: Final = 8
PRAGMAS: Final = (f"PRAGMA busy_timeout = {int(BUSY_SECONDS * 1000)}", "PRAGMA journal_mode = WAL", DURABLE)

_AT: Final = f"?{len(NewJob._fields) + 1}"
_INSERT: Final = f"""
INSERT INTO job_live ({INSERTED}, created)
SELECT {", ".join(f"?{n}" for n in range(1, len(NewJob._fields) + 1))}, {_AT}
 WHERE NOT EXISTS (SELECT 1 FROM job_history WHERE id = ?1)
ON CONFLICT DO NOTHING"""
# Ordinary jobs that nobody can have stored before.
_FRESH: Final = f"""
INSERT INTO job_live (id, task, queue, priority, body, headers, state, created)
VALUES (?1, ?2, ?3, ?4, ?5, '', {State.QUEUED:d}, ?6)"""
_OUTBOX: Final = "INSERT INTO job_outbox (id, created) VALUES (?1, ?2) ON CONFLICT DO NOTHING"
_ENTRY: Final = "INSERT INTO job_outbox (id, created, jobs) VALUES (?1, ?2, ?3)"
_HEARD: Final = "DELETE FROM job_outbox WHERE id = ?1 AND created = ?2"

_CLAIM: Final = f"""
UPDATE job_live SET state = {State.RUNNING:d}, attempt = attempt + 1, worker = ?2, claim = ?3,
       started = hopyard_now(), reason = CASE WHEN cancel THEN reason END
 WHERE id IN (SELECT value FROM json_each(?1)) AND state = {State.QUEUED:d}
   AND queue NOT IN {PAUSED} AND EXISTS (SELECT 1 FROM worker WHERE id = ?2 AND stopped IS NULL)
RETURNING id, claim, task, queue, body, headers, attempt, crashes, created, parent, root, person, schedule,
       due, cancel, linked, CASE WHEN attempts IS NOT NULL -- nothing ran before, nothing was saved
         THEN (SELECT data FROM job_checkpoint WHERE job_id = job_live.id) END AS checkpoint, priority"""

_KEPT: Final = moved("attempts")
_FINISH: Final = f"""
INSERT INTO job_history ({_KEPT}, state, result, error, attempts, finished)
SELECT {_KEPT}, ?3, ?4, ?5, CASE WHEN ?6 IS NULL THEN attempts ELSE {appended("?6")} END, hopyard_now()
  FROM job_live
 WHERE id = ?1 AND claim = ?2 AND worker = ?7 AND state = {State.RUNNING:d}
ON CONFLICT DO NOTHING -- the same job may come twice, and its row is still there"""
_ENDED: Final = "SELECT id FROM job_history WHERE rowid > ?1"
_FOLLOW: Final = """
INSERT INTO job_follow (id, created)
SELECT id, hopyard_now() FROM job_history WHERE rowid > ?1 AND linked"""
_GONE: Final = f"DELETE FROM job_live WHERE id IN ({_ENDED})"

_AGAIN: Final = f"""
UPDATE job_live SET state = {State.RETRYING:d}, worker = NULL, eta = ?3, reason = ?4,
       attempts = {appended("?5")}, crashes = crashes + ?6
 WHERE id = ?1 AND claim = ?2 AND worker = ?7 AND state = {State.RUNNING:d}"""


def lease_micros() -> int:
    """Return microseconds since the machine started, without those that it was suspended (`leases.py`)."""
    return time.monotonic_ns() // 1000


def prepare(connection: sqlite3.Connection) -> None:
    """Give a connection the ledger's pragmas and functions."""
    for pragma in PRAGMAS:
        connection.execute(pragma)
    connection.create_function("hopyard_now", 0, lambda: time.time_ns() // 1000)
    connection.create_function("hopyard_clock", 0, lease_micros)


def _plain(value: Any) -> Any:
    return micros(value) if isinstance(value, datetime) else value


def _parameters(values: Iterable[Any]) -> list[Any]:
    return [_plain(value) for value in values]


def numbered(sql: str) -> str:
    """Return a statement with its parameters as SQLite writes them."""
    return sql.replace("$", "?")


def _insert_jobs(raw: sqlite3.Connection, jobs: Sequence[NewJob], fresh: bool = False) -> Stored:
    at = time.time_ns() // 1000
    if fresh and all(job[5:] == ORDINARY for job in jobs):
        raw.executemany(_FRESH, [(*job[:5], at) for job in jobs])
        ids = [job.id for job in jobs]
        if len(ids) == 1:
            raw.execute(_OUTBOX, (ids[0], at))
            return Stored({*ids}, at)
        entry = new_id()
        raw.execute(_ENTRY, (entry, at, json.dumps(ids)))
        return Stored({*ids}, at, entry)
    new = set()
    for job in jobs:
        if raw.execute(_INSERT, (*_parameters(job), at)).rowcount:
            new.add(job.id)
    raw.executemany(_OUTBOX, [(job.id, at) for job in jobs if job.id in new and job.state == State.QUEUED])
    return Stored(new, at)


class _Connection:
    """A `Connection` inside a transaction that the thread has begun."""

    def __init__(self, run: Callable[[Callable[[sqlite3.Connection], Any]], Any]) -> None:
        self._run = run

    async def fetch(self, sql: str, *parameters: Any) -> Sequence[Row]:
        rows: Sequence[Row] = await self._run(
            lambda raw: raw.execute(numbered(sql), _parameters(parameters)).fetchall()
        )
        return rows

    async def execute(self, sql: str, *parameters: Any) -> int:
        changed: int = await self._run(
            lambda raw: raw.execute(numbered(sql), _parameters(parameters)).rowcount
        )
        return changed

    async def execute_many(self, sql: str, rows: Iterable[Sequence[Any]]) -> None:
        values = [_parameters(row) for row in rows]
        await self._run(lambda raw: raw.executemany(numbered(sql), values))

    async def insert_jobs(self, jobs: Sequence[NewJob]) -> set[str]:
        stored: Stored = await self._run(lambda raw: _insert_jobs(raw, jobs))
        return stored.new


def _transaction(raw: sqlite3.Connection, work: Callable[[sqlite3.Connection], T], ends: bool) -> T:
    """Run `work` as one transaction; `ends`: it may end jobs."""
    last = _begin(raw, ends)
    try:
        answer = work(raw)
        _commit(raw, last)
    except BaseException:
        if raw.in_transaction:
            raw.execute("ROLLBACK")
        raise
    return answer


def _begin(raw: sqlite3.Connection, ends: bool = True) -> int | None:
    """Begin a transaction; return the latest job in history if it may end more.

    BEGIN IMMEDIATE: a transaction that reads before it takes the write lock fails at once when another writer
    came between, whatever the busy timeout.
    """
    raw.execute("BEGIN IMMEDIATE")
    return sqlite_ended.last(raw) if ends else None


def _commit(raw: sqlite3.Connection, last: int | None) -> None:
    if last is not None:
        sqlite_ended.tell(raw, last)
    raw.execute("COMMIT")


class SqliteDatabase(Database):
    """One event loop's connection to one SQLite file."""

    dialect = SQLITE

    def __init__(self, path: str) -> None:
        self._path = path
        self._raw: sqlite3.Connection | None = None
        self._here: sqlite3.Connection | None = None
        """The loop's own. It waits for no lock, and leaves copying the log back to the other."""
        self._shy = 10
        """So many quick writes in the thread until one is done here."""
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="hopyard-sqlite")
        self._free = asyncio.Lock()

    async def close(self) -> None:
        async with self._free:
            if self._raw is not None:
                await self._run(lambda raw: raw.close())
                self._raw = None
            if self._here is not None:
                self._here.close()
                self._here = None
        self._thread.shutdown(wait=False)

    def abandon(self) -> None:
        if self._raw is not None:
            self._thread.submit(self._raw.close)
            self._raw = None
        self._here = None  # closed with its last reference: another thread must not
        self._thread.shutdown(wait=False)

    def _connect(self) -> sqlite3.Connection:
        raw = sqlite3.connect(self._path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False)
        raw.row_factory = sqlite3.Row
        prepare(raw)
        return raw

    def _opened(self) -> sqlite3.Connection:
        if self._raw is None:
            self._raw = self._connect()
        return self._raw

    def _opened_here(self) -> sqlite3.Connection:
        if self._here is None:
            self._here = self._connect()
            self._here.execute("PRAGMA busy_timeout = 0")
            self._here.execute("PRAGMA wal_autocheckpoint = 0")
        return self._here

    async def _run(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Run `work` in the connection's thread, to its end even if the caller is cancelled."""

        def call() -> T:
            return work(self._opened())

        future = asyncio.get_running_loop().run_in_executor(self._thread, call)
        with self._errors():
            try:
                return await asyncio.shield(future)
            except asyncio.CancelledError:
                await asyncio.wait([future])
                raise

    async def _write(
        self,
        work: Callable[[sqlite3.Connection], T],
        *,
        rows: int | None = None,
        ends: bool = True,
        lazily: bool = False,
    ) -> T:
        """Run `work` as one transaction, in one hop to the thread or here.

        `rows` is how many it is about, if that is known; `ends`: it may end jobs. `lazily`: as PostgreSQL's
        claims, the commit does not wait for the disk.
        """

        def transaction(raw: sqlite3.Connection) -> T:
            if not lazily:
                return _transaction(raw, work, ends)
            raw.execute(_LAZY)
            try:
                return _transaction(raw, work, ends)
            finally:
                raw.execute(DURABLE)

        def timed(raw: sqlite3.Connection) -> T:
            begun = time.perf_counter()
            answer = transaction(raw)
            self._shy = max(0, self._shy - 1) if time.perf_counter() - begun < _QUICK_SECONDS else _SHY
            return answer

        async with self._free:
            if rows is None or rows > _FEW:
                return await self._run(transaction)
            if not self._shy:
                try:
                    with self._errors():
                        return timed(self._opened_here())
                except LedgerUnavailable:  # locked, most likely: the thread can wait
                    self._shy = _SHY
            return await self._run(timed)

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, sqlite3.Warning, OverflowError, UnicodeError) as error:
            raise ledger_error(error, self._path) from error

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[_Connection]:
        async with self._free:
            try:
                # Within the block: a caller that is cancelled meanwhile must not leave the lock behind.
                last = await self._run(_begin)
                yield _Connection(self._run)
                await self._run(lambda raw: _commit(raw, last))
            except BaseException:
                await self._run(lambda raw: raw.execute("ROLLBACK") if raw.in_transaction else None)
                raise

    async def fetch(self, sql: str, *parameters: Any) -> Sequence[Row]:
        statement, values = numbered(sql), _parameters(parameters)
        work = self._write if not statement.lstrip().startswith("SELECT") else self._read
        return await work(lambda raw: raw.execute(statement, values).fetchall())

    async def _read(self, work: Callable[[sqlite3.Connection], T]) -> T:
        async with self._free:
            return await self._run(work)

    async def execute(self, sql: str, *parameters: Any) -> int:
        return await self._write(lambda raw: raw.execute(numbered(sql), _parameters(parameters)).rowcount)

    def list(self, values: Iterable[str]) -> Any:
        return json.dumps([*values])

    async def submit(self, jobs: Sequence[NewJob], *, fresh: bool = False) -> Stored:
        return await self._write(lambda raw: _insert_jobs(raw, jobs, fresh), rows=len(jobs), ends=False)

    async def drop_sent(self, messages: Sequence[tuple[str, Any]]) -> None:
        await self._write(lambda raw: raw.executemany(_HEARD, messages), ends=False)

    async def claim(self, ids: Sequence[str], worker: int, claim: int) -> Sequence[Claim]:
        values = (json.dumps([*ids]), worker, claim)
        rows = await self._write(
            lambda raw: raw.execute(_CLAIM, values).fetchall(), rows=len(ids), ends=False, lazily=True
        )
        return [_claim(row) for row in rows]

    async def finish(self, done: Sequence[Done], worker: int) -> set[str]:
        def work(raw: sqlite3.Connection) -> set[str]:
            before = (sqlite_ended.last(raw),)
            raw.executemany(_FINISH, [(*job, worker) for job in done])
            ours = {row[0] for row in raw.execute(_ENDED, before)}
            if ours:
                raw.execute(_FOLLOW, before)
                raw.execute(_GONE, before)
            return ours

        return await self._write(work, rows=len(done))

    async def again(self, jobs: Sequence[Again], worker: int) -> set[str]:
        def work(raw: sqlite3.Connection) -> set[str]:
            return {job.id for job in jobs if raw.execute(_AGAIN, (*_parameters(job), worker)).rowcount}

        return await self._write(work, ends=False)


def ledger_error(error: Exception, path: str) -> LedgerError:
    """Return the driver's error in the ledger's terms."""
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_CANTOPEN) & 0xFF
    if isinstance(error, sqlite3.OperationalError) and code != sqlite3.SQLITE_ERROR:
        return LedgerUnavailable(f"SQLite cannot be used now: {error} ({path})")
    return LedgerError(f"SQLite refuses: {error} ({path})")


def _claim(row: sqlite3.Row) -> Claim:
    claim = Claim(*row)
    return claim._replace(
        created=moment(claim.created) or claim.created,
        due=moment(claim.due),
        cancel=bool(claim.cancel),
        linked=bool(claim.linked),
    )
