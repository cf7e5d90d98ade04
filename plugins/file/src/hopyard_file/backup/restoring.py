"""Restoring from a shell: the operator's own work, not a job's, into a directory that they name."""

from __future__ import annotations

import os
from dataclasses import asdict
from typing import TYPE_CHECKING

from hopyard import trees
from hopyard.errors import InvalidInput

from hopyard_file.backup.engine.outcomes import Existing, Wish
from hopyard_file.backup.engines import engine_of
from hopyard_file.backup.models import Note, RestoreReport
from hopyard_file.backup.running import find_repository, find_source
from hopyard_file.backup.threads import in_thread

if TYPE_CHECKING:
    from collections.abc import Sequence

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

    Raises `InvalidInput` for a snapshot or paths that are not there, and a target that cannot be used.
    """
    own = find_repository(find_source(source).repository)
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
    return RestoreReport(snapshot=found.id, target=absolute, dry_run=dry_run, **values)


def _chosen(engine: Engine, source: str, wanted: str) -> Snapshot:
    there = engine.snapshots(source)
    if not there:
        raise InvalidInput(f"{source} has no snapshot yet")
    if wanted == LATEST:
        return there[-1]
    fitting = [one for one in there if one.id.startswith(wanted)]
    if len(fitting) != 1:
        told = ", ".join(one.id for one in there[-5:])
        what = "several begin with it" if fitting else "there is none"
        raise InvalidInput(f"found the snapshot {wanted[:80]!r}: {what}; the latest are {told}")
    return fitting[0]
