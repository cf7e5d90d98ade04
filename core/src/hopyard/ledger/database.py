"""What the ledger asks of a database: short statements sent straight to the driver.

The hot path (submit, claim, finish) is one function each, written per database in `postgres.py` and
`sqlite.py`. Everything else is written once, in `Dialect` expressions, by the modules that need it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any, Final, Protocol

from hopyard.errors import LedgerError
from hopyard.ledger.dialect import Dialect
from hopyard.ledger.values import Again, Claim, Done, NewJob, Stored

Row = Mapping[str, Any]


class Connection(Protocol):
    """Statements inside one transaction."""

    async def fetch(self, sql: str, *parameters: Any) -> Sequence[Row]:
        """Run a statement and return its rows."""
        ...

    async def execute(self, sql: str, *parameters: Any) -> int:
        """Run a statement and return how many rows it changed."""
        ...

    async def execute_many(self, sql: str, rows: Iterable[Sequence[Any]]) -> None:
        """Run a statement once per row of parameters, in one round trip."""
        ...

    async def insert_jobs(self, jobs: Sequence[NewJob]) -> set[str]:
        """Store jobs; queued ones get an outbox entry. Return the ids that were new.

        An id that is live or in history is left alone: the same id is the same job.
        """
        ...


class Database(ABC):
    """A ledger database, used by one event loop."""

    dialect: Dialect

    @abstractmethod
    async def close(self) -> None:
        """Close every connection."""

    @abstractmethod
    def abandon(self) -> None:
        """Cut the connections of an event loop that is closed, from whichever thread."""

    async def pooler_fault(self) -> str | None:
        """Say what must be changed because of a pooler in front of the database; None: nothing."""
        return None

    @abstractmethod
    def transaction(self) -> AbstractAsyncContextManager[Connection]:
        """One transaction; on SQLite it holds the write lock from the start.

        Raises `LedgerUnavailable` where the database cannot be reached.
        """

    @abstractmethod
    async def fetch(self, sql: str, *parameters: Any) -> Sequence[Row]:
        """Run one statement in a transaction of its own and return its rows."""

    @abstractmethod
    async def execute(self, sql: str, *parameters: Any) -> int:
        """Run one statement in a transaction of its own and return how many rows it changed."""

    @abstractmethod
    def list(self, values: Iterable[str]) -> Any:
        """Return `values` as a parameter for `Dialect.ids` or `Dialect.texts`."""

    @abstractmethod
    async def submit(self, jobs: Sequence[NewJob], *, fresh: bool = False) -> Stored:
        """Store jobs with their outbox entries; durable when it returns.

        `fresh` promises that no id was ever submitted before, which saves looking for it.
        """

    @abstractmethod
    async def drop_sent(self, messages: Sequence[tuple[str, Any]]) -> None:
        """Drop outbox entries whose messages were sent: pairs of a job's id, or `Stored.entry`, and `at`.

        An entry that was written since, as a job is handed back, stays: it waits for a message of its own.
        """

    async def evict(self) -> int:
        """End the sessions of processes that are frozen inside a transaction; return how many there were.

        They hold locks for which others wait. Looks every two seconds at most. Where the file itself is
        locked nobody can help.
        """
        return 0

    @abstractmethod
    async def claim(self, ids: Sequence[str], worker: int, claim: int) -> Sequence[Claim]:
        """Take the queued ones among `ids` for `worker`; the rest are not ours to run."""

    @abstractmethod
    async def finish(self, done: Sequence[Done], worker: int) -> set[str]:
        """Move running jobs of `worker` to history. Return the ids that were still its own."""

    @abstractmethod
    async def again(self, jobs: Sequence[Again], worker: int) -> set[str]:
        """Put running jobs of `worker` aside until their `eta`. Return the ids that were still its own."""


def appended(entry: str) -> str:
    """SQL that appends the JSON text `entry` to the array in the column `attempts`."""
    return (
        "CASE WHEN attempts IS NULL THEN '[' || " + entry + " || ']' "
        "ELSE substr(attempts, 1, length(attempts) - 1) || ',' || " + entry + " || ']' END"
    )


def open_database(url: str, answer_within: float | None = None) -> Database:
    """Return the database at `url` (`postgresql…://`, `sqlite…:///path`); nothing is opened yet.

    A server without an answer after `answer_within` seconds counts as away. None: the default.

    Raises `LedgerError` for any other URL.
    """
    scheme = url.split(":", 1)[0].split("+", 1)[0]
    if scheme == "postgresql":
        from hopyard.ledger.postgres import PostgresDatabase

        return PostgresDatabase(url, answer_within=answer_within)
    if scheme == "sqlite":
        from hopyard.ledger.sqlite import SqliteDatabase

        return SqliteDatabase(sqlite_path(url))
    raise LedgerError(f"database_url has the scheme `{scheme}`; expected postgresql or sqlite")


#: In `database_url`, named as SQLAlchemy names it: how many statements a connection keeps prepared.
STATEMENTS: Final = "prepared_statement_cache_size"


def kept_statements(url: str) -> tuple[str, int | None]:
    """Return a PostgreSQL URL without its `STATEMENTS`, and their number (None: not said).

    0 is for a pooler in transaction mode: nothing is kept on a connection from one transaction to the next.
    Raises `LedgerError` for what is no whole number.
    """
    base, _, query = url.partition("?")
    parts = [part for part in query.split("&") if part]
    said = [part.partition("=")[2] for part in parts if part.partition("=")[0] == STATEMENTS]
    rest = "&".join(part for part in parts if part.partition("=")[0] != STATEMENTS)
    if said and not said[-1].isdecimal():
        raise LedgerError(
            f"database_url has {STATEMENTS}={said[-1]}; expected a whole number, 0 behind a pooler"
        )
    return f"{base}?{rest}" if rest else base, int(said[-1]) if said else None


def sqlite_path(url: str) -> str:
    """Return the file's path in a SQLite URL such as `sqlite:////var/lib/hopyard/hopyard.db`."""
    path = url.split("://", 1)[1].split("?", 1)[0]
    return path.removeprefix("/")
