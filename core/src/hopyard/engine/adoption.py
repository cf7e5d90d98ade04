"""Messages whose jobs are not in the ledger yet: of stock producers, and of tasks that nobody here knows."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from celery.worker.request import Request

from hopyard.engine.delivery import Delivery, adopted, is_foreign
from hopyard.errors import LedgerUnavailable
from hopyard.ledger import cancelling, waiting
from hopyard.ledger.values import job_id
from hopyard.specs import State
from hopyard.tasks import canvas

if TYPE_CHECKING:
    from hopyard.app import Hopyard
    from hopyard.ledger.database import Database

log = logging.getLogger("hopyard.engine")

_CHORD = "its chord was made by a producer without Hopyard, so the ledger does not know its size"
_PAUSE = 1.0


async def adopt(hopyard: Hopyard, database: Database, foreign: Sequence[Delivery]) -> None:
    """Store the jobs of stock producers' messages. Those of a chord are parked, else its body was lost."""
    if not foreign:
        return
    jobs = []
    for delivery in foreign:
        options = hopyard.plugins.options.get(delivery.task)
        priority = options.priority if options else 5
        jobs.append(adopted(delivery.request, delivery.queue, priority, _text(delivery.request.body)))
    await database.submit(jobs)
    await _expire(database, foreign)
    parts = [job.id for job in jobs if job.linked and "chord" in canvas.links(job.body)]
    if parts:
        await waiting.park(database, parts, _CHORD)


async def _expire(database: Database, foreign: Sequence[Delivery]) -> None:
    """Cancel jobs that their producers want no more, unless they run already."""
    now = datetime.now(UTC)
    late = [d.id for d in foreign if d.request.expires is not None and d.request.expires <= now]
    if not late:
        return
    rows = await database.fetch(
        f"SELECT id FROM job_live WHERE id {database.dialect.ids('$1')} AND state = {State.QUEUED:d}",
        database.list(late),
    )
    await cancelling.cancel(database, [str(row["id"]) for row in rows], "expired")


async def park(app: Any, database: Database, message: Any, queue: str) -> None:
    """Set aside the job of a task that this worker does not know, however long the ledger is away."""
    name = message.headers["task"]
    id_ = job_id(str(message.headers["id"]))
    plugin = name.split(".", 1)[0]
    reason = f"no worker here knows task {name}: is plugin `{plugin}` installed and enabled?"
    while True:
        try:
            if is_foreign(message.headers):
                request = Request(message, app=app, task=_Nameless(name), body=message.body)
                await database.submit([adopted(request, queue, 5, _text(message.body))])
            await waiting.park(database, [id_], reason)
            await waiting.rung(database, [id_])
        except LedgerUnavailable as error:
            log.warning("a message of the unknown task %s waits for the ledger: %s", name, error)
            await asyncio.sleep(_PAUSE)
        else:
            log.error("job %s is parked: %s", id_, reason)
            return


def _text(body: Any) -> str:
    return body.decode() if isinstance(body, bytes) else str(body)


class _Nameless:
    """What Celery's request asks of a task that is not there."""

    ignore_result = True

    def __init__(self, name: str) -> None:
        self.name = name
