"""The people that an installation knows, and telling them something."""

from __future__ import annotations

from typing import Any

from hopyard import current
from hopyard.ledger import readers
from hopyard.notifications import Person, alert, notify, person

__all__ = ["Person", "alert", "inbox", "known", "notify", "person"]


async def inbox(who: str | None, limit: int = 20) -> list[dict[str, Any]]:
    """Return what a person (None: anybody) was told, the newest first, with the state of each delivery.

    Each has `id`, `created` (ISO 8601), `person`, `title`, `body`, `data`, and `deliveries`: a list of
    `channel` (masked), `state`, `attempts` and `error`.
    """
    return await readers.notifications(current.get().client().database, person=who, limit=limit)


def known() -> list[str]:
    """Return the ids of all people that the settings know, sorted."""
    return sorted(current.get().settings.people)
