"""Which snapshots there are, and which of them cannot be read."""

from __future__ import annotations

import asyncio
from typing import Final

from hopyard_file.backup.engine.manifest import moment_of
from hopyard_file.backup.engines import engine_of
from hopyard_file.backup.models import SnapshotLine
from hopyard_file.backup.running import find_repository, find_source, settings

#: A job's result has a limit.
_MOST_SNAPSHOTS: Final = 200


async def snapshots(source: str = "", limit: int = _MOST_SNAPSHOTS) -> list[SnapshotLine]:
    """Return the latest snapshots of a source, or of all repositories, the oldest first.

    Those that cannot be read are among them whatever the source: nobody can tell it. Those of one source are
    in the order in which they were made, whatever clocks said.
    """
    names = [find_source(source).repository] if source else [*settings().repositories]
    lines: list[SnapshotLine] = []
    for name in names:
        engine = await engine_of(find_repository(name))
        found, unreadable = await asyncio.to_thread(engine.snapshots, source or None)
        lines += [_unreadable(id_, reason) for id_, reason in unreadable.items()]
        lines += [
            SnapshotLine(
                id=one.id,
                source=one.source,
                host=one.host,
                started=one.started,
                files=one.files,
                bytes=one.size,
                stored=one.stored,
                left_out=one.left_out,
            )
            for one in found
        ]
    if not source:
        lines.sort(key=lambda line: line.started)
    return lines[-limit:]


def _unreadable(id_: str, reason: str) -> SnapshotLine:
    return SnapshotLine(
        id=id_,
        source="",
        host="",
        started=moment_of(id_),
        files=0,
        bytes=0,
        stored=None,
        left_out=0,
        error=reason[:300],
    )
