"""Backups as jobs: which sources, what is recorded, who is told."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Final
from zoneinfo import ZoneInfo

from hopyard import Hopyard, trees
from hopyard.errors import HopyardError, InvalidInput, JobCancelled, StaleFence
from hopyard.people import alert

from hopyard_file import roots
from hopyard_file.backup import state
from hopyard_file.backup.engine.outcomes import Outcome
from hopyard_file.backup.engine.pruning import Pruned
from hopyard_file.backup.engine.retention import Keep
from hopyard_file.backup.engine.verifying import Checked
from hopyard_file.backup.engines import Engine, engine_of, source_of
from hopyard_file.backup.models import BackupReport, DamageLine, Note, PruneReport, VerifyReport
from hopyard_file.backup.threads import Teller, in_thread

if TYPE_CHECKING:
    from hopyard import Job

    from hopyard_file.backup.settings import BackupSettings, RepositorySettings, SourceSettings

_MOST_TOLD: Final = 10
#: A job's result has a limit, and that of several sources is one result.
_MOST_NOTES: Final = 50
_MOST_DAMAGE: Final = 100
_MOST_SNAPSHOTS: Final = 200


def settings() -> BackupSettings:
    """Return the settings of backups."""
    return roots.settings().backup


def find_source(name: str) -> SourceSettings:
    """Return a source. Raises `InvalidInput` with those that there are."""
    sources = settings().sources
    if name not in sources:
        raise InvalidInput(f"source: found {name[:80]!r}, expected one of: {', '.join(sources) or 'none'}")
    return sources[name]


def find_repository(name: str) -> RepositorySettings:
    """Return a repository. Raises `InvalidInput` with those that there are."""
    known = settings().repositories
    if name not in known:
        raise InvalidInput(f"repository: found {name[:80]!r}, expected one of: {', '.join(known) or 'none'}")
    return known[name]


# --- backups


async def back_up_all(job: Job, source: str, *, dry_run: bool) -> list[BackupReport]:
    """Back up the named source, or all, one after the other; what fails costs only its source.

    What may work later is raised at the end, so that the job is tried again: then only those that failed run.
    """
    if source:
        find_source(source)
    names = [source] if source else [*settings().sources]
    done = {name: BackupReport(**report) for name, report in job.checkpoint.get("done", {}).items()}
    failed: Exception | None = None
    for name in names:
        if name in done:
            continue
        try:
            done[name] = await back_up_one(job, name, dry_run=dry_run)
        except (JobCancelled, StaleFence):
            raise
        except (HopyardError, OSError) as error:
            if job.will_retry(error) or source:
                failed = failed or error
            else:
                done[name] = _failed(name, error, dry_run)
            await _record_failure(job, name, error, dry_run)
            continue
        await job.save(
            done={key: one.model_dump(mode="json", exclude={"summary"}) for key, one in done.items()}
        )
    if failed is not None:
        raise failed
    return [done[name] for name in names]


async def back_up_one(job: Job | None, name: str, *, dry_run: bool) -> BackupReport:
    """Back up a source, and read back what its repository's settings say."""
    own = find_source(name)
    repository = find_repository(own.repository)
    engine = await engine_of(repository)
    source = source_of(
        name, own, [one.directory for one in settings().repositories.values() if one.directory]
    )
    begun = time.monotonic()
    if dry_run:
        outcome = await in_thread(job, lambda tell: engine.preview(source, tell))
        return _report(outcome, own.repository, begun, dry_run=True)
    share = repository.share()
    outcome, checked = await in_thread(job, lambda tell: engine.back_up(source, share, tell))
    report = _report(outcome, own.repository, begun)
    if checked is not None:
        report.verified_packs = checked.packs
        verified = _verified(own.repository, checked)
        await _record_check(job, verified, partial=share < 1)
        if not checked.ok:
            report.state = "damaged"
    await state.record("source", name, "ok", None, _kept(report.model_dump_json(exclude={"summary"})))
    return report


def _report(outcome: Outcome, repository: str, begun: float, *, dry_run: bool = False) -> BackupReport:
    values = asdict(outcome)
    for unused in ("folders", "links"):
        del values[unused]
    notes = outcome.notes[:_MOST_NOTES]
    values["notes"] = [Note(path=trees.shown(path), what=what[:200]) for path, what in notes]
    seconds = round(time.monotonic() - begun, 3)
    return BackupReport(repository=repository, seconds=seconds, dry_run=dry_run, **values)


def _failed(name: str, error: Exception, dry_run: bool) -> BackupReport:
    repository = settings().sources[name].repository
    return BackupReport(
        source=name, repository=repository, state="failed", dry_run=dry_run, error=_said(error)
    )


async def _record_failure(job: Job, name: str, error: Exception, dry_run: bool) -> None:
    if dry_run:
        return
    await state.record("source", name, "failed", _said(error), None)
    if not job.will_retry(error):
        await alert(
            f"The backup of {name} failed",
            f"{_said(error)}. What was stored already is used by the next run: hopyard file backup {name}",
            data={"source": name},
            id=f"file.backup {job.id} {name}",
        )


# --- checks


async def verify_all(job: Job | None, repository: str, share: float) -> list[VerifyReport]:
    """Read back a share of the named repository, or of all; people are told of damage."""
    if repository:
        find_repository(repository)
    reports = []
    for name in [repository] if repository else settings().repositories:
        engine = await engine_of(find_repository(name))
        report = _verified(name, await in_thread(job, _verifying(engine, share)))
        await _record_check(job, report, partial=share < 1)
        reports.append(report)
    return reports


def _verifying(engine: Engine, share: float) -> Callable[[Teller], Checked]:
    return lambda tell: engine.verify(share, tell)


def _verified(name: str, checked: Checked) -> VerifyReport:
    return VerifyReport(
        repository=name,
        ok=checked.ok,
        packs=checked.packs,
        all_packs=checked.all_packs,
        bytes=checked.bytes,
        snapshots=checked.snapshots,
        damaged_files=checked.damaged_files,
        damaged_snapshots=checked.damaged_snapshots[-_MOST_SNAPSHOTS:],
        damage=[
            DamageLine(
                snapshot=one.snapshot, source=one.source, path=trees.shown(one.path), reason=one.reason
            )
            for one in checked.damage[:_MOST_DAMAGE]
        ],
        wrong=[text[:300] for text in checked.wrong[:_MOST_DAMAGE]],
    )


async def _record_check(job: Job | None, report: VerifyReport, *, partial: bool) -> None:
    """Keep what a check found; that of a part does not take back what one of all has found."""
    name = report.repository
    before = (await state.standings("repository")).get(name)
    if report.ok and partial and before is not None and before.state == "damaged":
        return
    text = _kept(report.model_dump_json(exclude={"summary"}))
    await state.record("repository", name, "ok" if report.ok else "damaged", None, text)
    if report.ok:
        return
    damaged = [
        f"{one.path or 'its list of files'} of {one.snapshot}: {one.reason}"
        for one in report.damage[:_MOST_TOLD]
    ]
    more = report.damaged_files - len(damaged)
    await alert(
        f"The backup repository {name} is damaged",
        "\n".join([str(report.summary), *damaged, *([f"and {more:,} more"] if more > 0 else [])])
        + "\nFiles that are still there are stored anew by the next backup.",
        data={"repository": name},
        id=f"file.verify {job.id} {name}" if job is not None else None,
    )


# --- retention


async def prune_all(job: Job | None, repository: str, *, dry_run: bool) -> list[PruneReport]:
    """Remove what is past its retention from the named repository, or from all."""
    if repository:
        find_repository(repository)
    checks = await state.standings("repository")
    zone = ZoneInfo(Hopyard.current().settings.time_zone)
    reports = []
    for name in [repository] if repository else settings().repositories:
        own = find_repository(name)
        engine = await engine_of(own)
        keep = Keep(**own.keep.model_dump())
        last = checks.get(name)
        damaged = (
            VerifyReport.model_validate_json(last.report).damaged_snapshots
            if last is not None and last.state == "damaged" and last.report
            else []
        )
        pruned = await in_thread(job, _pruning(engine, keep, zone, damaged, dry_run))
        reports.append(_pruned(name, pruned, dry_run=dry_run))
    return reports


def _pruned(name: str, pruned: Pruned, *, dry_run: bool) -> PruneReport:
    values = asdict(pruned)
    values["kept"] = dict(sorted(pruned.kept.items())[-_MOST_SNAPSHOTS:])
    values["removed"] = pruned.removed[-_MOST_SNAPSHOTS:]
    counts = {"kept_count": len(pruned.kept), "removed_count": len(pruned.removed)}
    return PruneReport(repository=name, dry_run=dry_run, **counts, **values)


def _pruning(
    engine: Engine, keep: Keep, zone: ZoneInfo, damaged: Sequence[str], dry_run: bool
) -> Callable[[Teller], Pruned]:
    return lambda tell: engine.prune(keep, zone, damaged, tell, dry_run=dry_run)


def _said(error: BaseException) -> str:
    return state.storable(str(error) or type(error).__name__)[:1000]


def _kept(text: str) -> str:
    return state.storable(text)
