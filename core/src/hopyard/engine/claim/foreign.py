"""Messages whose jobs are not in the ledger yet: of stock producers, and of tasks that nobody here knows."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from hopyard.engine.consume.delivery import Delivery, adopted
from hopyard.errors import LedgerUnavailable
from hopyard.ledger import cancelling, waiting
from hopyard.specs import State
from hopyard.tasks import canvas

if TYPE_CHECKING:
    from hopyard.app import Hopyard
    from hopyard.ledger.database import Database

log = logging.getLogger("hopyard.engine")

_PAUSE = 1.0
_PRIORITY = 5


async def adopt(hopyard: Hopyard, database: Database, foreign: Sequence[Delivery]) -> None:
    """Store the jobs of stock producers' messages. Those of a chord are parked, else its body was lost."""
    jobs = []
    for delivery in foreign:
        options = hopyard.plugins.options.get(delivery.task)
        jobs.append(adopted(delivery, options.priority if options else _PRIORITY))
    await database.submit(jobs)
    await _expire(database, foreign)
    parts = [job.id for job in jobs if job.linked and "chord" in canvas.links(job.body)]
    if parts:
        await waiting.park(database, parts, waiting.UNSIZED_CHORD)


async def _expire(database: Database, foreign: Sequence[Delivery]) -> None:
    """Cancel jobs that their producers want no more, unless they run already."""
    now = datetime.now(UTC)
    late = [d.id for d in foreign if d.foreign.expires is not None and d.foreign.expires <= now]
    if not late:
        return
    rows = await database.fetch(
        f"SELECT id FROM job_live WHERE id {database.dialect.ids('$1')} AND state = {State.QUEUED:d}",
        database.list(late),
    )
    await cancelling.cancel(database, [str(row["id"]) for row in rows], "expired")


async def park(database: Database, delivery: Delivery) -> None:
    """Set aside the job of a task that this worker does not know, however long the ledger is away."""
    plugin = delivery.task.split(".", 1)[0]
    reason = f"no worker here knows task {delivery.task}: is plugin `{plugin}` installed and enabled?"
    while True:
        try:
            if delivery.foreign is not None:
                await database.submit([adopted(delivery, _PRIORITY)])
            await waiting.park(database, [delivery.id], reason)
            await waiting.rung(database, [delivery.id])
        except LedgerUnavailable as error:
            log.warning("a message of the unknown task %s waits for the ledger: %s", delivery.task, error)
            await asyncio.sleep(_PAUSE)
        else:
            log.error("job %s is parked: %s", delivery.id, reason)
            return
