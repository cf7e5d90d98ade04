"""Ledgers with all tables for tests: each kind is migrated once in a process, every test gets a copy."""

from __future__ import annotations

import atexit
import shutil
import tempfile
from collections import defaultdict, deque
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import asyncpg
from hopyard.ledger import migrations
from hopyard.ledger.database import open_database, sqlite_path
from hopyard.ledger.values import new_id
from servers import fresh_database

_templates: dict[tuple[str, ...], str] = {}
#: The copies on each server, the oldest first.
_copies: dict[str, deque[str]] = defaultdict(deque)
#: So many stay, as some tests share one; older ones go as soon as nobody is connected to them.
_KEPT = 50


async def migrated(histories: Mapping[str, Any], *, file: Path, server: str | None = None) -> str:
    """Return the address of a new ledger with the tables of `histories`: a SQLite `file`, or on a server.

    It is a ledger of its own: its identity differs from that of all other copies.
    """
    key = (server or "sqlite", *(f"{name}={package}" for name, package in histories.items()))
    if key not in _templates:
        _templates[key] = await _made(histories, server)
    url = _copied(_templates[key], file) if server is None else await _created(_templates[key])
    database = open_database(url)
    try:
        await database.execute("UPDATE ledger_identity SET id = $1", new_id())
    finally:
        await database.close()
    return url


async def _made(histories: Mapping[str, Any], server: str | None) -> str:
    if server is not None:
        url = fresh_database(server)
    else:
        folder = Path(tempfile.mkdtemp(prefix="hopyard-ledgers-"))
        atexit.register(shutil.rmtree, folder, ignore_errors=True)
        url = f"sqlite:///{folder / 'ledger.db'}"
    for name, upgraded in (await migrations.upgrade(url, histories)).items():
        assert upgraded.error is None, f"{name}: {upgraded.error}"
    return url


def _copied(template: str, file: Path) -> str:
    file.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(sqlite_path(template), file)
    return f"sqlite:///{file}"


async def _created(template: str) -> str:
    parts = urlsplit(template)
    name = f"test_{new_id()[-12:]}"
    plain = urlunsplit(parts._replace(scheme="postgresql", path="/postgres"))
    connection = await asyncpg.connect(plain)
    try:
        await connection.execute(f"CREATE DATABASE {name} TEMPLATE {parts.path.strip('/')}")
        copies = _copies[plain]
        copies.append(name)
        if len(copies) > _KEPT:
            await _dropped(connection, copies.popleft(), copies)
    finally:
        await connection.close()
    return urlunsplit(parts._replace(path=f"/{name}"))


async def _dropped(connection: asyncpg.Connection, name: str, copies: deque[str]) -> None:
    try:
        await connection.execute(f"DROP DATABASE {name}")
    except asyncpg.ObjectInUseError:
        copies.append(name)
