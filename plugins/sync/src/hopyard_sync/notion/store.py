"""The table `sync_notion_page`."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from hopyard import storage
from hopyard.storage import Transaction

from hopyard_sync.notion import content
from hopyard_sync.notion.client import Blocks
from hopyard_sync.texts import storable

_ID = re.compile(r"[0-9a-fA-F-]{32,36}")


@dataclass(frozen=True, slots=True)
class Known:
    """What is stored of an object."""

    edited: str
    pass_number: int
    gone: bool
    read: datetime


async def known(connection: str, ids: Sequence[str]) -> dict[str, Known]:
    """Return what is stored of objects, by id."""
    rows = await storage.fetch(
        "SELECT id, edited, pass_number, gone, changed FROM sync_notion_page WHERE connection = $1 "
        f"AND id {storage.sql().texts('$2')}",
        connection,
        storage.listed(ids),
    )
    return {
        row["id"]: Known(
            row["edited"], int(row["pass_number"]), row["gone"] is not None, _moment(row["changed"])
        )
        for row in rows
    }


def _moment(value: Any) -> datetime:
    found = storage.moment(value)
    assert found is not None  # noqa: S101 - the column is not null
    return found


@dataclass(frozen=True, slots=True)
class PageRow:
    """An object as it is stored."""

    trashed: bool
    values: tuple[Any, ...]


def row_of(connection: str, page: Mapping[str, Any], blocks: Blocks, pass_number: int) -> PageRow:
    """Return what is stored of an object with its blocks. Raises whatever odd objects make it raise."""
    trashed = bool(page.get("in_trash") or page.get("archived"))
    values = (
        connection,
        page["id"],
        page["object"],
        content.parent_of(page),
        storable(content.title_of(page))[:2000],
        storable(str(page.get("url") or ""))[:2000] or None,
        page["last_edited_time"],
        _json(page.get("properties", {})),
        _json(blocks.tree),
        storable(content.text_of(blocks.tree)),
        blocks.cut,
        pass_number,
    )
    return PageRow(trashed, values)


async def put(tx: Transaction, row: PageRow) -> None:
    """Insert or replace an object with its blocks."""
    await tx.execute(
        "INSERT INTO sync_notion_page (connection, id, object, parent, title, url, edited, properties, "
        "blocks, content, cut, gone, pass_number, changed) "
        "VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, "
        f"{tx.sql.now if row.trashed else 'NULL'}, $12, {tx.sql.now}) "
        "ON CONFLICT (connection, id) DO UPDATE SET "
        "object = excluded.object, parent = excluded.parent, title = excluded.title, url = excluded.url, "
        "edited = excluded.edited, properties = excluded.properties, blocks = excluded.blocks, "
        "content = excluded.content, cut = excluded.cut, gone = excluded.gone, "
        "pass_number = excluded.pass_number, changed = excluded.changed",
        *row.values,
    )


async def aside(connection: str, stream: str, most: int) -> list[str]:
    """Return the ids of pages that were set aside, the oldest first."""
    rows = await storage.fetch(
        "SELECT what FROM sync_set_aside WHERE connection = $1 AND stream = $2 ORDER BY id "
        f"LIMIT {int(most)}",
        connection,
        stream,
    )
    return [row["what"] for row in rows if _ID.fullmatch(row["what"])]


async def count_unseen(connection: str, seen: Collection[str]) -> tuple[int, int]:
    """Return how many stored objects are not among those that were seen, and how many there are."""
    rows = await storage.fetch(
        "SELECT id FROM sync_notion_page WHERE connection = $1 AND gone IS NULL", connection
    )
    return sum(row["id"] not in seen for row in rows), len(rows)


async def touch(tx: Transaction, connection: str, ids: Sequence[str], pass_number: int) -> None:
    """Note that a pass has seen objects as they are stored."""
    await tx.execute(
        f"UPDATE sync_notion_page SET pass_number = $3 WHERE connection = $1 AND id {tx.sql.texts('$2')}",
        connection,
        storage.listed(ids),
        pass_number,
    )


async def source_after(connection: str, source: str | None) -> str | None:
    """Return the data source that comes after one, the first after None; None if there are no more."""
    rows = await storage.fetch(
        "SELECT min(id) AS id FROM sync_notion_page WHERE connection = $1 AND object = 'data_source' "
        "AND gone IS NULL AND id > $2",
        connection,
        source or "",
    )
    return str(rows[0]["id"]) if rows[0]["id"] is not None else None


_UNSEEN = "connection = $1 AND gone IS NULL AND pass_number < $2"


async def unseen(tx: Transaction, connection: str, pass_number: int) -> tuple[int, int]:
    """Return how many objects a pass has not seen, and how many there are."""
    rows = await tx.fetch(
        "SELECT count(*) AS n, count(CASE WHEN pass_number < $2 THEN 1 END) AS unseen "
        "FROM sync_notion_page WHERE connection = $1 AND gone IS NULL",
        connection,
        pass_number,
    )
    return int(rows[0]["unseen"]), int(rows[0]["n"])


async def mark_gone(tx: Transaction, connection: str, pass_number: int) -> None:
    """Note that what a pass has not seen is gone; it is kept."""
    await tx.execute(
        f"UPDATE sync_notion_page SET gone = {tx.sql.now} WHERE {_UNSEEN}", connection, pass_number
    )


def _json(value: Any) -> str:
    return storable(json.dumps(value, ensure_ascii=False))
