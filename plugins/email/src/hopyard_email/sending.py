"""Putting a mail into the outbox: now, or for a moment in the recipient's zone."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final
from zoneinfo import ZoneInfo

from hopyard import Hopyard, Job, people, storage
from hopyard.errors import InvalidInput, SpecError

from hopyard_email.models import Mail, Queued
from hopyard_email.outbox import letters
from hopyard_email.waking import wake

if TYPE_CHECKING:
    from hopyard_email.settings import EmailSettings

#: A moment that lies further back was hardly meant.
_MOST_LATE: Final = timedelta(days=1)
_MOST_AHEAD: Final = timedelta(days=365_000)


async def send_mail(
    job: Job,
    mail: Mail,
    key: str | None,
    *,
    due: datetime | None = None,
    not_after: datetime | None = None,
) -> Queued:
    """Put a job's mail into the outbox, once for all its attempts, and for all jobs with the same key."""
    from hopyard_email import Email

    id_ = storage.derived_id("email", key) if key else storage.derived_id(job.id, "email")
    return await put(mail, Email.current().settings, id_=id_, due=due, not_after=not_after)


async def put(
    mail: Mail,
    settings: EmailSettings,
    *,
    id_: str | None = None,
    due: datetime | None = None,
    not_after: datetime | None = None,
) -> Queued:
    """Put a mail into the outbox, and have the sender come. Raises `InvalidInput`."""
    queued = await letters.enqueue(mail, settings, id_=id_ or storage.new_id(), due=due, not_after=not_after)
    await wake(due)
    return queued


def moments(
    at: datetime, not_after: datetime | None, zone: str | None, person: str | None
) -> tuple[datetime, datetime | None]:
    """Return when a mail is due, and when it is too late for it, in UTC.

    Times without a zone are in `zone`, else in the person's, else in the installation's. A time that the
    clocks leave out is as much later as they jump; of one that they show twice it is the first (RFC 5545
    §3.3.5). Raises `InvalidInput` for a zone that is none, and a moment of more than a day ago.
    """
    from hopyard.schedules import zone_of

    name = zone or (people.person(person).zone if person else Hopyard.current().settings.time_zone)
    try:
        place = ZoneInfo(str(zone_of(name)))
    except (SpecError, ValueError, LookupError) as error:
        raise InvalidInput(f"zone: {error}") from None
    if person is not None and person not in people.known():
        raise InvalidInput(f"person: found {person[:100]!r}, expected one of: {', '.join(people.known())}")
    try:
        due, last = _utc(at, place), _utc(not_after, place) if not_after else None
    except (OverflowError, ValueError):
        raise InvalidInput(f"at: found {at}, which is no moment that can be waited for") from None
    if due > storage.utcnow() + _MOST_AHEAD:
        raise InvalidInput(f"at: {at} is more than a thousand years ahead")
    if due < storage.utcnow() - _MOST_LATE:
        raise InvalidInput(f"at: {at} was more than a day ago")
    if last is not None and last < due:
        raise InvalidInput(f"not_after: {not_after} is before {at}")
    return due, last


def _utc(at: datetime, zone: ZoneInfo) -> datetime:
    return (at if at.utcoffset() is not None else at.replace(tzinfo=zone, fold=0)).astimezone(UTC)
