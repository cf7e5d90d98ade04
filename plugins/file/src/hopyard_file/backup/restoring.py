"""Restoring from a shell: the operator's own work, not a job's, into a directory that they name."""

from __future__ import annotations

import os
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from hopyard import trees
from hopyard.errors import InvalidInput

from hopyard_file.backup.engine.manifest import moment_of
from hopyard_file.backup.engine.outcomes import Existing, Wish
from hopyard_file.backup.engines import engine_of
from hopyard_file.backup.models import Note, RestoreReport
from hopyard_file.backup.running import find_repository, find_source
from hopyard_file.backup.threads import in_thread

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from hopyard_file.backup.engine.manifest import Snapshot
    from hopyard_file.backup.engines import Engine

LATEST = "latest"


async def restore_from(
    source: str,
    target: str,
    paths: Sequence[str] = (),
    *,
    snapshot: str = LATEST,
    existing: Existing = "keep",
    owners: bool = False,
    dry_run: bool = False,
) -> RestoreReport:
    """Restore files of a source's snapshot (an id, its beginning, or `latest`) below the directory `target`.

    A path may be given as reports show it, with bytes that are no UTF-8 as `\\xff`. Raises `InvalidInput` for
    a snapshot or paths that are not there, `latest` where that may be one that cannot be read, and a target
    that cannot be used.
    """
    own = find_repository(find_source(source).repository)
    _refuse_target(target, own.directory)
    engine = await engine_of(own)
    wish = Wish(
        tuple(path.strip("/") for path in paths if path.strip("/")),
        existing=existing,
        owners=owners,
        dry_run=dry_run,
    )
    absolute = os.path.abspath(target)

    def work(tell):  # type: ignore[no-untyped-def]
        found = _chosen(engine, source, snapshot)
        return found, engine.restore(found, absolute, wish, tell)

    found, done = await in_thread(None, work)
    values = asdict(done)
    values["notes"] = [Note(path=trees.shown(path), what=w) for path, w in done.notes]
    return RestoreReport(
        source=source, snapshot=found.id, started=found.started, target=absolute, dry_run=dry_run, **values
    )


def _chosen(engine: Engine, source: str, wanted: str) -> Snapshot:
    there, unreadable = engine.snapshots(source)
    if not there:
        more = f"; these cannot be read: {', '.join([*unreadable][-5:])}" if unreadable else ""
        raise InvalidInput(f"{source} has no snapshot{' that can be read' if unreadable else ' yet'}{more}")
    if wanted == LATEST:
        _refuse_older(there[-1], unreadable)
        return there[-1]
    fitting = [one for one in there if one.id.startswith(wanted)]
    if len(fitting) != 1:
        told = ", ".join(one.id for one in there[-5:])
        what = "several begin with it" if fitting else "there is none"
        raise InvalidInput(f"found the snapshot {wanted[:80]!r}: {what}; the latest are {told}")
    return fitting[0]


def _refuse_older(latest: Snapshot, unreadable: Mapping[str, str]) -> None:
    """Raise `InvalidInput` where a snapshot that cannot be read may be later than the latest that can."""
    since = min(moment_of(latest.id), datetime.now(UTC))
    later = sorted(id_ for id_ in unreadable if moment_of(id_) >= since)
    if later:
        raise InvalidInput(
            f"the snapshot {later[-1]} cannot be read ({unreadable[later[-1]]}), and may be the latest: "
            f"nothing was restored. To restore the latest that can be read: --snapshot {latest.id}"
        )


def _refuse_target(target: str, repository: str | None) -> None:
    if not target.strip():
        raise InvalidInput("to: found no directory, expected one to restore into")
    if repository is not None and Path(os.path.realpath(target)).is_relative_to(os.path.realpath(repository)):
        raise InvalidInput(f"to: found {target}, which is the repository {repository} itself or in it")
