"""What was heard and seen, by the content of a recording and how it was worked on: checkpoint and cache."""

from __future__ import annotations

import hashlib
import json
from typing import Any, Final

from hopyard import storage

#: The step that has the whole transcript; the others are its parts.
WHOLE: Final = "whole"
_KEYS: Final = {
    "media_result": ("made", "sha256, options, step"),
    "media_recording": ("seen", "root, way"),
}


def digest(*options: Any) -> str:
    """Return what stands for how something was worked on."""
    return hashlib.sha256(json.dumps(options, sort_keys=True, default=str).encode()).hexdigest()


async def known(sha256: str, options: str) -> dict[str, Any]:
    """Return the results of all steps that are kept, by step; the whole of them is `one(…, WHOLE)`."""
    rows = await storage.fetch(
        "SELECT step, result FROM media_result WHERE sha256 = $1 AND options = $2 AND step <> $3",
        sha256,
        options,
        WHOLE,
    )
    return {row["step"]: json.loads(row["result"]) for row in rows}


async def one(sha256: str, options: str, step: str) -> Any:
    """Return the result of a step, None unless it is kept."""
    rows = await storage.fetch(
        "SELECT result FROM media_result WHERE sha256 = $1 AND options = $2 AND step = $3",
        sha256,
        options,
        step,
    )
    return json.loads(rows[0]["result"]) if rows else None


async def keep(sha256: str, options: str, step: str, result: Any) -> None:
    """Keep the result of a step."""
    await storage.execute(
        "INSERT INTO media_result (sha256, options, step, result, made) "
        f"VALUES ($1, $2, $3, $4, {storage.sql().now}) ON CONFLICT (sha256, options, step) DO UPDATE SET "
        "result = excluded.result, made = excluded.made",
        sha256,
        options,
        step,
        json.dumps(result, ensure_ascii=False),
    )


async def forget(table: str, days: float, most: int = 1000) -> int:
    """Remove rows of a table that are older than so many days, at most so many; return how many went."""
    words = storage.sql()
    moment, key = _KEYS[table]
    return await storage.execute(
        f"DELETE FROM {table} WHERE ({key}) IN (SELECT {key} FROM {table} "
        f"WHERE {moment} < {words.minus(words.now, '$1')} LIMIT {int(most)})",
        days * 86_400.0,
    )


async def old_batches(days: float) -> list[str]:
    """Return the jobs of the batches that were begun so many days ago."""
    words = storage.sql()
    rows = await storage.fetch(
        f"SELECT DISTINCT job FROM media_batch WHERE made < {words.minus(words.now, '$1')}", days * 86_400.0
    )
    return [row["job"] for row in rows]


async def is_older(job: str, days: float) -> bool:
    """Say whether a batch was begun so many days ago."""
    words = storage.sql()
    rows = await storage.fetch(
        "SELECT 1 AS found FROM media_batch WHERE job = $2 "
        f"AND made < {words.minus(words.now, '$1')} LIMIT 1",
        days * 86_400.0,
        job,
    )
    return bool(rows)


async def forget_batch(job: str) -> int:
    """Remove a batch; return how many recordings were in it."""
    return await storage.execute("DELETE FROM media_batch WHERE job = $1", job)
