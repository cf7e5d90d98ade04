"""Addresses that get no mail: they bounced, complained, unsubscribed, or somebody said so."""

from __future__ import annotations

from typing import Any

from hopyard import storage
from hopyard.storage import Transaction, moment

from hopyard_email.addresses import parse_address
from hopyard_email.outbox.letters import note
from hopyard_email.texts import cleaned


async def suppress(address: str, reason: str, *, letter: str | None = None) -> bool:
    """Send an address no more mail; what waits for it is not sent. False: it got none already.

    Raises `InvalidInput` for what is no address.
    """
    async with storage.transaction() as tx:
        return await suppress_in(tx, parse_address(address, "address").key, reason, letter)


async def suppress_in(tx: Transaction, key: str, reason: str, letter: str | None) -> bool:
    """As `suppress`, within a transaction, by the address's key."""
    new = await tx.execute(
        "INSERT INTO email_suppressed (address, reason, letter_id, created) "
        f"VALUES ($1, $2, $3, {tx.sql.now}) ON CONFLICT DO NOTHING",
        *(cleaned(key), cleaned(reason, 500), letter),
    )
    rows = await tx.fetch(
        f"UPDATE email_letter SET state = 'suppressed', updated = {tx.sql.now} "
        "WHERE recipient_key = $1 AND state = 'queued' RETURNING id",
        key,
    )
    await note(tx, [(str(row["id"]), "suppressed", reason) for row in rows])
    return bool(new)


async def unsuppress(address: str) -> bool:
    """Let an address get mail again. False: it was not suppressed. Raises `InvalidInput`."""
    key = parse_address(address, "address").key
    return bool(await storage.execute("DELETE FROM email_suppressed WHERE address = $1", key))


async def suppressed(limit: int = 1000) -> list[dict[str, Any]]:
    """Return the addresses that get no mail, the latest first: `address`, `reason`, `created`."""
    rows = await storage.fetch(
        "SELECT address, reason, created FROM email_suppressed "
        f"ORDER BY created DESC, address LIMIT {int(limit)}"
    )
    return [
        {"address": row["address"], "reason": row["reason"], "created": moment(row["created"])}
        for row in rows
    ]
