"""SQLAlchemy's engine on the ledger: migrations, reads for people, administration. Never the hot path."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from typing import Any, Final

from hopyard.ledger.database import STATEMENTS, kept_statements, sqlite_path
from hopyard.ledger.sqlite import BUSY_SECONDS, PRAGMAS
from sqlalchemy import event
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.util import await_only

_PAUSE: Final = 0.02


def create_engine(url: str) -> AsyncEngine:
    """Return an engine for the ledger's URL, on asyncpg or aiosqlite."""
    if url.startswith("sqlite"):
        engine = create_async_engine(f"sqlite+aiosqlite:///{sqlite_path(url)}")
        event.listen(engine.sync_engine, "connect", _prepare_sqlite)
        event.listen(engine.sync_engine, "begin", _begin_immediate)
        return engine
    url, kept = kept_statements(url)
    options: dict[str, Any] = {}
    if kept is not None:
        options = {STATEMENTS: kept, "statement_cache_size": kept}
    if kept == 0:
        # Statements have no name, so that none is left behind on a server connection that others use next.
        options |= {"prepared_statement_name_func": str}
    return create_async_engine(
        "postgresql+asyncpg" + url[url.index("://") :], pool_size=2, max_overflow=4, connect_args=options
    )


def _prepare_sqlite(connection: Any, record: Any) -> None:
    # The driver's own transaction control begins too late to be a real transaction.
    connection.isolation_level = None
    cursor = connection.cursor()
    deadline = time.monotonic() + BUSY_SECONDS
    for pragma in PRAGMAS:
        while not _done(cursor, pragma, deadline):
            await_only(asyncio.sleep(_PAUSE))
    cursor.close()


def _done(cursor: Any, pragma: str, deadline: float) -> bool:
    """False: another process is just making the same new file a WAL file, which SQLite does not wait for."""
    try:
        cursor.execute(pragma)
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
            raise
        return False
    return True


def _begin_immediate(connection: Any) -> None:
    connection.exec_driver_sql("BEGIN IMMEDIATE")
