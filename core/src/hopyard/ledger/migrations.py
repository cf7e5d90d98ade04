"""Migrations: one linear history and one version table for the core and for each plugin.

A history is a package `<package>` with a folder `versions` of Alembic revisions whose ids are `0001`,
`0002` …, each following the one before. The newest one is known from the file names alone, so that a
start-up check costs one query and imports nothing of Alembic.
"""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hopyard.errors import LedgerError, LedgerUnavailable, MigrationMissing
from hopyard.ledger.database import Database

CORE = "hopyard"
CORE_PACKAGE = "hopyard.ledger"

_REVISION = re.compile(r"^(\d{4})_\w+\.py$")
#: Two processes that upgrade at once: the second waits for this PostgreSQL advisory lock.
_LOCK = 0x686F7079


def version_table(owner: str) -> str:
    return f"hopyard_version_{owner}"


def versions_folder(package: str) -> Path:
    """Return the folder of a history. Raises `LedgerError` if the package has none."""
    spec = importlib.util.find_spec(package)
    for place in spec.submodule_search_locations or () if spec else ():
        folder = Path(place) / "versions"
        if folder.is_dir():
            return folder
    raise LedgerError(f"{package} has no folder `versions` with migrations")


def head(package: str) -> str:
    """Return the newest revision of a history."""
    found = [match[1] for file in versions_folder(package).iterdir() if (match := _REVISION.match(file.name))]
    if not found:
        raise LedgerError(f"{package}/versions has no revision named like 0001_initial.py")
    return max(found)


async def missing(database: Database, histories: Mapping[str, str]) -> dict[str, MigrationMissing]:
    """Return, by owner, what a database still lacks of `histories` (owner to package)."""
    behind = {}
    for owner, package in histories.items():
        newest = head(package)
        at = await _current(database, owner)
        if at is None or at < newest:
            behind[owner] = MigrationMissing(
                f"the database has revision {at or 'none'} of {owner}, this release needs {newest}: "
                "run `hopyard db upgrade`"
            )
    return behind


async def _current(database: Database, owner: str) -> str | None:
    table = version_table(owner)
    if database.dialect.name == "sqlite":
        exists = "SELECT name FROM sqlite_master WHERE type = 'table' AND name = $1"
    else:
        exists = "SELECT 1 AS name WHERE to_regclass($1) IS NOT NULL"
    if not await database.fetch(exists, table):
        return None
    rows = await database.fetch(f"SELECT max(version_num) AS at FROM {table}")
    return rows[0]["at"]  # type: ignore[no-any-return]


async def upgrade(url: str, histories: Mapping[str, str]) -> dict[str, tuple[str | None, str | None]]:
    """Bring the database up to the newest revision of each history; return (before, after) by owner.

    Runs under a lock: of two that start together one migrates and the other finds nothing to do.
    Raises `LedgerUnavailable` if the database cannot be reached.
    """
    from hopyard.ledger.engine import create_engine
    from sqlalchemy import text
    from sqlalchemy.exc import DBAPIError

    engine = create_engine(url)
    done: dict[str, tuple[str | None, str | None]] = {}
    try:
        async with engine.begin() as connection:
            if connection.dialect.name == "postgresql":
                await connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})
            for owner, package in histories.items():
                done[owner] = await connection.run_sync(_upgrade_one, owner, versions_folder(package))
    except (OSError, DBAPIError) as error:
        raise LedgerUnavailable(f"the database cannot be upgraded now: {error}") from error
    finally:
        await engine.dispose()
    return done


def _upgrade_one(connection: Any, owner: str, folder: Path) -> tuple[str | None, str | None]:
    from alembic.config import Config
    from alembic.runtime.environment import EnvironmentContext
    from alembic.script import ScriptDirectory

    script = ScriptDirectory(str(folder.parent), version_locations=[str(folder)])
    before: str | None = None

    def steps(revision: Any, context: Any) -> Any:
        nonlocal before
        before = context.get_current_revision()
        return script._upgrade_revs("head", revision)

    with EnvironmentContext(Config(), script, fn=steps, destination_rev="head") as environment:
        environment.configure(
            connection=connection, version_table=version_table(owner), transactional_ddl=False
        )
        environment.run_migrations()
    return before, script.get_current_head()
