"""The tables `sync_folder` and `sync_message`. What is gone from the mailbox is marked, and kept."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from hopyard import storage
from hopyard.storage import Transaction

_REPLACED: Final = ", ".join(
    f"{name} = excluded.{name}"
    for name in (
        *("message_id", "sender", "recipients", "subject", "sent", "received", "flags", "size"),
        *("content", "cut"),
    )
)


@dataclass(frozen=True, slots=True)
class Folder:
    """How far a folder was read. 0 and None: nobody knows.

    Up to the UID `last_uid` everything is stored that the server has; `modseq` is the highest change whose
    flags are known.
    """

    name: str
    uidvalidity: int
    last_uid: int = 0
    modseq: int | None = None


@dataclass(frozen=True, slots=True)
class Message:
    """A message as it is stored; `content` may be only its beginning (`cut`)."""

    uid: int
    message_id: str | None
    sender: str | None
    recipients: str | None
    subject: str | None
    sent: datetime | None
    received: datetime | None
    flags: str
    size: int
    content: bytes
    cut: bool


async def folders(connection: str) -> dict[str, Folder]:
    """Return the folders of a mailbox that are known, by name."""
    rows = await storage.fetch(
        "SELECT name, uidvalidity, last_uid, modseq FROM sync_folder WHERE connection = $1 AND gone IS NULL",
        connection,
    )
    return {
        row["name"]: Folder(
            row["name"],
            int(row["uidvalidity"]),
            int(row["last_uid"]),
            int(row["modseq"]) if row["modseq"] else None,
        )
        for row in rows
    }


async def save_folder(tx: Transaction, connection: str, folder: Folder) -> None:
    """Remember how far a folder was read."""
    await tx.execute(
        "INSERT INTO sync_folder (connection, name, uidvalidity, last_uid, modseq) "
        "VALUES ($1, $2, $3, $4, $5) "
        "ON CONFLICT (connection, name) DO UPDATE SET uidvalidity = excluded.uidvalidity, "
        "last_uid = excluded.last_uid, modseq = excluded.modseq, gone = NULL",
        connection,
        folder.name,
        folder.uidvalidity,
        folder.last_uid,
        str(folder.modseq) if folder.modseq is not None else None,
    )


async def add(tx: Transaction, connection: str, folder: Folder, messages: Iterable[Message]) -> None:
    """Store messages as they were read now; one that was gone is back."""
    await tx.execute_many(
        "INSERT INTO sync_message (connection, folder, uidvalidity, uid, message_id, sender, recipients, "
        "subject, sent, received, flags, size, content, cut) "
        "VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14) "
        f"ON CONFLICT (connection, folder, uidvalidity, uid) DO UPDATE SET {_REPLACED}, gone = NULL",
        [
            (
                *(connection, folder.name, folder.uidvalidity, one.uid, one.message_id, one.sender),
                *(one.recipients, one.subject, one.sent, one.received, one.flags, one.size),
                *(one.content, one.cut),
            )
            for one in messages
        ],
    )


async def known(connection: str, folder: Folder) -> dict[int, tuple[str, bool]]:
    """Return the messages that are in a folder, by UID: their flags, and whether they are cut."""
    rows = await storage.fetch(
        "SELECT uid, flags, cut FROM sync_message WHERE connection = $1 AND folder = $2 "
        "AND uidvalidity = $3 AND gone IS NULL",
        connection,
        folder.name,
        folder.uidvalidity,
    )
    return {int(row["uid"]): (row["flags"], bool(row["cut"])) for row in rows}


async def set_flags(tx: Transaction, connection: str, folder: Folder, found: dict[int, str]) -> None:
    """Store other flags, by UID."""
    await tx.execute_many(
        "UPDATE sync_message SET flags = $5 WHERE connection = $1 AND folder = $2 AND uidvalidity = $3 "
        "AND uid = $4",
        [(connection, folder.name, folder.uidvalidity, uid, text) for uid, text in found.items()],
    )


async def mark_gone(tx: Transaction, connection: str, folder: Folder, uids: Sequence[int]) -> None:
    """Note that messages are in their folder no more."""
    await tx.execute_many(
        f"UPDATE sync_message SET gone = {tx.sql.now} WHERE connection = $1 AND folder = $2 "
        "AND uidvalidity = $3 AND uid = $4",
        [(connection, folder.name, folder.uidvalidity, uid) for uid in uids],
    )


async def drop_folder(tx: Transaction, connection: str, name: str) -> int:
    """Note that a folder is gone, or has new UIDs: its messages are, too. Return how many there were."""
    await tx.execute(
        f"UPDATE sync_folder SET gone = {tx.sql.now} WHERE connection = $1 AND name = $2", connection, name
    )
    return await tx.execute(
        f"UPDATE sync_message SET gone = {tx.sql.now} WHERE connection = $1 AND folder = $2 AND gone IS NULL",
        connection,
        name,
    )


async def aside(tx: Transaction, connection: str, stream: str) -> set[str]:
    """Return the names of what is set aside of a folder."""
    rows = await tx.fetch(
        "SELECT what FROM sync_set_aside WHERE connection = $1 AND stream = $2", connection, stream
    )
    return {row["what"] for row in rows}


def flags_text(found: Any) -> str:
    """Return flags as they are stored: a JSON list in order, without what is true of this session only."""
    words = found if isinstance(found, list) else []
    kept = {str(one) for one in words if isinstance(one, str) and one.lower() != "\\recent"}
    return json.dumps(sorted(kept))
