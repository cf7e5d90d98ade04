"""Who sends what: letters are taken by one sender each, and by another only once that one is given up.

A letter goes `queued` → `claimed` → `sending` → `sent`, `failed` or back. `sending` is committed before the
server is handed the content, in the statement that checks that the letter is still this sender's. What a
dead sender had only claimed is queued again. What it was sending may have gone out: it is `unknown`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from hopyard import storage
from hopyard.storage import Transaction, moment

from hopyard_email.outbox import slots
from hopyard_email.outbox.letters import note

if TYPE_CHECKING:
    from datetime import datetime

    from hopyard_email.settings import EmailSettings


class Claimed(NamedTuple):
    """A letter that this sender may send."""

    id: str
    content_id: str
    message_id: str
    account: str
    sender: str
    recipient: str
    recipient_key: str
    attempts: int
    unsubscribe: str | None


class Taken(NamedTuple):
    """What a sender got: its letters, and the domains and accounts whose limit is reached, until when."""

    letters: list[Claimed]
    full: Mapping[str, datetime]


_COLUMNS: Final = ", ".join(Claimed._fields)


async def register(sender: str, job: str) -> None:
    """Note a new sender, and that it lives."""
    words = storage.sql()
    await storage.execute(
        f"INSERT INTO email_sender (id, job, beat) VALUES ($1, $2, {words.clock})", sender, job
    )


async def beat(sender: str) -> bool:
    """Note that a sender lives. False: it was given up, and has nothing any more."""
    words = storage.sql()
    return bool(await storage.execute(f"UPDATE email_sender SET beat = {words.clock} WHERE id = $1", sender))


async def sign_off(sender: str) -> None:
    """Give back what a sender has not begun, and forget it."""
    async with storage.transaction() as tx:
        await _give_back(tx, [sender])
        await tx.execute("DELETE FROM email_sender WHERE id = $1", sender)


async def take_back(lease: float) -> tuple[int, int]:
    """Give up senders without a sign for `lease` seconds; return how many letters are queued and unknown."""
    async with storage.transaction() as tx:
        clock = tx.sql.clock
        # A beat that lies ahead is of before the machine was started anew.
        rows = await tx.fetch(
            f"SELECT id FROM email_sender WHERE beat < {tx.sql.minus(clock, '$1')} "
            f"OR beat > {tx.sql.plus(clock, '$1')} {tx.sql.for_update}",
            float(lease),
        )
        dead = [str(row["id"]) for row in rows]
        if not dead:
            return 0, 0
        queued = await _give_back(tx, dead)
        await tx.execute(f"DELETE FROM email_sender WHERE id {tx.sql.ids('$1')}", storage.listed(dead))
    return queued


async def _give_back(tx: Transaction, senders: Sequence[str]) -> tuple[int, int]:
    theirs = f"sender_id {tx.sql.ids('$1')}"
    now = tx.sql.now
    queued = await tx.execute(
        f"UPDATE email_letter SET state = 'queued', sender_id = NULL, updated = {now} "
        f"WHERE {theirs} AND state = 'claimed'",
        storage.listed(senders),
    )
    # They keep their sender: should it live after all, what it reports is better than any guess.
    unknown = await tx.fetch(
        f"UPDATE email_letter SET state = 'unknown', look_at = {now}, updated = {now} "
        f"WHERE {theirs} AND state = 'sending' RETURNING id",
        storage.listed(senders),
    )
    detail = "the sender ended between handing it over and the server's answer"
    await note(tx, [(str(row["id"]), "unknown", detail) for row in unknown])
    await slots.free(tx, senders)
    return queued, len(unknown)


async def claim(
    sender: str, settings: EmailSettings, *, accounts: Sequence[str], full: Sequence[str], most: int
) -> Taken:
    """Take letters that are due, as far as limits allow: oldest first, of these accounts.

    Domains and accounts whose limit is known to be reached, `full`, are left alone: they are named as
    `domain:example.org` and `account:main`.
    """
    domains = [name.removeprefix("domain:") for name in full if name.startswith("domain:")]
    usable = [name for name in accounts if f"account:{name}" not in full]
    if not usable:
        return Taken([], {})
    async with storage.transaction() as tx:
        skip = f"{tx.sql.for_update} SKIP LOCKED" if tx.sql.for_update else ""
        rows = await tx.fetch(
            f"SELECT id, account, domain FROM email_letter WHERE state = 'queued' AND due <= {tx.sql.now} "
            f"AND expires > {tx.sql.now} "
            f"AND account {tx.sql.texts('$1')} AND NOT (domain {tx.sql.texts('$2')}) "
            f"ORDER BY due, id LIMIT {int(most)} {skip}",
            storage.listed(usable),
            storage.listed(domains),
        )
        gone = await _suppress(tx, [str(row["id"]) for row in rows])
        found = [slots.Wanted(str(row["id"]), row["account"], row["domain"]) for row in rows]
        wanted = [one for one in found if one.id not in gone]
        chosen, reached = await slots.take(tx, sender, wanted, settings)
        # The state is asked once more: before the rows were locked another sender may have had them.
        mine = await tx.fetch(
            f"UPDATE email_letter SET state = 'claimed', sender_id = $2, updated = {tx.sql.now} "
            f"WHERE id {tx.sql.ids('$1')} AND state = 'queued' RETURNING {_COLUMNS}, due",
            storage.listed(chosen),
            sender,
        )
    ordered = sorted(mine, key=lambda row: (row["due"], str(row["id"])))
    return Taken([_claimed(row) for row in ordered], reached)


async def _suppress(tx: Transaction, letters: Sequence[str]) -> set[str]:
    """Take out letters whose address came to get no mail while they waited; return which."""
    rows = await tx.fetch(
        f"UPDATE email_letter SET state = 'suppressed', updated = {tx.sql.now} "
        f"WHERE id {tx.sql.ids('$1')} AND state = 'queued' "
        "AND recipient_key IN (SELECT address FROM email_suppressed) RETURNING id",
        storage.listed(letters),
    )
    gone = [str(row["id"]) for row in rows]
    await note(tx, [(id_, "suppressed", "its address gets no mail") for id_ in gone])
    return {*gone}


def _claimed(row: Mapping[str, Any]) -> Claimed:
    values = [row[name] for name in Claimed._fields]
    return Claimed(str(values[0]), str(values[1]), *values[2:])


async def begin(sender: str, letter: str) -> bool:
    """Commit that a letter is being sent. False: it is not this sender's any more, or is suppressed."""
    words = storage.sql()
    return bool(
        await storage.execute(
            f"UPDATE email_letter SET state = 'sending', began = {words.now}, attempts = attempts + 1, "
            f"updated = {words.now} WHERE id = $1 AND sender_id = $2 AND state = 'claimed' "
            f"AND expires > {words.now} AND NOT EXISTS "
            "(SELECT 1 FROM email_suppressed s WHERE s.address = recipient_key)",
            letter,
            sender,
        )
    )


async def next_death(sender: str, lease: float) -> datetime | None:
    """Return when another sender that holds letters counts as dead, should it give no sign until then."""
    words = storage.sql()
    rows = await storage.fetch(
        f"SELECT min(beat) AS beat, {words.clock} AS clock FROM email_sender s WHERE s.id <> $1 AND EXISTS "
        "(SELECT 1 FROM email_letter l WHERE l.sender_id = s.id AND l.state IN ('claimed', 'sending'))",
        sender,
    )
    beat, clock = moment(rows[0]["beat"]), moment(rows[0]["clock"])
    if beat is None or clock is None:
        return None
    return storage.utcnow() + timedelta(seconds=lease + 1) - (clock - beat)


async def next_due(accounts: Sequence[str]) -> datetime | None:
    """Return when the next letter is due; None where none waits."""
    words = storage.sql()
    rows = await storage.fetch(
        f"SELECT min(due) AS due FROM email_letter WHERE state = 'queued' AND account {words.texts('$1')}",
        storage.listed(accounts),
    )
    return moment(rows[0]["due"])
