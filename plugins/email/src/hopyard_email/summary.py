"""The daily summary: what a person was told since the last one, by mail, at their hour."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from typing import TYPE_CHECKING, Any, Final
from zoneinfo import ZoneInfo

from hopyard import Job, people, storage
from hopyard.errors import InvalidInput
from hopyard.storage import moment

from hopyard_email.models import Mail, Summarized
from hopyard_email.notifier import recipient_of
from hopyard_email.outbox import letters
from hopyard_email.waking import wake

if TYPE_CHECKING:
    from hopyard_email.settings import EmailSettings, Summary

_MOST: Final = 200
#: The first summary tells of so much.
_FIRST: Final = timedelta(days=1)


async def summarize(job: Job, now: datetime | None = None) -> Summarized:
    """Send each person whose hour has come their summary of the day, once; nobody gets an empty one."""
    from hopyard_email import Email

    settings = Email.current().settings
    found = Summarized()
    for person in _people(settings.summary):
        try:
            await _summarize(person, settings, now or storage.utcnow(), found)
        except InvalidInput as error:
            found.problems.append(f"{person}: {error}")
    if found.sent:
        await wake()
    return found


def _people(summary: Summary) -> list[str]:
    everybody = people.known() if "*" in summary.people else []
    return sorted({*(one for one in summary.people if one != "*"), *everybody})


async def _summarize(person: str, settings: EmailSettings, now: datetime, found: Summarized) -> None:
    zone = ZoneInfo(people.person(person).zone)
    local = now.astimezone(zone)
    summary = settings.summary
    if now < due_at(local.date(), zone, summary, person) or is_quiet(local.time(), summary, person):
        return
    day = local.date().isoformat()
    rows = await storage.fetch(
        "SELECT day, told_until FROM email_summary WHERE person = $1 ORDER BY day DESC LIMIT 1", person
    )
    if rows and rows[0]["day"] >= day:
        return
    since = moment(rows[0]["told_until"]) if rows else now - _FIRST
    told = [one for one in await people.inbox(person, _MOST) if _between(one, since, now)]
    mail = _mail(person, address_of(person, settings), told, local) if told else None
    id_ = storage.derived_id("summary", person, day)
    async with storage.transaction() as tx:
        new = await tx.execute(
            "INSERT INTO email_summary (person, day, told_until, content_id) VALUES ($1, $2, $3, $4) "
            "ON CONFLICT DO NOTHING",
            *(person, day, now, id_ if mail else None),
        )
        if new and mail is not None:
            await letters.enqueue(mail, settings, id_=id_, due=now, tx=tx)
    if new:
        (found.sent if mail else found.nothing_to_say).append(person)


def due_at(day: date, zone: ZoneInfo, summary: Summary, person: str) -> datetime:
    """Return when a person's summary is due on a day, in UTC: at their hour, or after their quiet hours."""
    at = _time(summary.at)
    if is_quiet(at, summary, person):
        at = _time(summary.quiet[person].partition("-")[2])
    return datetime.combine(day, at, zone).astimezone(UTC)


def is_quiet(at: time, summary: Summary, person: str) -> bool:
    """Say whether a time of the day is in a person's quiet hours, which may go over midnight."""
    hours = summary.quiet.get(person)
    if hours is None:
        return False
    begin, end = map(_time, hours.split("-"))
    return begin <= at < end if begin <= end else at >= begin or at < end


def _time(text: str) -> time:
    hour, _, minute = text.partition(":")
    return time(int(hour), int(minute))


def _between(one: dict[str, Any], since: datetime | None, until: datetime) -> bool:
    created = datetime.fromisoformat(one["created"])
    return (since is None or created > since) and created <= until


def address_of(person: str, settings: EmailSettings) -> str:
    """Return a person's mail address. Raises `InvalidInput` if there is none."""
    if person in settings.addresses:
        return settings.addresses[person]
    for channel in people.person(person).channels.values():
        if channel.lower().startswith("mailto://"):
            return recipient_of(channel)
    raise InvalidInput(
        f"{person} has no mail address: expected a channel mailto://ada@example.org, or an entry in "
        "[plugins.email.settings.addresses]"
    )


def _mail(person: str, address: str, told: list[dict[str, Any]], local: datetime) -> Mail:
    zone = local.tzinfo
    lines = []
    for one in reversed(told):
        at = datetime.fromisoformat(one["created"]).astimezone(zone)
        lines.append(f"{at:%a %H:%M}  {one['title']}\n{_indented(one['body'])}")
    count = f"{len(told)} message{'s' if len(told) != 1 else ''}"
    more = f"\n\nThere are more than {_MOST}: these are the latest." if len(told) == _MOST else ""
    text = f"What you were told until {local:%A %d %B, %H:%M} ({zone}):\n\n" + "\n\n".join(lines) + more
    return Mail(to=[address], subject=f"Your day: {count}", text=text + "\n", person=person)


def _indented(text: str) -> str:
    return "\n".join(f"  {line}" for line in text.splitlines()[:100])
