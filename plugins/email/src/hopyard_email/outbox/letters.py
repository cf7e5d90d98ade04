"""Letters: put into the outbox, listed, shown with their timelines, cancelled."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import re
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final
from uuid import uuid4

from hopyard import storage
from hopyard.errors import InvalidInput
from hopyard.storage import Row, Transaction, moment

from hopyard_email import accounts
from hopyard_email.addresses import parse_address
from hopyard_email.composing import Composed, compose
from hopyard_email.models import Happened, Letter, Mail, Queued, State
from hopyard_email.texts import cleaned

if TYPE_CHECKING:
    from hopyard_email.settings import EmailSettings

COLUMNS: Final = (
    "id, content_id, message_id, state, account, sender, recipient, domain, subject, due, attempts, reply, "
    "status, person, created, updated"
)
_ID: Final = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_INSERT: Final = (
    "INSERT INTO email_letter (id, content_id, message_id, state, account, sender, recipient, recipient_key, "
    "domain, subject, due, expires, person, unsubscribe, created, updated) "
    "VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $15)"
)


async def enqueue(
    mail: Mail,
    settings: EmailSettings,
    *,
    id_: str,
    due: datetime | None = None,
    not_after: datetime | None = None,
    tx: Transaction | None = None,
) -> Queued:
    """Put a mail into the outbox, one letter for each recipient; the same `id_` does so once.

    Raises `InvalidInput` for what is wrong with the mail, and where another mail has the same id.
    """
    account, sender = accounts.choose(settings, mail.account, mail.sender)
    now = storage.utcnow()
    due = due or now
    # Whoever may report about a mail must quote its ids, so nobody can work them out: not even from the key.
    message_id = f"<{uuid4()}@{sender.domain}>"
    composed = await asyncio.to_thread(
        compose, mail, sender, message_id=message_id, date=max(due, now), settings=settings
    )
    digest = hashlib.sha256(mail.model_dump_json().encode()).hexdigest()
    expires = not_after or max(due, now) + timedelta(days=settings.give_up_after)
    letters = _letters(composed, mail, settings)
    result = Queued(
        id=id_,
        letters=[id_ for id_, _, _ in letters],
        recipients=[one.plain for one in composed.recipients],
        subject=composed.subject,
        due=due,
        new=True,
    )
    common = (id_, account, message_id, due, expires, now)
    async with contextlib.nullcontext(tx) if tx is not None else storage.transaction() as work:
        if await _add_content(work, id_, digest, composed.raw, now):
            await _add_letters(work, letters, composed, mail, common)
            return result
        rows = await work.fetch(
            "SELECT id, recipient, due, subject FROM email_letter WHERE content_id = $1 ORDER BY id", id_
        )
    return _stored(result, rows)


def _stored(asked: Queued, rows: Sequence[Row]) -> Queued:
    """Return what is in the outbox already, with its own moment, in the order that was asked for."""
    place = {recipient: n for n, recipient in enumerate(asked.recipients)}
    rows = sorted(rows, key=lambda row: place.get(row["recipient"], len(place)))
    kept = moment(rows[0]["due"]) if rows else None
    return Queued(
        id=asked.id,
        letters=[str(row["id"]) for row in rows],
        recipients=[row["recipient"] for row in rows],
        subject=asked.subject,
        due=kept or asked.due,
        new=False,
        asked_for=asked.due,
    )


def _letters(composed: Composed, mail: Mail, settings: EmailSettings) -> list[tuple[str, str, str | None]]:
    """Return id, recipient's key and unsubscribe address of each letter."""
    from urllib.parse import quote

    found = []
    for one in composed.recipients:
        letter = str(uuid4())
        url = None
        if mail.bulk and settings.unsubscribe:
            url = settings.unsubscribe.replace("{id}", letter).replace("{address}", quote(one.plain, safe=""))
        found.append((letter, one.key, url))
    return found


async def _add_content(tx: Transaction, id_: str, digest: str, raw: bytes, now: datetime) -> bool:
    """Store the content. False: it was there. Raises `InvalidInput` if that was another mail."""
    if await tx.execute(
        "INSERT INTO email_content (id, digest, raw, created) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING",
        *(id_, digest, raw, now),
    ):
        return True
    rows = await tx.fetch("SELECT digest FROM email_content WHERE id = $1", id_)
    if rows and rows[0]["digest"] != digest:
        raise InvalidInput(
            "key: another mail was sent with the same key; expected a new key, or the same mail"
        )
    return False


async def _add_letters(
    tx: Transaction,
    letters: Sequence[tuple[str, str, str | None]],
    composed: Composed,
    mail: Mail,
    common: tuple[str, str, str, datetime, datetime, datetime],
) -> None:
    mail_id, account, message_id, due, expires, now = common
    keys = storage.listed(key for _, key, _ in letters)
    rows = await tx.fetch(
        f"SELECT address, reason FROM email_suppressed WHERE address {tx.sql.texts('$1')}", keys
    )
    reasons = {row["address"]: row["reason"] for row in rows}
    values, events = [], []
    for (id_, key, url), recipient in zip(letters, composed.recipients, strict=True):
        state: State = "suppressed" if key in reasons else "queued"
        values.append(
            (
                *(id_, mail_id, message_id, state, account, composed.sender.plain, recipient.plain, key),
                *(recipient.domain, composed.subject, due, expires, mail.person, url, now),
            )
        )
        detail = f"its address gets no mail: {reasons[key]}" if key in reasons else f"by account {account}"
        events.append((id_, state, detail))
    await tx.execute_many(_INSERT, values)
    await note(tx, events)


async def note(tx: Transaction, events: Iterable[tuple[str, str, str]]) -> None:
    """Add lines to timelines: the letter's id, what happened, and details."""
    await tx.execute_many(
        f"INSERT INTO email_event (id, letter_id, at, what, detail) VALUES ($1, $2, {tx.sql.now}, $3, $4)",
        [
            (storage.new_id(), letter, cleaned(what, 60), cleaned(detail, 2000))
            for letter, what, detail in events
        ],
    )


def letter_of(row: Row) -> Letter:
    """Return the letter of a row with `COLUMNS`."""
    values = {name: row[name] for name in Letter.model_fields if name not in ("id", "mail")}
    times = {name: moment(row[name]) for name in ("due", "created", "updated")}
    return Letter(**{**values, **times}, id=str(row["id"]), mail=str(row["content_id"]))


def _key(recipient: str) -> str:
    return parse_address(recipient, "to").key


async def listed(
    *, state: str | None = None, recipient: str | None = None, person: str | None = None, limit: int = 50
) -> list[Letter]:
    """Return letters, the latest change first."""
    conditions, values = [], []
    key = _key(recipient) if recipient else None
    for name, value in (("state", state), ("recipient_key", key), ("person", person)):
        if value is not None:
            values.append(value)
            conditions.append(f"{name} = ${len(values)}")
    where = f"WHERE {' AND '.join(conditions)} " if conditions else ""
    rows = await storage.fetch(
        f"SELECT {COLUMNS} FROM email_letter {where}ORDER BY updated DESC, id DESC LIMIT {int(limit)}",
        *values,
    )
    return [letter_of(row) for row in rows]


async def find(part: str) -> Letter:
    """Return the letter of an id, or of the unmistakable beginning or end of one. Raises `InvalidInput`."""
    wanted = part.strip().lower()
    rows: Sequence[Row] = ()
    if _ID.fullmatch(wanted):
        rows = await storage.fetch(f"SELECT {COLUMNS} FROM email_letter WHERE id = $1", wanted)
    elif re.fullmatch(r"[0-9a-f-]{4,36}", wanted):
        text = "CAST(id AS text)"
        rows = await storage.fetch(
            f"SELECT {COLUMNS} FROM email_letter "
            f"WHERE {text} LIKE $1 || '%' OR {text} LIKE '%' || $1 LIMIT 2",
            wanted,
        )
    if len(rows) != 1:
        many = "more than one letter" if rows else "no letter"
        raise InvalidInput(f"there is {many} {part}: `hopyard email list` shows them")
    return letter_of(rows[0])


async def timeline(id_: str) -> list[Happened]:
    """Return what happened to a letter, oldest first."""
    rows = await storage.fetch(
        "SELECT at, what, detail FROM email_event WHERE letter_id = $1 ORDER BY at, id", id_
    )
    return [Happened(at=moment(row["at"]), what=row["what"], detail=row["detail"]) for row in rows]


async def content(id_: str) -> bytes | None:
    """Return the bytes of a mail; None once they were removed."""
    rows = await storage.fetch("SELECT raw FROM email_content WHERE id = $1", id_)
    return bytes(rows[0]["raw"]) if rows and rows[0]["raw"] is not None else None


async def cancel(id_: str) -> bool:
    """Cancel a letter that waits. False: it waits no more."""
    async with storage.transaction() as tx:
        changed = await tx.execute(
            f"UPDATE email_letter SET state = 'cancelled', updated = {tx.sql.now} "
            "WHERE id = $1 AND state = 'queued'",
            id_,
        )
        if changed:
            await note(tx, [(id_, "cancelled", "")])
    return bool(changed)


async def resolve(id_: str, *, sent: bool, settings: EmailSettings) -> bool:
    """Say of an unknown letter that it was sent, or have it sent again. False: it is not unknown."""
    state = "sent" if sent else "queued"
    expires = storage.utcnow() + timedelta(days=settings.give_up_after)
    async with storage.transaction() as tx:
        now = tx.sql.now
        changed = await tx.execute(
            f"UPDATE email_letter SET state = $2, due = {now}, expires = $3, sender_id = NULL, "
            f"look_at = NULL, updated = {now} WHERE id = $1 AND state = 'unknown'",
            *(id_, state, expires),
        )
        if changed:
            await note(tx, [(id_, state, "said by a person")])
    return bool(changed)
