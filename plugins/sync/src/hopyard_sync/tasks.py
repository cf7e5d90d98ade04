"""The tasks. Their bodies are elsewhere: declaring them must stay cheap."""

from __future__ import annotations

from typing import Final, Literal

from hopyard import Job, RetryPolicy, Tool, task

from hopyard_sync.models import Agenda, EventChange, Report

_RETRY: Final = RetryPolicy(max_retries=5, backoff=30)
_LONG: Final = 3600.0

Day = Literal["today", "tomorrow", "yesterday", "week"]


@task("sync.sync_calendar_events", retry=_RETRY, time_limit=_LONG)
async def sync_calendar_events(
    job: Job, connection: str = "", dry_run: bool = False, force: bool = False, full: bool = False
) -> list[Report]:
    """Sync a calendar with the other side, or all calendars where none is named."""
    from hopyard_sync.engine.runner import sync_all

    kinds = ("caldav", "google", "microsoft")
    return await sync_all(job, kinds, connection, dry_run=dry_run, force=force, full=full)


@task("sync.sync_notion_pages", retry=_RETRY, time_limit=_LONG)
async def sync_notion_pages(
    job: Job, connection: str = "", dry_run: bool = False, force: bool = False, full: bool = False
) -> list[Report]:
    """Read what changed in Notion: pages, databases and their blocks."""
    from hopyard_sync.engine.runner import sync_all

    return await sync_all(job, ("notion",), connection, dry_run=dry_run, force=force, full=full)


@task("sync.sync_email_service", retry=_RETRY, time_limit=_LONG)
async def sync_email_service(
    job: Job, connection: str = "", dry_run: bool = False, force: bool = False, full: bool = False
) -> list[Report]:
    """Read new mail, flags and deletions of a mailbox into the store."""
    from hopyard_sync.engine.runner import sync_all

    return await sync_all(job, ("imap",), connection, dry_run=dry_run, force=force, full=full)


@task("sync.sync_third_party_api", retry=_RETRY, time_limit=_LONG)
async def sync_third_party_api(
    job: Job, connection: str = "", dry_run: bool = False, force: bool = False, full: bool = False
) -> list[Report]:
    """Read the streams of a REST API into the table `sync_record`."""
    from hopyard_sync.engine.runner import sync_all

    return await sync_all(job, ("rest",), connection, dry_run=dry_run, force=force, full=full)


@task("sync.sync_connection", retry=_RETRY, time_limit=_LONG)
async def sync_connection(
    job: Job, connection: str, dry_run: bool = False, force: bool = False, full: bool = False
) -> Report:
    """Sync one connection of any kind, also of those that other plugins bring."""
    from hopyard_sync.engine.runner import sync

    return await sync(job, connection, dry_run=dry_run, force=force, full=full)


@task("sync.list_events", retry=_RETRY, time_limit=120, tool=Tool(read_only=True, idempotent=True))
async def list_events(job: Job, day: Day = "today", start: str = "", end: str = "") -> Agenda:
    """List the events, meetings and appointments on my calendar today, tomorrow, this week or another time.

    `day` is one of a few words; `start` and `end` (ISO 8601, such as 2026-12-24 or 2026-12-24T18:00, in the
    person's zone) take its place. Without `end` it is the whole day of `start`.
    """
    from hopyard_sync.calendars.agenda import agenda

    return await agenda(job.person, day, start, end)


@task("sync.create_event", retry=_RETRY, time_limit=120, tool=Tool(approval=True))
async def create_event(
    job: Job,
    title: str,
    start: str,
    end: str = "",
    location: str = "",
    notes: str = "",
    calendar: str = "",
) -> EventChange:
    """Put a new event on a calendar; it reaches the calendar's server with the sync that follows.

    `start` and `end` are ISO 8601 in the person's zone; dates alone are all-day events, for which `end` is
    the last day. Without `end` it lasts an hour, or a day. `calendar` is needed where there are several.
    """
    from hopyard_sync.calendars.editing import create

    return await create(job, title, start, end, location, notes, calendar)


@task("sync.change_event", retry=_RETRY, time_limit=120, tool=Tool(approval=True, idempotent=True))
async def change_event(
    job: Job,
    event: str,
    title: str = "",
    start: str = "",
    end: str = "",
    location: str = "",
    notes: str = "",
) -> EventChange:
    """Change an event by its id, as `sync.list_events` tells it; what is left empty stays as it is.

    Of a recurring event title, location and notes can be changed, for the whole series.
    """
    from hopyard_sync.calendars.editing import change

    return await change(job, event, title, start, end, location, notes)


@task(
    "sync.delete_event",
    retry=_RETRY,
    time_limit=120,
    tool=Tool(approval=True, destructive=True),
)
async def delete_event(job: Job, event: str) -> EventChange:
    """Delete an event by its id, as `sync.list_events` tells it; of a recurring one the whole series."""
    from hopyard_sync.calendars.editing import delete

    return await delete(job, event)
