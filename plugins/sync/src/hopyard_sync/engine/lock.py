"""One job at a time for each connection: a lease in the connection's row.

A job that runs again after its worker died takes its own lease over at once; whoever lost a lease has all
further writes refused, since each transaction of a run renews it first.
"""

from __future__ import annotations

from typing import Final

from hopyard import storage
from hopyard.storage import Transaction

from hopyard_sync.errors import LockLost

#: Seconds for which nobody else may begin, counted from the last write of a run.
LEASE: Final = 300


async def take(name: str, holder: str, job: str, *, dry_run: bool = False) -> bool:
    """Have the connection for `holder`, a run of `job`; False while another job has it.

    A lease that ends later than any can is from before a clock was set back. A dry run is no run that began.
    """
    async with storage.transaction() as tx:
        await tx.execute(
            "INSERT INTO sync_connection (name, state) VALUES ($1, 'never') ON CONFLICT (name) DO NOTHING",
            name,
        )
        now, until = tx.sql.now, tx.sql.plus(tx.sql.now, str(LEASE))
        never = tx.sql.plus(tx.sql.now, str(2 * LEASE))
        began = "" if dry_run else f", started = {now}"
        taken = await tx.execute(
            f"UPDATE sync_connection SET holder = $2, job = $3, held_until = {until}{began} WHERE name = $1 "
            f"AND (holder IS NULL OR job = $3 OR held_until < {now} OR held_until > {never})",
            name,
            holder,
            job,
        )
    return bool(taken)


async def renew(tx: Transaction, name: str, holder: str) -> None:
    """Prolong the lease, and lock its row until the transaction ends. Raises `LockLost`."""
    kept = await tx.execute(
        f"UPDATE sync_connection SET held_until = {tx.sql.plus(tx.sql.now, str(LEASE))} "
        "WHERE name = $1 AND holder = $2",
        name,
        holder,
    )
    if not kept:
        raise LockLost(f"{name}: another job has taken this connection over")
