"""Connections as jobs: who may run, what is recorded, who is told."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from hopyard import people, storage
from hopyard.errors import (
    AuthenticationError,
    HopyardError,
    InvalidInput,
    JobCancelled,
    LeaseLost,
    StaleFence,
)
from hopyard.people import alert, notify

from hopyard_file import roots
from hopyard_file.backup.patterns import Patterns
from hopyard_file.cloud import state
from hopyard_file.cloud.models import CloudReport, CloudStatus, State
from hopyard_file.cloud.near import Near
from hopyard_file.cloud.objects import ObjectSide
from hopyard_file.cloud.settings import ConnectionSettings, RcloneRemote, WebDav, sides_of
from hopyard_file.cloud.stores import open_store
from hopyard_file.cloud.syncing import Held, Run

if TYPE_CHECKING:
    from hopyard import Job

    from hopyard_file.cloud.sides import Far


def connections() -> dict[str, ConnectionSettings]:
    """Return all connections by name."""
    return roots.settings().cloud.connections


def find(name: str) -> ConnectionSettings:
    """Return a connection. Raises `InvalidInput` with those that there are."""
    known = connections()
    if name not in known:
        told = ", ".join(known) or "none: declare it in [plugins.file.settings.cloud.connections]"
        raise InvalidInput(f"connection: found {name[:80]!r}, expected one of: {told}")
    return known[name]


async def sync_all(job: Job, name: str, *, dry_run: bool, force: bool) -> list[CloudReport]:
    """Sync the named connection, or all enabled ones, one after the other.

    What goes wrong with the named one is raised; of several each has its own report, and the rest goes on.
    """
    if name:
        find(name)
        return [await sync(job, name, dry_run=dry_run, force=force)]
    reports = []
    for one, own in connections().items():
        if own.enabled:
            reports.append(await _sync_one_of_several(job, one, dry_run=dry_run, force=force))
    return reports


async def _sync_one_of_several(job: Job, name: str, *, dry_run: bool, force: bool) -> CloudReport:
    try:
        return await sync(job, name, dry_run=dry_run, force=force)
    except (JobCancelled, StaleFence):
        raise
    except (HopyardError, OSError) as error:
        return CloudReport(
            connection=name, state=_state_of(error), dry_run=dry_run, notes=[state.storable(str(error))[:500]]
        )


async def sync(job: Job, name: str, *, dry_run: bool = False, force: bool = False) -> CloudReport:
    """Sync a connection; return what was done. Raises what went wrong, once it is recorded."""
    own = find(name)
    root = roots.root(own.root) if own.direction == "up" else roots.writable(own.root)
    holder = storage.new_id()
    if not await state.LEASE.take(name, holder, job.id, begins=not dry_run):
        return CloudReport(connection=name, state="busy", dry_run=dry_run)
    run: Run | None = None
    try:
        far = await open_far(own)
        try:
            near = Near(root.path, Patterns(own.include, own.exclude))
            sides = sides_of(root.path, own.remote)
            run = Run(name, own, near, far, holder, job, dry_run, force, sides)
            await run.run()
        finally:
            await asyncio.shield(far.close())
    except LeaseLost:
        raise
    except (JobCancelled, asyncio.CancelledError):
        await asyncio.shield(state.LEASE.release(name, holder))
        raise
    except Exception as error:
        report = run.report if run is not None else CloudReport(connection=name, dry_run=dry_run)
        await _failed(job, own, holder, report, error)
        raise
    await _well(name, holder, run.report)
    return run.report


async def open_far(own: ConnectionSettings) -> Far:
    """Return the other side of a connection, once its address was judged."""
    if isinstance(own.remote, WebDav | RcloneRemote):
        from hopyard_file.cloud.rclone import RcloneSide

        return await RcloneSide.opened(own.remote, own.timeout, own.bandwidth)
    store = await open_store(own.remote, own.timeout)
    # Amazon's ETag is the MD5 of what was sent as one part, unless it is encrypted by a key of KMS: then an
    # upload looks damaged, and `md5_tags = false` says so.
    tags = own.remote.kind == "s3" and own.remote.md5_tags
    return ObjectSide(store, own.remote.prefix, md5_tags=tags)


async def _well(name: str, holder: str, report: CloudReport) -> None:
    if report.dry_run:
        await state.LEASE.release(name, holder)
    else:
        await state.finish(name, holder, report, None)


async def _failed(
    job: Job, own: ConnectionSettings, holder: str, report: CloudReport, error: Exception
) -> None:
    """Record how a run failed; tell its person where a person is needed."""
    name, text = report.connection, state.storable(str(error) or type(error).__name__)
    if report.dry_run:
        await state.LEASE.release(name, holder)
        return
    report.state = _state_of(error)
    report.notes.insert(0, text[:500])
    await state.finish(name, holder, report, text)
    needed = isinstance(error, Held | AuthenticationError) or not job.will_retry(error)
    if needed and await state.tell_once(name, report.state):
        await _tell(own, name, report.state, text)


def _state_of(error: BaseException) -> State:
    return "held" if isinstance(error, Held) else "failed"


async def _tell(own: ConnectionSettings, name: str, found: State, text: str) -> None:
    title = f"{name} was not synced with the cloud"
    data = {"connection": name, "state": found}
    if own.person is None or own.person not in people.known():  # the health check names those
        await alert(title, text, data=data)
    else:
        await notify(own.person, title, text, data=data)


async def statuses(name: str | None = None) -> list[CloudStatus]:
    """Return where the named connection stands, or all. Raises `InvalidInput`."""
    if name:
        find(name)
    found = await state.standings()
    files = await state.counts("file_cloud_entry")
    aside = await state.counts("file_cloud_set_aside")
    never = state.Standing("never", None, None, None, None, False)
    lines = []
    for one, own in connections().items():
        if name and one != name:
            continue
        standing = found.get(one, never)
        lines.append(
            CloudStatus(
                connection=one,
                kind=own.remote.kind,
                direction=own.direction,
                person=own.person,
                enabled=own.enabled,
                state=standing.state,
                running=standing.running,
                error=standing.error,
                started=standing.started,
                succeeded=standing.succeeded,
                files=files.get(one, 0),
                set_aside=aside.get(one, 0),
                last=standing.report,
            )
        )
    return lines
