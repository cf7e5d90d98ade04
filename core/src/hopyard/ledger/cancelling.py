"""Cancelling jobs: at once while they wait, through their worker while they run."""

from __future__ import annotations

from collections.abc import Sequence

from hopyard.ledger import following
from hopyard.ledger.columns import moved
from hopyard.ledger.database import Database
from hopyard.ledger.values import job_id, plain_text
from hopyard.specs import State

_KEPT = moved("reason")


async def cancel(database: Database, ids: Sequence[str], reason: str) -> dict[str, State]:
    """Cancel jobs; return the state that each is in now (`RUNNING`: its worker is told).

    Ids that are not live are left out of the answer.
    """
    d = database.dialect
    ids, reason = [job_id(id_) for id_ in ids], plain_text(reason)
    async with database.transaction() as tx:
        # Locked first: what is claimed while this looks at another row must not slip through.
        rows = await tx.fetch(
            f"SELECT id, state FROM job_live WHERE id {d.ids('$1')} ORDER BY id {d.for_update}",
            database.list(ids),
        )
        running = [str(row["id"]) for row in rows if row["state"] == State.RUNNING]
        waiting = [str(row["id"]) for row in rows if row["state"] != State.RUNNING]
        await tx.execute(
            f"UPDATE job_live SET cancel = true, reason = $2 WHERE id {d.ids('$1')}",
            database.list(running),
            reason,
        )
        await following.mark(tx, d, f"id {d.ids('$1')}", database.list(waiting))
        await tx.execute(
            f"INSERT INTO job_history ({_KEPT}, state, reason, finished) "
            f"SELECT {_KEPT}, {State.CANCELLED:d}, $2, {d.now} FROM job_live WHERE id {d.ids('$1')}",
            database.list(waiting),
            reason,
        )
        await tx.execute(f"DELETE FROM job_live WHERE id {d.ids('$1')}", database.list(waiting))
        await tx.execute_many(
            f"INSERT INTO command (kind, target, data, created) VALUES ('cancel', $1, $2, {d.now})",
            [(id_, reason) for id_ in running],
        )
    return dict.fromkeys(running, State.RUNNING) | dict.fromkeys(waiting, State.CANCELLED)
