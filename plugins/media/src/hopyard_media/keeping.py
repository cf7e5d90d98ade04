"""What was kept long enough goes."""

from __future__ import annotations

import asyncio

from hopyard import jobs

from hopyard_media import outputs, store
from hopyard_media.models import Forgotten
from hopyard_media.sources import settings

_PAGE = 1_000
#: Hours after which a half-written file is nobody's: jobs end within twelve.
_LEFT_BEHIND = 24.0
#: Days after which a batch is over in any case, also if nothing is known of its job: six attempts of a week.
_LONGEST_BATCH = 60.0


async def forget(days: float | None) -> Forgotten:
    """Remove what is older than so many days, in steps; without a number, as the settings say."""
    own = settings()
    kept = own.keep_days if days is None else days
    found = Forgotten(results=0, recordings=0, batches=0, files=0)
    for table, field in (("media_result", "results"), ("media_recording", "recordings")):
        while gone := await store.forget(table, kept, _PAGE):
            setattr(found, field, getattr(found, field) + gone)
    found.batches = await _forget_batches(kept)
    if own.output is not None:
        path = outputs.wanted()
        found.files = await asyncio.to_thread(outputs.remove_left_behind, path, _LEFT_BEHIND)
    return found


async def _forget_batches(days: float) -> int:
    """Remove the batches that are over; one that is being worked on would lose its place by it."""
    removed = 0
    wanted = await store.old_batches(days)
    over = await jobs.ended(wanted)
    for job in wanted:
        if job in over or await store.is_older(job, _LONGEST_BATCH):
            removed += await store.forget_batch(job)
    return removed
