"""Leadership by lease and term: of several processes one does a duty, and a deposed one cannot write."""

from __future__ import annotations

import logging
from typing import Final

from hopyard.ledger.database import Connection, Database
from hopyard.ledger.dialect import Dialect
from hopyard.ledger.leases import over

log = logging.getLogger("hopyard.ledger")

#: In the place of a holder: the one before has resigned.
_NOBODY: Final = ""
#: How much a clock may be set back without anybody noticing.
_SLACK: Final = 1.0
_OVER: Final = f"leader.lease + {_SLACK}"


async def lead(database: Database, duty: str, holder: str, seconds: float) -> int | None:
    """Take or renew the lease of `duty` for `seconds`. Return the term, None if another process leads.

    Ends the sessions of frozen processes before: one of them may hold what the leader needs, or the lease.
    """
    if evicted := await database.evict():
        log.warning("%d sessions of processes that are frozen inside a transaction were ended", evicted)
    d = database.dialect
    until = d.plus(d.clock, "$3")
    rows = await database.fetch(
        f"INSERT INTO leader (name, holder, term, until, lease) VALUES ($1, $2, 1, {until}, $3) "
        f"ON CONFLICT (name) DO UPDATE SET holder = $2, until = {until}, lease = $3, "
        f"term = CASE WHEN leader.holder = $2 THEN leader.term ELSE leader.term + 1 END "
        f"WHERE leader.holder IN ($2, '{_NOBODY}') OR {over(d, 'leader.until', _OVER)} RETURNING term",
        duty,
        holder,
        seconds,
    )
    return int(rows[0]["term"]) if rows else None


async def leads(tx: Connection, d: Dialect, duty: str, holder: str, term: int) -> bool:
    """Say whether `holder` still leads in `term`; holds the row until the transaction ends."""
    rows = await tx.fetch(
        f"SELECT 1 AS yes FROM leader WHERE name = $1 AND holder = $2 AND term = $3 "
        f"AND NOT {over(d, 'leader.until', _OVER)} {d.for_update}",
        duty,
        holder,
        term,
    )
    return bool(rows)


async def holder(database: Database, duty: str) -> str | None:
    """Return which process leads a duty; None if none does."""
    d = database.dialect
    rows = await database.fetch(
        f"SELECT holder FROM leader WHERE name = $1 AND holder <> '{_NOBODY}' "
        f"AND NOT {over(d, 'leader.until', _OVER)}",
        duty,
    )
    return str(rows[0]["holder"]) if rows else None


async def resign(database: Database, duty: str, holder: str) -> None:
    """Give the lease up, so that another process need not wait for its end."""
    await database.execute(
        f"UPDATE leader SET until = {database.dialect.clock}, holder = '{_NOBODY}' "
        "WHERE name = $1 AND holder = $2",
        duty,
        holder,
    )
