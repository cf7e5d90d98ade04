"""What plugins may ask about jobs that are not their own call's: how they ended, how many there are.

Also what is past its retention, which the leading worker removes by itself, and removing it at once.
"""

from __future__ import annotations

from collections.abc import Iterable

from hopyard import current
from hopyard.ledger import queues, retention, set_aside
from hopyard.ledger.retention import Due
from hopyard.tasks.client import Ended

__all__ = ["Due", "Ended", "ended", "prune", "queue_depths", "records_due"]

_BATCH = 500


async def ended(ids: Iterable[str]) -> dict[str, Ended]:
    """Return how those of the jobs ended that are over: `state`, and `result` and `error` as JSON texts."""
    client, wanted = current.get().client(), [*ids]
    found: dict[str, Ended] = {}
    for start in range(0, len(wanted), _BATCH):
        found |= await client.ended(wanted[start : start + _BATCH])
    return found


async def queue_depths() -> dict[str, int]:
    """Return the number of jobs that are not over, by queue; a queue without any is not in it."""
    return await queues.depths(current.get().client().database)


async def records_due(
    *, progress_days: float | None = None, results_days: float | None = None
) -> dict[str, Due]:
    """Count the records that are past their retention, by table of the core; nothing is changed.

    The days are those of `[retention]` unless given. It reads whole tables: for people who ask, not for each
    minute. Raises `LedgerError`.
    """
    progress, results = _days(progress_days, results_days)
    return await retention.due(current.get().client().database, progress_days=progress, results_days=results)


async def prune(
    *, progress_days: float | None = None, results_days: float | None = None
) -> tuple[dict[str, int], bool]:
    """Delete one small batch of each kind of record that `records_due` counts.

    Returns how many rows went, by table, and whether there may be more: pause a little, and call again. Dead
    jobs stay until they are replayed or discarded. Raises `LedgerError`.
    """
    progress, results = _days(progress_days, results_days)
    database = current.get().client().database
    gone = await retention.prune(database, progress_days=progress, results_days=results)
    gone["set_aside"] = await set_aside.prune(database, results, retention.BATCH)
    return gone, max(gone.values()) >= retention.BATCH


def _days(progress_days: float | None, results_days: float | None) -> tuple[float, float]:
    kept = current.get().settings.retention
    return (
        kept.progress_days if progress_days is None else progress_days,
        kept.results_days if results_days is None else results_days,
    )
