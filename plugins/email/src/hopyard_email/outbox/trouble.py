"""Accounts that cannot send at the moment: their server is not reached, or refuses the login.

It costs no letter an attempt. All workers leave the account alone until it is tried again.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final

from hopyard import storage
from hopyard.storage import moment

from hopyard_email.outbox.outcomes import pause
from hopyard_email.texts import cleaned

_FIRST: Final = 15.0
_MOST_FAILURES: Final = 6  # 16 minutes, from which on it waits no longer


async def note_trouble(account: str, problem: str) -> None:
    """Note that an account cannot send, and leave it alone for a while, longer each time."""
    words = storage.sql()
    rows = await storage.fetch("SELECT failures FROM email_account WHERE name = $1", account)
    failures = rows[0]["failures"] if rows else 0
    later = words.plus(words.now, "$4")
    await storage.execute(
        "INSERT INTO email_account (name, failures, problem, retry_at) "
        f"VALUES ($1, $2, $3, {later}) ON CONFLICT (name) DO UPDATE SET failures = excluded.failures, "
        "problem = excluded.problem, retry_at = excluded.retry_at",
        *(account, failures + 1, cleaned(problem), pause(min(failures, _MOST_FAILURES), _FIRST)),
    )


async def note_well(account: str) -> None:
    """Note that an account can send."""
    await storage.execute("DELETE FROM email_account WHERE name = $1", account)


async def troubled() -> dict[str, dict[str, Any]]:
    """Return the accounts that cannot send, by name: `problem`, `failures` and `retry_at`."""
    rows = await storage.fetch("SELECT name, failures, problem, retry_at FROM email_account")
    return {
        row["name"]: {
            "problem": row["problem"],
            "failures": row["failures"],
            "retry_at": moment(row["retry_at"]),
        }
        for row in rows
    }


async def resting(names: list[str]) -> dict[str, datetime]:
    """Return those of the accounts that are left alone now, and until when."""
    found = await troubled()
    now = storage.utcnow()
    return {name: one["retry_at"] for name, one in found.items() if name in names and one["retry_at"] > now}
