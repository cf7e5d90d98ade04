"""What asyncpg raises, in the ledger's terms: no error of the driver reaches a caller."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from hopyard.errors import LedgerError, LedgerUnavailable
from hopyard.ledger.database import STATEMENTS

#: What to do where a connection pooler is found that the address says nothing of.
POOLER: Final = (
    "a connection pooler stands in front of PostgreSQL: in transaction mode, as PgBouncer's, "
    f"database_url must end in ?{STATEMENTS}=0"
)


@contextmanager
def translated() -> Iterator[None]:
    """Raise `LedgerUnavailable` or `LedgerError` for what the driver raises: hold it around its calls."""
    import asyncpg

    try:
        yield
    except (
        asyncpg.PostgresError,
        asyncpg.InterfaceError,
        asyncpg.InternalClientError,
        OSError,
        TimeoutError,
    ) as error:
        raise ledger_error(error) from error


def ledger_error(error: BaseException) -> LedgerError:
    """Return what an error of the driver means: `LedgerUnavailable` where trying again makes sense."""
    import asyncpg

    if "startup parameter" in str(error) or isinstance(
        error, asyncpg.InvalidSQLStatementNameError | asyncpg.DuplicatePreparedStatementError
    ):
        return LedgerError(f"{POOLER}: {error}")
    if isinstance(error, ValueError):  # the driver's own, of a parameter that fits no column
        return LedgerError(f"PostgreSQL cannot take this: {error}")
    if isinstance(
        error,
        asyncpg.InvalidAuthorizationSpecificationError | asyncpg.InvalidCatalogNameError,
    ):
        return LedgerError(f"PostgreSQL refuses the connection: {error}; check `database_url`")
    if isinstance(
        error,
        asyncpg.OperatorInterventionError  # it starts, stops or fails over
        | asyncpg.InsufficientResourcesError  # connections, memory, disk
        | asyncpg.TransactionRollbackError  # a deadlock: the other one won
        | asyncpg.ReadOnlySQLTransactionError,  # no longer the primary
    ):
        return LedgerUnavailable(f"PostgreSQL refuses now: {error}")
    if isinstance(error, asyncpg.PostgresError) and not isinstance(error, asyncpg.PostgresConnectionError):
        return LedgerError(f"PostgreSQL refuses: {error}")
    # Also what the next statement meets where the server's farewell has been read and its end has not.
    return LedgerUnavailable(f"PostgreSQL cannot be used now: {error!r}")
