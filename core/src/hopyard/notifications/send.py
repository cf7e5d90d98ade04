"""Telling a person something: stored first, then delivered by one job per channel."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from hopyard import checks, current
from hopyard.ledger.values import NewJob, derived_id, job_id, new_id, plain_text
from hopyard.notifications.people import person
from hopyard.notifications.tasks import deliver
from hopyard.tasks.declaration import Call
from hopyard.tasks.options import MAX_ID


async def notify(
    person_id: str,
    title: str,
    body: str,
    *,
    data: Mapping[str, Any] | None = None,
    id: str | None = None,  # noqa: A002
) -> str:
    """Tell a person something over each of their channels; return the notification's id.

    The notification and its deliveries are stored in one transaction; a channel that fails is tried again by
    itself and fails nothing else. The same `id`, any text, tells it once. Raises `SpecError`.
    """
    if id is not None:
        checks.text("notify: id", id, MAX_ID)
    for name, value in (("person", person_id), ("title", title), ("body", body)):
        if not isinstance(value, str):
            checks.refuse(f"notify: {name}", value, "text")
    client = current.get().client()
    database = client.database
    id_ = job_id(id) if id else new_id()
    jobs = [_delivery(id_, channel) for channel in person(person_id).channels]
    async with database.transaction() as tx:
        now = database.dialect.now
        await tx.execute(
            f"INSERT INTO notification (id, person, title, body, data, created) "
            f"VALUES ($1, $2, $3, $4, $5, {now}) ON CONFLICT DO NOTHING",
            id_,
            person_id,
            plain_text(title),
            plain_text(body),
            json.dumps(data or {}, default=str),
        )
        new = await tx.insert_jobs(jobs)
    await client.announce([job for job in jobs if job.id in new])
    return id_


def _delivery(notification: str, channel: str) -> NewJob:
    call: Call[Any, Any] = deliver.options(id=derived_id("delivery", notification, channel))
    return call.job((), {"notification": notification, "channel": channel})


async def alert(
    title: str,
    body: str,
    *,
    data: Mapping[str, Any] | None = None,
    id: str | None = None,  # noqa: A002
) -> None:
    """Tell the people in `[alerts] to` something about the installation itself."""
    for one in current.get().settings.alerts.to:
        await notify(one, title, body, data=data, id=derived_id(id, one) if id else None)
