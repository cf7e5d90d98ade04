"""What was kept long enough goes."""

from __future__ import annotations

import asyncio

from hopyard import roots

from hopyard_media import outputs, store
from hopyard_media.models import Forgotten
from hopyard_media.sources import settings

_PAGE = 1_000
#: Hours after which a half-written file is nobody's: jobs end within twelve.
_LEFT_BEHIND = 24.0


async def forget(days: float | None) -> Forgotten:
    """Remove what is older than so many days, in steps; without a number, as the settings say."""
    own = settings()
    kept = own.keep_days if days is None else days
    found = Forgotten(results=0, recordings=0, batches=0, files=0)
    for table, field in (
        ("media_result", "results"),
        ("media_recording", "recordings"),
        ("media_batch", "batches"),
    ):
        while gone := await store.forget(table, kept, _PAGE):
            setattr(found, field, getattr(found, field) + gone)
    if own.output is not None:
        path = roots.writable(own.roots, own.output).path
        found.files = await asyncio.to_thread(outputs.remove_left_behind, path, _LEFT_BEHIND)
    return found
