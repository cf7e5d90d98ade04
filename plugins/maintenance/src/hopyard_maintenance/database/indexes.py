"""PostgreSQL's indexes: how much of one is waste, building it anew, and what a broken attempt has left.

How large a B-tree should be is estimated from what the planner knows: so many rows, so wide on average, in
pages that are filled to nine tenths. Where equal keys are stored once the index is smaller than that, and
counts as sound. Sizes are those of the last vacuum, which take no lock to be known.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from hopyard.errors import LedgerError
from hopyard.storage import Upkeep

from hopyard_maintenance.models import IndexUpkeep
from hopyard_maintenance.settings import OptimizeSettings

#: What `REINDEX CONCURRENTLY` leaves behind when it is cut off.
_LEFT_OVER: Final = """
SELECT CAST(i.relname AS text) AS name, CAST(t.relname AS text) AS of,
       8192 * CAST(i.relpages AS bigint) AS bytes
  FROM pg_index x JOIN pg_class i ON i.oid = x.indexrelid JOIN pg_class t ON t.oid = x.indrelid
 WHERE NOT x.indisvalid AND t.relnamespace = current_schema()::regnamespace AND t.relname = ANY($1::text[])
   AND i.relname ~ '_cc(new|old)[0-9]*$'
 ORDER BY i.relname"""
#: 8,192 bytes a page with 24 of head and 16 at the end; 8 an entry with 4 for its place; values in eights.
_BTREES: Final = """
WITH btree AS (
  SELECT i.oid, i.relname, t.relname AS of, t.oid AS of_oid, i.reltuples, x.indkey, x.indnatts,
         8192 * CAST(i.relpages AS bigint) AS bytes
    FROM pg_index x JOIN pg_class i ON i.oid = x.indexrelid JOIN pg_class t ON t.oid = x.indrelid
    JOIN pg_am a ON a.oid = i.relam
   WHERE a.amname = 'btree' AND x.indisvalid AND x.indisready AND x.indexprs IS NULL AND i.reltuples >= 0
     AND t.relnamespace = current_schema()::regnamespace AND t.relname = ANY($1::text[])
), wide AS (
  SELECT b.oid, sum(coalesce(s.avg_width, 8)) AS width
    FROM btree b CROSS JOIN LATERAL unnest(b.indkey) AS k(attnum)
    JOIN pg_attribute a ON a.attrelid = b.of_oid AND a.attnum = k.attnum
    LEFT JOIN pg_stats s ON s.schemaname = current_schema() AND s.tablename = b.of AND s.attname = a.attname
   GROUP BY b.oid
)
SELECT CAST(relname AS text) AS name, CAST(of AS text) AS of, bytes,
       8192 * (2 + ceil(reltuples * (12 + 8 * ceil(width / 8.0)) / (8152 * 0.9)))::bigint AS expected
  FROM btree JOIN wide USING (oid) ORDER BY relname"""
REBUILD: Final = "reindex"
REMOVE: Final = "remove left-over"


async def left_over(connection: Upkeep, tables: Sequence[str]) -> list[IndexUpkeep]:
    """Return the invalid indexes that an attempt to build one anew has left on these tables."""
    rows = await connection.fetch(_LEFT_OVER, [*tables])
    return [_told(row["name"], row["of"], REMOVE, row["bytes"]) for row in rows]


async def bloated(connection: Upkeep, tables: Sequence[str], settings: OptimizeSettings) -> list[IndexUpkeep]:
    """Return the B-trees of these tables that are mostly waste."""
    found = []
    for row in await connection.fetch(_BTREES, [*tables]):
        waste = row["bytes"] - row["expected"]
        if waste > settings.reindex_bytes and waste > settings.reindex_share * row["bytes"]:
            found.append(_told(row["name"], row["of"], REBUILD, row["bytes"]))
    return found


async def work(connection: Upkeep, one: IndexUpkeep) -> None:
    """Build it anew, or remove it; what a failure leaves is removed, if nobody has it locked.

    Raises `LedgerUnavailable` where the server is gone.
    """
    from hopyard_maintenance.database.postgres import quoted

    command = "REINDEX INDEX CONCURRENTLY" if one.done == REBUILD else "DROP INDEX CONCURRENTLY IF EXISTS"
    try:
        one.bytes_before = one.bytes_after = await _size(connection, one.index)
        await connection.execute(f"{command} {quoted(one.index)}")
        one.bytes_after = await _size(connection, one.index)
    except LedgerError as error:
        one.problem = str(error)
        for rest in await left_over(connection, [one.table]):
            if one.done == REBUILD:
                await work(connection, rest)


async def _size(connection: Upkeep, index: str) -> int:
    rows = await connection.fetch(
        "SELECT pg_relation_size(c.oid) AS bytes FROM pg_class c "
        "WHERE c.relnamespace = current_schema()::regnamespace AND c.relname = $1",
        index,
    )
    return int(rows[0]["bytes"]) if rows else 0


def _told(index: str, table: str, done: str, size: int) -> IndexUpkeep:
    return IndexUpkeep(index=index, table=table, done=done, bytes_before=size, bytes_after=size)
