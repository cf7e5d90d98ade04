"""What is kept of documents: contents by their digest, pages that OCR has read, and where which content lay.

A content is known by its SHA-256 and by how it was read: another language of OCR is another reading.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from hopyard import storage
from hopyard.storage import Row

_LONGEST_PROBLEM: Final = 2_000


@dataclass
class Content:
    """What was read of a content; see `hopyard_file.parsing.faults.Content`.

    `whole` is False where something is missing that may be there another time: it is read again then.
    """

    sha256: str
    size: int
    kind: str
    media_type: str
    text: str = ""
    pages: int | None = None
    pages_by_ocr: list[int] = field(default_factory=list)
    confidence: float | None = None
    metadata: dict[str, Any] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    page_problems: dict[int, str] = field(default_factory=dict)
    whole: bool = True


@dataclass(frozen=True)
class ReadPage:
    """A page that OCR has read; `problem` says why it has no text."""

    number: int
    text: str
    confidence: float | None = None
    problem: str | None = None


async def known(sha256: str, reading: str) -> Content | None:
    """Return a content that was read before, as a whole."""
    rows = await storage.fetch(
        "SELECT * FROM file_content WHERE sha256 = $1 AND reading = $2 AND state = 'whole'", sha256, reading
    )
    return _content(rows[0]) if rows else None


async def latest(sha256: str) -> Content | None:
    """Return a content as it was read last, whole or not."""
    rows = await storage.fetch(
        "SELECT * FROM file_content WHERE sha256 = $1 ORDER BY at DESC LIMIT 1", sha256
    )
    return _content(rows[0]) if rows else None


def _content(row: Row) -> Content:
    data = json.loads(row["data"])
    data["page_problems"] = {int(number): words for number, words in data["page_problems"].items()}
    return Content(
        sha256=row["sha256"],
        size=row["size"],
        kind=row["kind"],
        media_type=row["media_type"],
        text=row["text"],
        pages=row["pages"],
        whole=row["state"] == "whole",
        **data,
    )


async def keep(content: Content, reading: str) -> None:
    """Keep a content, in the place of an earlier reading of the same kind."""
    now = storage.sql().now
    data = {
        "pages_by_ocr": content.pages_by_ocr,
        "confidence": content.confidence,
        "metadata": content.metadata,
        "notes": content.notes,
        "page_problems": content.page_problems,
    }
    await storage.execute(
        "INSERT INTO file_content (sha256, reading, state, kind, media_type, size, pages, data, text, at) "
        f"VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, {now}) ON CONFLICT (sha256, reading) DO UPDATE SET "
        "state = excluded.state, kind = excluded.kind, media_type = excluded.media_type, "
        "size = excluded.size, pages = excluded.pages, data = excluded.data, text = excluded.text, "
        "at = excluded.at",
        *(content.sha256, reading, "whole" if content.whole else "partial", content.kind),
        *(content.media_type, content.size, content.pages, json.dumps(data), content.text),
    )


async def pages(sha256: str, reading: str) -> dict[int, ReadPage]:
    """Return the pages of a content that OCR has read, by number."""
    rows = await storage.fetch(
        "SELECT page, text, confidence, problem FROM file_page WHERE sha256 = $1 AND reading = $2",
        sha256,
        reading,
    )
    return {
        row["page"]: ReadPage(row["page"], row["text"], row["confidence"], row["problem"]) for row in rows
    }


async def keep_page(sha256: str, reading: str, page: ReadPage) -> None:
    """Keep a page that OCR has read, so that it is not read again after a crash."""
    now = storage.sql().now
    await storage.execute(
        "INSERT INTO file_page (sha256, reading, page, text, confidence, problem, at) "
        f"VALUES ($1, $2, $3, $4, $5, $6, {now}) ON CONFLICT (sha256, reading, page) DO UPDATE SET "
        "text = excluded.text, confidence = excluded.confidence, problem = excluded.problem, "
        "at = excluded.at",
        *(sha256, reading, page.number, page.text, page.confidence, page.problem),
    )


async def place(
    root: str,
    way: str,
    state: str,
    *,
    content: Content | None = None,
    sha256: str | None = None,
    reading: str | None = None,
    size: int | None = None,
    problem: str | None = None,
    notes: Sequence[str] = (),
    job: str | None = None,
    person: str | None = None,
) -> None:
    """Note what a file is now: `read`, `refused` or `failed`; what was said of another content goes."""
    now = storage.sql().now
    digest = content.sha256 if content else sha256
    same = "CASE WHEN file_document.sha256 = excluded.sha256 THEN file_document.{0} END"
    kept = ", ".join(f"{name} = {same.format(name)}" for name in ("summary", "categories", "analysis"))
    await storage.execute(
        "INSERT INTO file_document "
        "(root, way, sha256, reading, size, state, problem, notes, job, person, at) "
        f"VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, {now}) ON CONFLICT (root, way) DO UPDATE SET "
        f"{kept}, sha256 = excluded.sha256, reading = excluded.reading, size = excluded.size, "
        "state = excluded.state, problem = excluded.problem, notes = excluded.notes, job = excluded.job, "
        "person = excluded.person, at = excluded.at",
        *(root, way, digest, reading, content.size if content else size, state),
        problem[:_LONGEST_PROBLEM] if problem else None,
        json.dumps(list(notes)),
        job,
        person,
    )


async def say(root: str, way: str, **values: str | None) -> None:
    """Keep what a model says of a document: `summary`, `categories` (JSON), `analysis` (JSON)."""
    for name in ("summary", "categories", "analysis"):
        if name in values:
            await storage.execute(
                f"UPDATE file_document SET {name} = $3 WHERE root = $1 AND way = $2", root, way, values[name]
            )


async def documents(
    root: str | None, *, state: str | None = None, under: str = "", limit: int = 50
) -> list[dict[str, Any]]:
    """Return documents, those that were looked at last first."""
    rows = await storage.fetch(
        "SELECT d.*, c.kind, c.pages FROM file_document d "
        "LEFT JOIN file_content c ON c.sha256 = d.sha256 AND c.reading = d.reading "
        "WHERE (CAST($1 AS text) IS NULL OR d.root = $1) AND (CAST($2 AS text) IS NULL OR d.state = $2) "
        "AND ($3 = '' OR substr(d.way, 1, length($3)) = $3) ORDER BY d.at DESC LIMIT $4",
        root,
        state,
        under,
        limit,
    )
    return [_document(row) for row in rows]


async def document(root: str, way: str) -> dict[str, Any] | None:
    """Return what is known of a file; None where it was never looked at."""
    rows = await storage.fetch(
        "SELECT d.*, c.kind, c.pages FROM file_document d "
        "LEFT JOIN file_content c ON c.sha256 = d.sha256 AND c.reading = d.reading "
        "WHERE d.root = $1 AND d.way = $2",
        root,
        way,
    )
    return _document(rows[0]) if rows else None


def _document(row: Row) -> dict[str, Any]:
    found = dict(row)
    found["at"] = storage.moment(row["at"])
    found["job"] = str(row["job"]) if row["job"] else None
    found["notes"] = json.loads(row["notes"])
    for name in ("categories", "analysis"):
        found[name] = json.loads(row[name]) if row[name] else None
    return found


async def forget(days: float) -> None:
    """Remove documents at which nobody has looked for so many days, their texts, and old batches."""
    d = storage.sql()
    before = d.minus(d.now, "CAST($1 AS double precision) * 86400")
    async with storage.transaction() as tx:
        await tx.execute(f"DELETE FROM file_document WHERE at < {before}", days)
        await tx.execute(
            f"DELETE FROM file_content WHERE at < {before} AND NOT EXISTS "
            "(SELECT 1 FROM file_document d WHERE d.sha256 = file_content.sha256)",
            days,
        )
        await tx.execute(f"DELETE FROM file_page WHERE at < {before}", days)
        await tx.execute(
            f"DELETE FROM file_batch_item WHERE job IN (SELECT job FROM file_batch WHERE created < {before})",
            days,
        )
        await tx.execute(f"DELETE FROM file_batch WHERE created < {before}", days)
