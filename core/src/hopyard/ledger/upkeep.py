"""A connection for looking after the database: `VACUUM`, `ANALYZE` and the like, outside of transactions.

It is one of its own, with short time limits, so that what it does holds up nobody: on PostgreSQL the server
keeps them, on SQLite a statement that takes too long is interrupted, which rolls it back.
"""

from __future__ import annotations

import asyncio
import os
import sqlite3
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import Any, Final, TypeVar

from hopyard.errors import LedgerError, LedgerUnavailable
from hopyard.ledger.database import Database, Row, kept_statements, sqlite_path
from hopyard.ledger.dialect import POSTGRES, SQLITE, Dialect
from hopyard.ledger.postgres_errors import translated
from hopyard.ledger.sqlite import ledger_error, numbered, prepare

T = TypeVar("T")

#: The core's tables; those of plugins begin with the plugin's name.
CORE_TABLES: Final = (
    *("access_key", "audit"),
    *("command", "delivery", "job_checkpoint", "job_effect", "job_event", "job_follow", "job_group"),
    *(
        "job_history",
        "job_key",
        "job_live",
        "job_log",
        "job_minute",
        "job_outbox",
        "job_part",
        "job_progress",
    ),
    "job_resource",
    *("leader", "ledger_identity", "notification", "plugin_switch", "queue_state"),
    *("schedule", "schedule_fire", "set_aside"),
    "worker",
)
_VERSIONS: Final = "hopyard_version_"
_NAME: Final = "hopyard upkeep"
_CONNECT_SECONDS: Final = 10.0
#: The client waits for so much longer than the server's own limit.
_SLACK_SECONDS: Final = 10.0


async def tables(database: Database) -> list[str]:
    """Return the names of all tables that can be reached without naming a schema."""
    if database.dialect.name == "sqlite":
        look = (
            "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%' ORDER BY name"
        )
    else:
        look = (
            "SELECT CAST(tablename AS text) AS name FROM pg_tables "
            "WHERE schemaname = current_schema() ORDER BY tablename"
        )
    return [row["name"] for row in await database.fetch(look)]


def belongs(table: str, owners: Sequence[str]) -> bool:
    """Say whether a table is the core's or one of the plugins' in `owners`."""
    return table in CORE_TABLES or any(
        table == owner or table.startswith((f"{owner}_", f"{_VERSIONS}{owner}")) for owner in owners
    )


class Upkeep(ABC):
    """Statements that commit one by one. Made by `upkeep`, and closed with its block."""

    sql: Dialect

    @abstractmethod
    async def fetch(self, statement: str, *parameters: Any) -> Sequence[Row]:
        """Run a statement, with parameters `$1`, `$2` …; return its rows.

        Raises `LedgerUnavailable` where it took too long, `LedgerError` where it could not have a lock in
        time, or is wrong.
        """

    @abstractmethod
    async def execute(self, statement: str) -> list[str]:
        """Run a command to its end; return what the server warns of, such as what it has left out.

        Raises as `fetch`.
        """

    @property
    def file(self) -> str | None:
        """The database's file, None for a server."""
        return None


class _Postgres(Upkeep):
    sql = POSTGRES

    def __init__(self, raw: Any) -> None:
        self._raw = raw
        self._warnings: list[str] = []
        raw.add_log_listener(self._told)

    def _told(self, raw: Any, message: Any) -> None:
        if message.severity_en in ("WARNING", "ERROR"):
            self._warnings.append(str(message.message))

    async def fetch(self, statement: str, *parameters: Any) -> Sequence[Row]:
        with translated():
            rows: Sequence[Row] = await self._raw.fetch(statement, *parameters)
        return rows

    async def execute(self, statement: str) -> list[str]:
        self._warnings.clear()
        with translated():
            await self._raw.execute(statement)
        await asyncio.sleep(0)  # the driver hands messages over by the event loop
        return [*self._warnings]


class _Sqlite(Upkeep):
    sql = SQLITE

    def __init__(self, path: str, lock_seconds: float, statement_seconds: float) -> None:
        self._path = path
        self._lock_seconds = lock_seconds
        self._seconds = statement_seconds
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="hopyard-upkeep")
        self._raw: sqlite3.Connection | None = None

    @property
    def file(self) -> str | None:
        return self._path

    def _opened(self) -> sqlite3.Connection:
        if self._raw is None:
            raw = sqlite3.connect(
                self._path, timeout=self._lock_seconds, isolation_level=None, check_same_thread=False
            )
            raw.row_factory = sqlite3.Row
            prepare(raw)
            raw.execute(f"PRAGMA busy_timeout = {int(self._lock_seconds * 1000)}")
            self._raw = raw
        return self._raw

    async def fetch(self, statement: str, *parameters: Any) -> Sequence[Row]:
        text = numbered(statement)
        return await self._within_limit(lambda raw: raw.execute(text, parameters).fetchall())

    async def execute(self, statement: str) -> list[str]:
        # `execute` of the driver stops a PRAGMA that works in steps after the first of them.
        await self._within_limit(lambda raw: raw.executescript(statement))
        return []

    async def _within_limit(self, work: Callable[[sqlite3.Connection], T]) -> T:
        future = asyncio.get_running_loop().run_in_executor(self._thread, lambda: work(self._opened()))
        try:
            async with asyncio.timeout(self._seconds):
                return await asyncio.shield(future)
        except TimeoutError as error:
            await self._interrupt(future)
            limit = f"it took longer than {self._seconds:g} s, and was rolled back"
            raise LedgerUnavailable(f"SQLite was interrupted: {limit} ({self._path})") from error
        except asyncio.CancelledError:
            await self._interrupt(future)
            raise
        except (sqlite3.Error, sqlite3.Warning, OverflowError, UnicodeError) as error:
            raise ledger_error(error, self._path) from error

    async def _interrupt(self, future: asyncio.Future[Any]) -> None:
        """Stop the statement, and wait until it is rolled back: its lock is gone then."""
        while not future.done():
            if self._raw is not None:
                self._raw.interrupt()
            await asyncio.wait([future], timeout=0.1)
        if not future.cancelled():
            future.exception()  # looked at, so that nobody warns of it

    async def close(self) -> None:
        """Close the connection."""
        raw, self._raw = self._raw, None
        if raw is not None:
            await asyncio.get_running_loop().run_in_executor(self._thread, raw.close)
        self._thread.shutdown(wait=False)


@asynccontextmanager
async def upkeep(url: str, lock_seconds: float, statement_seconds: float) -> AsyncIterator[Upkeep]:
    """Open a connection to the database at `url`, as `hopyard.storage.upkeep` says.

    Raises `LedgerUnavailable`, and `LedgerError` behind a connection pooler and where there is no database.
    """
    if url.startswith("sqlite"):
        path = sqlite_path(url)
        if not os.path.exists(path):
            raise LedgerError(f"there is no database at {path}")
        opened = _Sqlite(path, lock_seconds, statement_seconds)
        try:
            yield opened
        finally:
            await opened.close()
    else:
        raw = await _connect(url, lock_seconds, statement_seconds)
        try:
            yield _Postgres(raw)
        finally:
            await _close(raw)


async def _connect(url: str, lock_seconds: float, statement_seconds: float) -> Any:
    import asyncpg

    url, _ = kept_statements(url)
    with translated():
        raw = await asyncpg.connect(
            "postgresql" + url[url.index("://") :],
            timeout=_CONNECT_SECONDS,
            command_timeout=statement_seconds + _SLACK_SECONDS,
            statement_cache_size=0,
            server_settings={"application_name": _NAME},
        )
        try:
            async with raw.transaction():  # which a pooler has no other server connection for half-way
                behind = raw.get_server_pid() != await raw.fetchval("SELECT pg_backend_pid()")
            if behind:
                raise LedgerError(
                    "a connection pooler stands in front of PostgreSQL: it forgets the time limits that keep "
                    "maintenance from holding up others. Give the address of the server itself"
                )
            for name, seconds in (("lock_timeout", lock_seconds), ("statement_timeout", statement_seconds)):
                await raw.execute(f"SET {name} = {int(seconds * 1000)}")
        except BaseException:
            await _close(raw)
            raise
    return raw


async def _close(raw: Any) -> None:
    try:
        with translated():
            await raw.close(timeout=_CONNECT_SECONDS)
    except LedgerError:
        raw.terminate()
