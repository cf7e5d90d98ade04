"""Tables of a plugin's own, in the ledger's database.

A plugin's migrations make them, named `<plugin>_…`, with `Id` and `Moment` as column types. The same SQL runs
on PostgreSQL and SQLite: parameters are `$1`, `$2` …, and where the two differ `sql()` has the words.

    async with storage.transaction() as tx:
        await tx.execute(f"UPDATE ai_run SET done = {tx.sql.now} WHERE id = $1", run)
        await tx.submit(act.options(person="ada"), request=run)

All that happens in the block is committed together, jobs included, or not at all. The core's own tables are
no part of this: other modules (`hopyard.schedules`, `hopyard.jobs`, `hopyard.people`) speak for them.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from typing import TYPE_CHECKING, Any

from hopyard import current
from hopyard.errors import LedgerError, LedgerUnavailable
from hopyard.ledger.dialect import Dialect
from hopyard.ledger.values import NewJob, derived_id, new_id, utcnow
from hopyard.ledger.values import moment as _moment

if TYPE_CHECKING:
    from hopyard.ledger.database import Connection
    from hopyard.ledger.types import Id, Moment
    from hopyard.ledger.upkeep import Upkeep
    from hopyard.tasks import JobHandle
    from hopyard.tasks.declaration import Call

__all__ = [
    "Dialect",
    "Id",
    "Moment",
    "Row",
    "Transaction",
    "Upkeep",
    "derived_id",
    "execute",
    "fetch",
    "listed",
    "moment",
    "new_id",
    "sql",
    "tables",
    "transaction",
    "upkeep",
    "utcnow",
]

Row = Mapping[str, Any]
"""A row of a result, by column name."""


class Transaction:
    """Statements that are committed together. Made by `transaction()`."""

    def __init__(self, connection: Connection, words: Dialect) -> None:
        self.connection = connection
        self.sql = words
        self._jobs: list[NewJob] = []

    async def fetch(self, statement: str, *parameters: Any) -> Sequence[Row]:
        """Run a statement; return its rows. Raises `LedgerError`."""
        return await self.connection.fetch(statement, *parameters)

    async def execute(self, statement: str, *parameters: Any) -> int:
        """Run a statement; return how many rows it changed. Raises `LedgerError`."""
        return await self.connection.execute(statement, *parameters)

    async def execute_many(self, statement: str, rows: Iterable[Sequence[Any]]) -> None:
        """Run a statement once for each row of parameters. Raises `LedgerError`."""
        await self.connection.execute_many(statement, rows)

    async def submit(self, call: Call[..., Any], **arguments: Any) -> JobHandle[Any]:
        """Store a job with this transaction: `tx.submit(task.options(person="ada"), city="Oslo")`.

        It can run as soon as the transaction has committed. Raises `PayloadError`, `NotAdmitted`.
        """
        from hopyard.tasks import JobHandle

        job = call.job((), arguments)
        if job.id in await self.connection.insert_jobs([job]):
            self._jobs.append(job)
        return JobHandle(job.id, call.task.payload)

    async def _committed(self) -> None:
        await current.get().client().announce(self._jobs)


@asynccontextmanager
async def transaction() -> AsyncIterator[Transaction]:
    """One transaction, committed at the end of the block, rolled back where it raises.

    On SQLite it holds the only write lock from its beginning, so it should be short.
    Raises `LedgerUnavailable` where the database cannot be reached.
    """
    database = current.get().client().database
    async with database.transaction() as connection:
        made = Transaction(connection, database.dialect)
        yield made
    await made._committed()


async def fetch(statement: str, *parameters: Any) -> Sequence[Row]:
    """Run one statement by itself; return its rows. Raises `LedgerError`."""
    found: Sequence[Row] = await current.get().client().database.fetch(statement, *parameters)
    return found


async def execute(statement: str, *parameters: Any) -> int:
    """Run one statement by itself; return how many rows it changed. Raises `LedgerError`."""
    changed: int = await current.get().client().database.execute(statement, *parameters)
    return changed


@asynccontextmanager
async def upkeep(
    *, lock_seconds: float = 2.0, statement_seconds: float = 600.0, url: str | None = None
) -> AsyncIterator[Upkeep]:
    """A connection of its own outside of transactions, for `VACUUM`, `ANALYZE` and the like.

    A statement waits at most `lock_seconds` for a lock, and takes at most `statement_seconds`; on SQLite it
    holds the only write lock meanwhile, without which workers lose their leases: 5 s is a good limit there.
    `url` is another address of the same database, for one that is reached through a connection pooler.

    Raises `LedgerUnavailable`, and `LedgerError` behind a pooler and for an address of another database.
    """
    from hopyard.ledger.upkeep import upkeep as opened

    async with opened(url or current.get().database_url, lock_seconds, statement_seconds) as connection:
        if url is not None:
            await _check_same_ledger(connection)
        yield connection


async def _check_same_ledger(connection: Upkeep) -> None:
    ask = "SELECT id FROM ledger_identity"
    try:
        there = await connection.fetch(ask)
    except LedgerUnavailable:
        raise
    except LedgerError:  # it has no such table
        there = ()
    if {str(row["id"]) for row in there} != {str(row["id"]) for row in await fetch(ask)}:
        raise LedgerError("the address for maintenance leads to another database than `database_url`")


async def tables(*, foreign: bool = False) -> list[str]:
    """Return the names of the tables of the core and of all enabled plugins, in order.

    With `foreign` those of the others in the same database and schema, which Hopyard has nothing to do with.
    """
    from hopyard.ledger import upkeep

    hopyard = current.get()
    owners = [*hopyard.histories]
    found = await upkeep.tables(hopyard.client().database)
    return [name for name in found if upkeep.belongs(name, owners) is not foreign]


def sql() -> Dialect:
    """Return the expressions in which the two databases differ: `now`, `plus`, `minus`, `ids`, `texts` …"""
    words: Dialect = current.get().client().database.dialect
    return words


def listed(values: Iterable[str]) -> Any:
    """Return ids or texts as one parameter, for `sql().ids("$1")` and `sql().texts("$1")`."""
    return current.get().client().database.list(values)


def moment(value: Any) -> datetime | None:
    """Return what a `Moment` column holds as an aware time in UTC; None for NULL."""
    return _moment(value)


if not TYPE_CHECKING:  # a type checker reads the imports above

    def __getattr__(name: str) -> Any:  # SQLAlchemy is heavy, and only migrations need it
        if name in ("Id", "Moment"):
            from hopyard.ledger import types

            return getattr(types, name)
        if name == "Upkeep":
            from hopyard.ledger.upkeep import Upkeep

            return Upkeep
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
