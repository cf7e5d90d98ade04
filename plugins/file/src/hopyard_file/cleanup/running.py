"""A cleanup: one place after the other, and each is kept when it is done."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections.abc import Callable
from typing import TypeVar

from hopyard import Job
from hopyard.people import alert

from hopyard_file import roots
from hopyard_file.cleanup import cleaning
from hopyard_file.cleanup.cleaning import Plan
from hopyard_file.cleanup.models import TempCleanup, TempCleanupReport
from hopyard_file.cleanup.settings import TempPlace
from hopyard_file.documents import store

T = TypeVar("T")


async def clean(job: Job | None, *, dry_run: bool, confirm: int | None) -> TempCleanupReport:
    """Delete old temporary files, or say which: without a job it is a dry run always.

    All places are looked at before anything is deleted. A place of which too much would go is refused unless
    `confirm`, the number of all that is due, allows it. What an earlier attempt has done is not done again.
    What is kept of documents goes when its time is over as well.
    """
    settings = roots.settings().cleanup
    saved = job.checkpoint if job is not None else {}
    report = TempCleanupReport(
        host=socket.gethostname(),
        dry_run=dry_run or job is None,
        places=[TempCleanup(**one) for one in saved.get("places", ())],
    )
    over = {one.place for one in report.places}
    plans = [await _look(job, place) for place in settings.places if place.name not in over]
    confirmed = bool(saved.get("confirmed"))
    if confirm is not None and sum(plan.report.due for plan in plans) <= confirm:
        confirmed = True
    for plan in plans:
        if not confirmed:
            cleaning.refuse_too_much(plan, settings.max_share, settings.small)
        await _clean(job, report, plan, len(settings.places), confirmed=confirmed)
    if not report.dry_run:
        await store.forget(roots.settings().documents.keep_days)
        await _tell(job, report)
    return report


async def _look(job: Job | None, place: TempPlace) -> Plan:
    if job is not None:
        job.progress(0, None, f"looking at {place.name}")
    path = roots.writable(place.root).path + (f"/{place.under}" if place.under else "")
    most = roots.settings().cleanup.max_files
    return await _in_thread(lambda stop: cleaning.look(place, path, time.time(), most, stop))


async def _clean(
    job: Job | None, report: TempCleanupReport, plan: Plan, total: int, *, confirmed: bool
) -> None:
    spare_open = roots.settings().cleanup.spare_open
    if job is not None and not report.dry_run and plan.report.refused is None and plan.report.problem is None:
        job.progress(len(report.places), total, f"cleaning {plan.report.place}")
        await _in_thread(lambda stop: cleaning.delete(plan, stop, spare_open=spare_open))
    report.places.append(plan.report)
    if job is not None and not report.dry_run:
        kept = [one.model_dump(exclude={"examples"}) for one in report.places]
        await job.save(places=kept, confirmed=confirmed)


async def _tell(job: Job | None, report: TempCleanupReport) -> None:
    """Tell people what is refused or could not be cleaned up; each run that finds it so says it once."""
    troubles = [found for one in report.places if (found := one.refused or one.problem)]
    if job is not None and troubles and not job.checkpoint.get("told"):
        await alert(f"Temporary files on {report.host} were not cleaned up", "\n".join(troubles))
        await job.save(told=True)


async def _in_thread(work: Callable[[Callable[[], bool]], T]) -> T:
    """Run blocking work in a thread that is told to stop where the job is; wait for it in any case."""
    stop = threading.Event()
    future = asyncio.ensure_future(asyncio.to_thread(_stoppable, work, stop))
    try:
        answer = await asyncio.shield(future)
    except asyncio.CancelledError:
        stop.set()
        await asyncio.wait([future])
        raise
    if answer is None:
        raise asyncio.CancelledError
    return answer[0]


def _stoppable(work: Callable[[Callable[[], bool]], T], stop: threading.Event) -> tuple[T] | None:
    try:
        return (work(stop.is_set),)
    except cleaning.Stopped:
        return None
