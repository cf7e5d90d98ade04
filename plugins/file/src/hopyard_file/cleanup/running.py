"""A cleanup: one place after the other, and each is kept when it is done."""

from __future__ import annotations

import socket
import time
from typing import Final

from hopyard import Job, cleaning
from hopyard.cleaning import OldFiles, Plan
from hopyard.people import alert

from hopyard_file import roots
from hopyard_file.cleanup.models import TempCleanup, TempCleanupReport
from hopyard_file.cleanup.settings import TempPlace
from hopyard_file.documents import store

_HOUR: Final = 3_600.0


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


async def _look(job: Job | None, place: TempPlace) -> Plan[TempCleanup]:
    if job is not None:
        job.progress(0, None, f"looking at {place.name}")
    files = OldFiles(
        path=roots.writable(place.root).path + (f"/{place.under}" if place.under else ""),
        patterns=place.patterns,
        seconds=None if place.hours is None else place.hours * _HOUR,
        max_bytes=place.max_bytes,
        empty_directories=place.empty_directories,
    )
    report, most = TempCleanup(place=place.name), roots.settings().cleanup.max_files
    return await cleaning.in_thread(lambda stop: cleaning.look(files, report, time.time(), most, stop))


async def _clean(
    job: Job | None, report: TempCleanupReport, plan: Plan[TempCleanup], total: int, *, confirmed: bool
) -> None:
    spare_open = roots.settings().cleanup.spare_open
    if job is not None and not report.dry_run and plan.report.refused is None and plan.report.problem is None:
        job.progress(len(report.places), total, f"cleaning {plan.report.place}")
        await cleaning.in_thread(lambda stop: cleaning.delete(plan, stop, spare_open=spare_open))
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
