"""One job at a time for each thing that a row stands for: a lease in the row.

A plugin's table has the columns `name` (its key), `state`, `holder`, `job`, `held_until` and `started`. A job
that runs again after its worker died takes its own lease over at once; whoever lost a lease has all further
writes refused, as long as each of its transactions renews it first.
"""

from __future__ import annotations

from dataclasses import dataclass

from hopyard import storage
from hopyard.errors import LeaseLost
from hopyard.storage import Transaction

__all__ = ["RowLease"]


@dataclass(frozen=True, slots=True)
class RowLease:
    """The leases in a table's rows; nobody else may begin for `seconds`, counted from the last renewal."""

    table: str
    seconds: float = 300.0

    async def take(self, name: str, holder: str, job: str, *, begins: bool = True) -> bool:
        """Have the row for `holder`, a run of `job`; False while another job has it.

        A row is made, with the state `never`, where there is none. A lease that ends later than any can is
        from before a clock was set back, and holds nobody up. With `begins` the row notes that a run began.
        """
        async with storage.transaction() as tx:
            await tx.execute(
                f"INSERT INTO {self.table} (name, state) VALUES ($1, 'never') ON CONFLICT (name) DO NOTHING",
                name,
            )
            now, never = tx.sql.now, tx.sql.plus(tx.sql.now, str(2 * self.seconds))
            began = f", started = {now}" if begins else ""
            taken = await tx.execute(
                f"UPDATE {self.table} SET holder = $2, job = $3, held_until = {self._until(tx)}{began} "
                f"WHERE name = $1 "
                f"AND (holder IS NULL OR job = $3 OR held_until < {now} OR held_until > {never})",
                name,
                holder,
                job,
            )
        return bool(taken)

    async def renew(self, tx: Transaction, name: str, holder: str) -> None:
        """Prolong the lease, and lock its row until the transaction ends. Raises `LeaseLost`."""
        kept = await tx.execute(
            f"UPDATE {self.table} SET held_until = {self._until(tx)} WHERE name = $1 AND holder = $2",
            name,
            holder,
        )
        if not kept:
            raise LeaseLost(f"{name}: another job has taken it over")

    async def release(self, name: str, holder: str) -> None:
        """Give the row back and leave the rest of it as it is."""
        await storage.execute(
            f"UPDATE {self.table} SET holder = NULL, job = NULL, held_until = NULL "
            "WHERE name = $1 AND holder = $2",
            name,
            holder,
        )

    def _until(self, tx: Transaction) -> str:
        return tx.sql.plus(tx.sql.now, str(self.seconds))
