"""What was read of a folder: up to which UID, under which UIDVALIDITY; and the mails with their labels."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from hopyard import storage
from hopyard.storage import moment

from hopyard_email.texts import cleaned

_SHOWN: Final = (
    *(
        "mailbox",
        "folder",
        "uid",
        "message_id",
        "sender",
        "subject",
        "kind",
        "labels",
        "chosen_by",
        "problem",
    ),
    *("size", "created"),
)


@dataclass(frozen=True, slots=True)
class Read:
    """A mail that was read, and what is to be done with it yet."""

    uid: int
    digest: str
    message_id: str
    sender: str
    subject: str
    kind: str
    labels: Sequence[str]
    chosen_by: str
    """`rules`, the classifier's name, or empty."""
    problem: str | None
    flag: str | None
    move: str | None
    size: int


async def position(mailbox: str, folder: str) -> tuple[int, int] | None:
    """Return UIDVALIDITY and the last UID that was read; None before the first time."""
    rows = await storage.fetch(
        "SELECT validity, last_uid FROM email_folder WHERE mailbox = $1 AND folder = $2", mailbox, folder
    )
    return (rows[0]["validity"], rows[0]["last_uid"]) if rows else None


async def advance(mailbox: str, folder: str, validity: int, last: int, reads: Sequence[Read] = ()) -> None:
    """Store what was read together with how far that is."""
    rows = [
        (
            storage.new_id(),
            *(mailbox, folder, validity, one.uid, one.digest, cleaned(one.message_id, 400)),
            *(cleaned(one.sender), cleaned(one.subject), one.kind, json.dumps(list(one.labels))),
            *(one.chosen_by, cleaned(one.problem, 2000) if one.problem else None),
            json.dumps({"flag": one.flag, "move": one.move}) if one.flag or one.move else None,
            not (one.flag or one.move),
            one.size,
        )
        for one in reads
    ]
    async with storage.transaction() as tx:
        now = tx.sql.now
        await tx.execute_many(
            "INSERT INTO email_incoming (id, mailbox, folder, validity, uid, digest, message_id, sender, "
            "subject, kind, labels, chosen_by, problem, action, acted, size, created) VALUES "
            f"($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, {now}) "
            "ON CONFLICT DO NOTHING",
            rows,
        )
        await tx.execute(
            "INSERT INTO email_folder (mailbox, folder, validity, last_uid, updated) "
            f"VALUES ($1, $2, $3, $4, {now}) ON CONFLICT (mailbox, folder) DO UPDATE SET "
            "validity = excluded.validity, last_uid = excluded.last_uid, updated = excluded.updated",
            *(mailbox, folder, validity, last),
        )


async def found_again(mailbox: str, folder: str, validity: int, uid: int, digest: str) -> bool:
    """Give a mail that was read under another UIDVALIDITY its new UID; it keeps its labels. False: it is new.

    This is where a server gave all its mails new UIDs.
    """
    return bool(
        await storage.execute(
            "UPDATE email_incoming SET validity = $3, uid = $4 WHERE id = (SELECT id FROM email_incoming "
            "WHERE mailbox = $1 AND folder = $2 AND digest = $5 AND validity <> $3 ORDER BY id LIMIT 1)",
            *(mailbox, folder, validity, uid, digest),
        )
    )


async def to_do(mailbox: str, folder: str, validity: int) -> list[tuple[str, int, str | None, str | None]]:
    """Return what is to be done yet: id, UID, flag and folder."""
    rows = await storage.fetch(
        "SELECT id, uid, action FROM email_incoming WHERE mailbox = $1 AND folder = $2 AND validity = $3 "
        "AND NOT acted ORDER BY uid LIMIT 1000",
        *(mailbox, folder, validity),
    )
    found = []
    for row in rows:
        action = json.loads(row["action"])
        found.append((str(row["id"]), row["uid"], action["flag"], action["move"]))
    return found


async def done(id_: str, problem: str | None = None) -> None:
    """Note that what was to be done with a mail is done, or cannot be."""
    await storage.execute(
        "UPDATE email_incoming SET acted = true, problem = COALESCE($2, problem) WHERE id = $1",
        id_,
        problem,
    )


async def listed(
    *, mailbox: str | None = None, label: str | None = None, limit: int = 50
) -> list[dict[str, Any]]:
    """Return mails that came in, the latest first."""
    conditions, values = ["1 = 1"], []
    if mailbox is not None:
        values.append(mailbox)
        conditions.append(f"mailbox = ${len(values)}")
    if label is not None:
        values.append(json.dumps(label))
        conditions.append(storage.sql().contains("labels", f"${len(values)}"))
    rows = await storage.fetch(
        f"SELECT {', '.join(_SHOWN)} FROM email_incoming WHERE {' AND '.join(conditions)} "
        f"ORDER BY created DESC, uid DESC LIMIT {int(limit)}",
        *values,
    )
    found = []
    for row in rows:
        values_of = {name: row[name] for name in _SHOWN}
        found.append(values_of | {"labels": json.loads(row["labels"]), "created": moment(row["created"])})
    return found
