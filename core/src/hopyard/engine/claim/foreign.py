"""Messages of stock producers: their jobs are stored before they are claimed."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from hopyard.ledger import cancelling, waiting
from hopyard.ledger.values import NewJob, Stored
from hopyard.specs import State

if TYPE_CHECKING:
    from hopyard.engine.consume.delivery import Delivery, Foreign
    from hopyard.ledger.database import Database
    from hopyard.loading import Plugins

_PRIORITY: Final = 5


async def adopt(plugins: Plugins, database: Database, deliveries: Sequence[Delivery]) -> Stored:
    """Store the jobs of stock producers' messages. Those of a chord are parked, else its body was lost."""
    now = datetime.now(UTC)
    jobs, parts, late = [], [], []
    for delivery in deliveries:
        foreign = delivery.foreign
        assert foreign is not None  # noqa: S101 - the caller chose those
        jobs.append(_job(plugins, delivery, foreign, now))
        if "chord" in foreign.follow:
            parts.append(delivery.id)
        if foreign.expires is not None and foreign.expires <= now:
            late.append(delivery.id)
    stored = await database.submit(jobs)
    if late:
        await _expire(database, late)
    if parts:
        await waiting.park(database, parts, waiting.UNSIZED_CHORD)
    return stored


def _job(plugins: Plugins, delivery: Delivery, foreign: Foreign, now: datetime) -> NewJob:
    options = plugins.options.get(delivery.task)
    later = foreign.eta is not None and foreign.eta > now
    return NewJob(
        id=delivery.id,
        task=delivery.task,
        queue=delivery.queue,
        priority=options.priority if options else _PRIORITY,
        body=foreign.body,
        headers=foreign.headers,
        state=State.SCHEDULED if later else State.QUEUED,
        eta=foreign.eta if later else None,
        parent=foreign.parent,
        root=foreign.root,
        origin=delivery.original if delivery.original != delivery.id else None,
        linked=bool(foreign.follow),
    )


async def _expire(database: Database, late: Sequence[str]) -> None:
    """Cancel jobs that their producers want no more, unless they run already."""
    rows = await database.fetch(
        f"SELECT id FROM job_live WHERE id {database.dialect.ids('$1')} AND state = {State.QUEUED:d}",
        database.list(late),
    )
    await cancelling.cancel(database, [str(row["id"]) for row in rows], "expired")
