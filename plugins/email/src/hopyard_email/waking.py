"""Having the sender come: at once after something was put into the outbox, or at a moment."""

from __future__ import annotations

from datetime import datetime
from typing import Final

from hopyard import Unique, storage

#: The schedule comes every five minutes anyway.
_SCHEDULED: Final = 300.0
#: Moments closer than this, in seconds, share a job.
_TOGETHER: Final = 5


async def wake(at: datetime | None = None) -> None:
    """Submit the sender's job: now, or at `at`, unless one is there already or the schedule comes before."""
    from hopyard_email.tasks import process_email_queue

    if at is None or (seconds := (at - storage.utcnow()).total_seconds()) <= 0:
        # One that waits stands for this one as well; one that runs may have looked already.
        await process_email_queue.options(unique=Unique("now", "debounce")).submit()
        return
    if seconds < _SCHEDULED:
        bucket = int(at.timestamp()) // _TOGETHER + 1
        unique = Unique(f"at {bucket}", "reject")
        delay = max(0.0, bucket * _TOGETHER - storage.utcnow().timestamp())
        await process_email_queue.options(unique=unique, delay=delay).submit()
