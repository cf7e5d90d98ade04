"""What plugins may ask about jobs that are not their own call's: how they ended, how many there are."""

from __future__ import annotations

from collections.abc import Iterable

from hopyard import current
from hopyard.ledger import queues
from hopyard.tasks.client import Ended

__all__ = ["Ended", "ended", "queue_depths"]

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
