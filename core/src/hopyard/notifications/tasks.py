"""The task that brings one notification over one channel."""

from __future__ import annotations

import json
from functools import partial
from typing import Any

from hopyard import current
from hopyard.errors import InvalidInput, LedgerUnavailable, StaleFence
from hopyard.notifications import channels
from hopyard.notifications.people import person
from hopyard.redaction import redact
from hopyard.specs import Category, Message, RetryPolicy
from hopyard.tasks import Job, task

_SAVE = (
    "INSERT INTO delivery (notification_id, channel, state, attempts, error, updated) "
    "VALUES ($1, $2, $3, 1, $4, {now}) ON CONFLICT (notification_id, channel) DO UPDATE SET "
    "state = excluded.state, error = excluded.error, updated = excluded.updated, "
    "attempts = delivery.attempts + 1"
)


@task(
    "hopyard.deliver",
    retry=RetryPolicy(
        max_retries=5,
        backoff=5,
        factor=3,
        on=frozenset({Category.TRANSIENT, Category.RATE_LIMITED, Category.TIMEOUT, Category.RESOURCE}),
    ),
    time_limit=60,
)
async def deliver(job: Job, notification: str, channel: str) -> str:
    """Deliver a stored notification over one of its person's channels, unless that was done already."""
    hopyard = current.get()
    database = hopyard.client().database
    rows = await database.fetch("SELECT * FROM notification WHERE id = $1", notification)
    if not rows:
        raise InvalidInput(f"there is no notification {notification}")
    stored = rows[0]
    address = person(stored["person"]).channels.get(channel)
    if address is None:
        raise InvalidInput(f"{stored['person']} no longer has the channel {channel}")

    async def send(repeat: bool = False) -> str:
        message = Message(
            id=notification,
            person=stored["person"],
            title=stored["title"],
            body=stored["body"],
            data=json.loads(stored["data"]),
            repeat=repeat,
        )
        await channels.deliver(address, message, hopyard.plugins.notifiers, hopyard.egress)
        return "delivered"

    try:
        # Where a worker died in between it may have arrived: better twice, and said so, than never.
        await job.effect("delivery", send, repeat_if_unknown=partial(send, repeat=True))
    except (StaleFence, LedgerUnavailable):
        raise  # says nothing of the delivery; another attempt does
    except Exception as error:
        await _note(database, notification, channel, "failed", redact(str(error))[:500])
        raise
    await _note(database, notification, channel, "delivered", None)
    return "delivered"


async def _note(database: Any, notification: str, channel: str, state: str, error: str | None) -> None:
    await database.execute(_SAVE.format(now=database.dialect.now), notification, channel, state, error)
