"""Removing what is old: contents first, later the letters with their timelines."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from hopyard import storage

if TYPE_CHECKING:
    from hopyard_email.settings import EmailSettings

_BATCH: Final = 1000
_OPEN: Final = "('queued', 'claimed', 'sending', 'unknown')"
_DAY: Final = "CAST($1 AS double precision) * 86400"


async def remove_old(settings: EmailSettings) -> int:
    """Remove contents and letters that are over and old, at most a thousand each; return how many letters."""
    words = storage.sql()
    older = words.minus(words.now, _DAY)
    await storage.execute(
        "UPDATE email_content SET raw = NULL WHERE id IN (SELECT c.id FROM email_content c "
        f"WHERE c.raw IS NOT NULL AND c.created < {older} AND NOT EXISTS (SELECT 1 FROM email_letter l "
        f"WHERE l.content_id = c.id AND l.state IN {_OPEN}) LIMIT {_BATCH})",
        settings.keep_content_days,
    )
    rows = await storage.fetch(
        f"DELETE FROM email_letter WHERE id IN (SELECT id FROM email_letter WHERE updated < {older} "
        f"AND state NOT IN {_OPEN} ORDER BY updated LIMIT {_BATCH}) RETURNING id",
        settings.keep_days,
    )
    gone = storage.listed(str(row["id"]) for row in rows)
    await storage.execute(f"DELETE FROM email_event WHERE letter_id {words.ids('$1')}", gone)
    for statement in (
        f"DELETE FROM email_content WHERE created < {older} AND raw IS NULL AND NOT EXISTS "
        "(SELECT 1 FROM email_letter l WHERE l.content_id = email_content.id)",
        f"DELETE FROM email_incoming WHERE created < {older} AND acted",
        f"DELETE FROM email_slot WHERE expires < {older}",
    ):
        await storage.execute(statement, settings.keep_days)
    return len(rows)
