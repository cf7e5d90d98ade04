"""What became of a letter: written at once, and only by the sender whose letter it is."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

from hopyard import storage
from hopyard.storage import Transaction

from hopyard_email.outbox import slots, suppression
from hopyard_email.outbox.letters import note
from hopyard_email.texts import cleaned

if TYPE_CHECKING:
    from hopyard_email.outbox.claims import Claimed
    from hopyard_email.settings import EmailSettings

LONGEST_PAUSE: Final = 4 * 3600.0
#: Enhanced status codes (RFC 3463 §3.2) of addresses that do not exist: they never will take mail.
NO_SUCH_ADDRESS: Final = frozenset({"5.1.1", "5.1.2", "5.1.3", "5.1.6", "5.1.10"})

Kind = Literal["sent", "deferred", "failed", "unknown", "returned", "broken"]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a server said to a letter, or what else happened to it.

    `returned` counts as no attempt: the letter itself was not looked at by anybody. `broken` is a fault
    that nobody foresaw: the letter is `unknown` if it was begun, else `failed`.
    """

    kind: Kind
    reply: str = ""
    status: str | None = None
    """The enhanced status code, such as 5.1.1."""
    of_recipient: bool = False
    """Whether it is the reply to RCPT TO: no other one says anything about the recipient's address."""

    def __post_init__(self) -> None:
        """Make the reply fit for the database, whatever the server wrote."""
        object.__setattr__(self, "reply", cleaned(self.reply))


async def record(sender: str, letter: Claimed, outcome: Outcome, settings: EmailSettings) -> str:
    """Write down what became of a letter; return its state now, `lost` where it is another's by now."""
    async with storage.transaction() as tx:
        state = await _record(tx, sender, letter, outcome, settings)
        if state != "lost":
            await slots.answered(tx, [letter.id])
            detail = f"{outcome.status or ''} {outcome.reply}".strip()
            await note(tx, [(letter.id, _word(outcome, state), detail)])
            # In the sandbox it was the sandbox's address that was refused.
            judged = outcome.of_recipient and settings.sandbox is None
            if state == "failed" and judged and outcome.status in NO_SUCH_ADDRESS:
                reason = f"bounced: {outcome.reply}"
                await suppression.suppress_in(tx, letter.recipient_key, reason, letter.id)
    return state


def _word(outcome: Outcome, state: str) -> str:
    return outcome.kind if outcome.kind in ("deferred", "returned") and state == "queued" else state


async def _record(
    tx: Transaction, sender: str, letter: Claimed, outcome: Outcome, settings: EmailSettings
) -> str:
    now = tx.sql.now
    values: list[object] = [letter.id, sender, outcome.reply[:1000] or None, outcome.status]
    if outcome.kind == "returned":
        changes = "state = 'queued', sender_id = NULL"
    elif outcome.kind == "deferred":
        # What has waited for too long ends here.
        values.append(pause(letter.attempts, settings.retry_after))
        later = tx.sql.plus(now, "$5")
        changes = (
            f"state = CASE WHEN expires < {later} THEN 'failed' ELSE 'queued' END, due = {later}, "
            "sender_id = NULL"
        )
    elif outcome.kind == "unknown":
        changes = f"state = 'unknown', look_at = {now}"
    elif outcome.kind == "broken":
        begun = "CASE WHEN state = 'claimed' THEN"
        changes = f"state = {begun} 'failed' ELSE 'unknown' END, look_at = {begun} NULL ELSE {now} END"
    else:
        changes = f"state = '{outcome.kind}', sender_id = NULL, look_at = NULL"
    if outcome.kind != "returned":
        # Refused before it was begun, it was an attempt all the same.
        changes += ", attempts = attempts + CASE WHEN state = 'claimed' THEN 1 ELSE 0 END"
    rows = await tx.fetch(
        f"UPDATE email_letter SET {changes}, reply = $3, status = $4, updated = {now} "
        "WHERE id = $1 AND sender_id = $2 AND state IN ('claimed', 'sending', 'unknown') RETURNING state",
        *values,
    )
    return str(rows[0]["state"]) if rows else "lost"


def pause(attempts: int, first: float) -> float:
    """Return the seconds until a letter that was put off is tried again: twice as many each time."""
    seconds = min(first * 2.0 ** min(attempts, 20), LONGEST_PAUSE)
    return float(seconds * random.uniform(0.9, 1.1))  # noqa: S311 - it spreads load, and keeps no secret


async def expire() -> int:
    """End letters that were not sent in their time; return how many."""
    async with storage.transaction() as tx:
        rows = await tx.fetch(
            f"UPDATE email_letter SET state = 'failed', reply = 'its time was over', updated = {tx.sql.now} "
            f"WHERE state = 'queued' AND due <= {tx.sql.now} AND expires < {tx.sql.now} RETURNING id"
        )
        await note(tx, [(str(row["id"]), "failed", "its time was over") for row in rows])
    return len(rows)
