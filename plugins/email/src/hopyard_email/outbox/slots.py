"""Limits that all workers share: a letter has a slot of its domain and of its account while it is sent,
and for the length of the limit's window after the server's answer.

So whatever moment one looks at, no more letters arrived in the window before it than the limit says, however
long each was on its way. A slot of a dead sender is freed a window after it was given up.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, NamedTuple

from hopyard import storage
from hopyard.storage import Transaction, moment

if TYPE_CHECKING:
    from hopyard_email.limits import Limit
    from hopyard_email.settings import EmailSettings


class Wanted(NamedTuple):
    """A letter that is due."""

    id: str
    account: str
    domain: str


async def take(
    tx: Transaction, sender: str, wanted: Sequence[Wanted], settings: EmailSettings
) -> tuple[list[str], Mapping[str, datetime]]:
    """Give slots to letters, in order, as far as the limits allow.

    Returns the letters that may be sent, and until when each limit is reached that is.
    """
    names = {one.id: _limits(one, settings) for one in wanted}
    limits = {name: limit for found in names.values() for name, limit in found.items()}
    free = await _free(tx, limits)
    chosen, slots = [], []
    for one in wanted:
        mine = names[one.id]
        if all(free[name] > 0 for name in mine):
            free.subtract(mine.keys())
            chosen.append(one.id)
            slots += [(storage.new_id(), one.id, name, limit.seconds, sender) for name, limit in mine.items()]
    await tx.execute_many(
        "INSERT INTO email_slot (id, letter_id, name, seconds, sender_id, expires) "
        "VALUES ($1, $2, $3, $4, $5, NULL)",
        slots,
    )
    return chosen, await _until(tx, [name for name in limits if free[name] <= 0])


def _limits(one: Wanted, settings: EmailSettings) -> dict[str, Limit]:
    """Return the limits that a letter is under, by name."""
    account = settings.accounts[one.account].limit
    domain = settings.limit_for(one.domain)
    found = {f"account:{one.account}": account, f"domain:{one.domain}": domain}
    return {name: limit.paced for name, limit in found.items() if limit is not None}


async def _free(tx: Transaction, limits: Mapping[str, Limit]) -> Counter[str]:
    """Return how many slots each limit has; nobody else takes any until the transaction ends."""
    free = Counter({name: limit.count for name, limit in limits.items()})
    if not limits:
        return free
    # The same order in each transaction, so that two never wait for each other.
    await tx.execute_many(
        "INSERT INTO email_limit (name) VALUES ($1) ON CONFLICT DO NOTHING",
        [(name,) for name in sorted(limits)],
    )
    names = storage.listed(sorted(limits))
    among = tx.sql.texts("$1")
    await tx.fetch(
        f"SELECT name FROM email_limit WHERE name {among} ORDER BY name {tx.sql.for_update}", names
    )
    await tx.execute(f"DELETE FROM email_slot WHERE name {among} AND expires < {tx.sql.now}", names)
    rows = await tx.fetch(
        f"SELECT name, count(*) AS used FROM email_slot WHERE name {among} GROUP BY name", names
    )
    free.subtract({row["name"]: row["used"] for row in rows})
    return free


async def _until(tx: Transaction, names: Sequence[str]) -> Mapping[str, datetime]:
    """Return when each of these limits is worth another look."""
    if not names:
        return {}
    rows = await tx.fetch(
        f"SELECT name, min(expires) AS expires FROM email_slot WHERE name {tx.sql.texts('$1')} GROUP BY name",
        storage.listed(names),
    )
    soon = storage.utcnow() + timedelta(seconds=1)
    return {row["name"]: max(moment(row["expires"]) or soon, soon) for row in rows}


async def answered(tx: Transaction, letters: Iterable[str]) -> None:
    """Have the slots of letters end a window after now: the server has answered."""
    await tx.execute(
        f"UPDATE email_slot SET expires = {tx.sql.plus(tx.sql.now, 'seconds')} "
        f"WHERE letter_id {tx.sql.ids('$1')} AND expires IS NULL",
        storage.listed(letters),
    )


async def free(tx: Transaction, senders: Sequence[str]) -> None:
    """Have the slots of senders that are gone end a window after now."""
    await tx.execute(
        f"UPDATE email_slot SET expires = {tx.sql.plus(tx.sql.now, 'seconds')} "
        f"WHERE sender_id {tx.sql.ids('$1')} AND expires IS NULL",
        storage.listed(senders),
    )
