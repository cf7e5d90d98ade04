"""Migrations: one history and one version table for the core and for each plugin.

Each owner's migrations run in a transaction of their own, the core's first. What is wrong with one owner's
is told of that owner, and the others are brought up to date.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any, NamedTuple

from hopyard.errors import LedgerError, LedgerUnavailable, MigrationError, MigrationMissing
from hopyard.ledger.database import Database
from hopyard.ledger.histories import History, read_history

log = logging.getLogger("hopyard.ledger")

CORE = "hopyard"
CORE_PACKAGE = "hopyard.ledger"

#: Two processes that upgrade at once: the second waits for this PostgreSQL advisory lock.
_LOCK = 0x686F7079


class Upgraded(NamedTuple):
    """What an upgrade did to one owner's tables: revisions before and after; `error` if it failed."""

    before: str | None
    after: str | None
    error: LedgerError | None = None


def version_table(owner: str) -> str:
    return f"hopyard_version_{owner}"


def head(package: str) -> str:
    """Return the newest revision of a history. Raises `MigrationError` if it is none."""
    return read_history(package).head


async def faults(database: Database, histories: Mapping[str, Any]) -> dict[str, LedgerError]:
    """Return what is wrong with the tables of `histories` (owner to package), by owner.

    `MigrationMissing`: the database is older than the code. `MigrationError`: it is newer, or the migrations
    themselves are broken. One query for all, and one per owner. Raises `LedgerUnavailable`.
    """
    tables = await _version_tables(database)
    found: dict[str, LedgerError] = {}
    for owner, package in histories.items():
        try:
            history = read_history(package)
            table = version_table(owner)
            rows = await database.fetch(f"SELECT version_num FROM {table}") if table in tables else ()
            _compare(owner, history, {str(row["version_num"]) for row in rows})
        except LedgerUnavailable:
            raise
        except LedgerError as error:
            found[owner] = error
    return found


async def _version_tables(database: Database) -> set[str]:
    if database.dialect.name == "sqlite":
        look = "SELECT name FROM sqlite_master WHERE type = 'table'"
    else:
        look = (
            "SELECT CAST(tablename AS text) AS name FROM pg_tables "
            "WHERE schemaname = ANY(current_schemas(false))"
        )
    prefix = version_table("")
    return {row["name"] for row in await database.fetch(look) if row["name"].startswith(prefix)}


def _compare(owner: str, history: History, at: set[str]) -> None:
    """Raise what is wrong where the database is at the revisions `at`."""
    if at == {history.head}:
        return
    unknown = sorted(at - history.revisions)
    if unknown:
        raise MigrationError(
            f"the database has revision {', '.join(unknown)} of {owner}, which this release does not know "
            f"(its newest is {history.head}): install the release of {owner} that upgraded the database"
        )
    raise MigrationMissing(
        f"the database has revision {', '.join(sorted(at)) or 'none'} of {owner}, this release needs "
        f"{history.head}: run `hopyard db upgrade`"
    )


async def upgrade(url: str, histories: Mapping[str, Any]) -> dict[str, Upgraded]:
    """Bring the database up to the newest revision of each history; return what was done, by owner.

    Of two processes that upgrade together one migrates an owner and the other finds nothing to do.
    Raises `LedgerUnavailable` if the database cannot be reached, and what is wrong with the core's own
    migrations; of other owners' it is in their `error`.
    """
    from hopyard.ledger.engine import create_engine

    engine = create_engine(url)
    done: dict[str, Upgraded] = {}
    try:
        for owner, package in histories.items():
            try:
                done[owner] = await _upgrade_owner(engine, owner, package)
            except LedgerUnavailable:
                raise
            except LedgerError as error:
                if owner == CORE:
                    raise
                log.warning("the tables of %s stay as they are: %s", owner, error)
                done[owner] = Upgraded(None, None, error)
    finally:
        await engine.dispose()
    return done


async def _upgrade_owner(engine: Any, owner: str, package: Any) -> Upgraded:
    from sqlalchemy import text
    from sqlalchemy.exc import DBAPIError

    history = read_history(package)
    try:
        async with engine.begin() as connection:
            if connection.dialect.name == "postgresql":
                await connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})
            try:
                done: Upgraded = await connection.run_sync(_run, owner, history)
            except LedgerError:
                raise
            except (Exception, SystemExit) as error:
                if isinstance(error, DBAPIError) and error.connection_invalidated:
                    raise
                raise _failed(owner, error) from error
            return done
    except (OSError, DBAPIError) as error:
        raise _refused(error) from error


def _refused(error: Exception) -> LedgerError:
    """Return the error of a connection that did not come about, or broke off."""
    said = getattr(error, "orig", None) or error
    if getattr(said, "sqlstate", None) and said.__cause__ is not None:  # PostgreSQL's own answer
        from hopyard.ledger.postgres_errors import ledger_error

        return ledger_error(said.__cause__)
    return LedgerUnavailable(f"the database cannot be upgraded now: {' '.join(str(said).split())}")


def _failed(owner: str, error: BaseException) -> MigrationError:
    """Return the error of a migration that raised, with the line of it that did."""
    import traceback

    lines = [
        f"{frame.filename}:{frame.lineno}: "
        for frame in traceback.extract_tb(error.__traceback__)
        if "/versions/" in frame.filename.replace("\\", "/")
    ]
    where = lines[-1] if lines else ""
    what = str(getattr(error, "orig", None) or error).strip().partition("\n")[0]
    return MigrationError(f"a migration of {owner} failed: {where}{type(error).__name__}: {what}")


def _run(connection: Any, owner: str, history: History) -> Upgraded:
    from alembic.config import Config
    from alembic.runtime.environment import EnvironmentContext
    from alembic.script import ScriptDirectory

    script = ScriptDirectory(str(history.folder.parent), version_locations=[str(history.folder)])
    before: set[str] = set()

    def steps(revision: Any, context: Any) -> Any:
        before.update(context.get_current_heads())
        if not before <= history.revisions:
            _compare(owner, history, before)
        return script._upgrade_revs("head", revision)

    with EnvironmentContext(Config(), script, fn=steps, destination_rev="head") as environment:
        environment.configure(
            connection=connection, version_table=version_table(owner), transactional_ddl=False
        )
        environment.run_migrations()
    return Upgraded(", ".join(sorted(before)) or None, history.head)
