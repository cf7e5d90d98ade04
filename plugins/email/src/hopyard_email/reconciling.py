"""Letters of which nobody knows whether they were sent: they are looked for where copies are kept."""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final, NamedTuple

from hopyard import storage
from hopyard.errors import EgressRefused, TaskError
from hopyard.people import alert
from hopyard.storage import moment

from hopyard_email.outbox.letters import note
from hopyard_email.smtp.wire import LETTER_HEADER

if TYPE_CHECKING:
    from hopyard_email.settings import EmailSettings, Proof

log = logging.getLogger(__name__)

_MOST: Final = 200
#: Where a look proves nothing by finding nothing: pauses between looks, and for how long there are any.
_AGAIN: Final = 60.0
_LOOK_FOR: Final = timedelta(hours=1)


class _Unknown(NamedTuple):
    id: str
    message_id: str
    account: str
    recipient: str
    attempts: int
    began: datetime
    alone: bool
    """Whether its mail has no other letter, so that its Message-ID names it."""


def _unknown(row: storage.Row) -> _Unknown:
    return _Unknown(
        id=str(row["id"]),
        message_id=row["message_id"],
        account=row["account"],
        recipient=row["recipient"],
        attempts=row["attempts"],
        began=moment(row["began"]) or storage.utcnow(),
        alone=row["letters"] == 1,
    )


async def look(settings: EmailSettings) -> tuple[int, int]:
    """Look for letters whose sending is unknown; return how many are known now, and how many stay unknown.

    What is found was sent. What is not found is sent again only where the account's proof says from when on
    a copy is there for certain. Whatever stays unknown is told, once.
    """
    words = storage.sql()
    rows = await storage.fetch(
        f"SELECT id, message_id, account, recipient, attempts, began, {words.now} AS now, "
        "(SELECT count(*) FROM email_letter o WHERE o.content_id = l.content_id) AS letters "
        f"FROM email_letter l WHERE state = 'unknown' AND look_at <= {words.now} "
        f"ORDER BY look_at LIMIT {_MOST}"
    )
    by_account: dict[str, list[_Unknown]] = defaultdict(list)
    for row in rows:
        by_account[row["account"]].append(_unknown(row))
    known, lost = 0, []
    for name, theirs in by_account.items():
        account = settings.accounts.get(name)
        if account is None or account.proof is None:
            lost += theirs
            continue
        asked_at = moment(rows[0]["now"]) or storage.utcnow()
        resolved, given_up = await _look(theirs, account.proof, asked_at)
        known += resolved
        lost += given_up
    await _tell(lost)
    return known, len(lost)


async def _look(letters: Sequence[_Unknown], proof: Proof, asked_at: datetime) -> tuple[int, list[_Unknown]]:
    """Look for one account's letters. `asked_at` is before the look: what it misses may have come later."""
    try:
        found = await _found(letters, proof)
    except (TaskError, EgressRefused) as error:
        log.warning("letters of account %s cannot be looked for: %s", letters[0].account, error)
        await _again([(one, asked_at + timedelta(seconds=_AGAIN)) for one in letters])
        return 0, []
    known, later, lost = 0, [], []
    wait = None if proof.conclusive_after is None else timedelta(seconds=proof.conclusive_after)
    for one in letters:
        if one.id in found:
            known += await _settle(one, "sent", f"a copy is in {proof.folder} of {proof.user or proof.host}")
        elif wait is not None and one.began + wait < asked_at:
            known += await _settle(one, "queued", f"no copy is in {proof.folder}: it was not sent")
        elif wait is not None:
            later.append((one, one.began + wait + timedelta(seconds=0.1)))
        elif one.began + _LOOK_FOR > asked_at:
            later.append((one, asked_at + timedelta(seconds=_AGAIN)))
        else:
            lost.append(one)
    await _again(later)
    return known, lost


async def _found(letters: Sequence[_Unknown], proof: Proof) -> set[str]:
    """Return the ids of those letters of which there is a copy."""
    from hopyard_email import imap

    found = set()
    async with imap.opened(proof) as session:
        await asyncio.to_thread(session.select, proof.folder, readonly=True)
        seen: dict[str, set[str]] = {}
        for one in letters:
            if one.message_id not in seen:
                there = await asyncio.to_thread(session.letters_with, one.message_id, LETTER_HEADER)
                seen[one.message_id] = {*there}
            marks = seen[one.message_id]
            # A place that drops our header proves it only of a mail with one recipient.
            if one.id in marks or (one.alone and "" in marks):
                found.add(one.id)
    return found


async def _settle(one: _Unknown, state: str, why: str) -> int:
    async with storage.transaction() as tx:
        now = tx.sql.now
        due = f", due = {now}" if state == "queued" else ""
        changed = await tx.execute(
            f"UPDATE email_letter SET state = $3, sender_id = NULL, look_at = NULL, updated = {now}{due} "
            "WHERE id = $1 AND attempts = $2 AND state = 'unknown'",
            *(one.id, one.attempts, state),
        )
        if changed:
            await note(tx, [(one.id, state, why)])
    return int(bool(changed))


async def _again(letters: Sequence[tuple[_Unknown, datetime]]) -> None:
    async with storage.transaction() as tx:
        await tx.execute_many(
            "UPDATE email_letter SET look_at = $2 WHERE id = $1 AND state = 'unknown'",
            [(one.id, at) for one, at in letters],
        )


async def _tell(letters: Sequence[_Unknown]) -> None:
    """Say of letters that only a person can find out; they are not looked for any more."""
    if not letters:
        return
    ids = [one.id for one in letters]
    words = storage.sql()
    await storage.execute(
        f"UPDATE email_letter SET look_at = NULL WHERE id {words.ids('$1')} AND state = 'unknown'",
        storage.listed(ids),
    )
    shown = "\n".join(f"{one.id} to {one.recipient}" for one in letters[:50])
    await alert(
        f"{len(letters)} mails may or may not have been sent",
        "A sender ended between handing them to the server and its answer, and no copy proves that they "
        "were sent. They are not sent again by themselves. Find out, and say so with "
        f"`hopyard email resolve ID --sent` or `--again`:\n{shown}",
        data={"letters": ids[:50]},
        id=f"email unknown {min(ids)} {len(ids)}",
    )


async def next_look() -> datetime | None:
    """Return when the next look is due; None where nothing is looked for."""
    rows = await storage.fetch("SELECT min(look_at) AS at FROM email_letter WHERE state = 'unknown'")
    return moment(rows[0]["at"])
