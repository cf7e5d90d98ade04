"""Which recordings were worked on, and what came of it."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from hopyard import roots, storage, trees
from hopyard.errors import InvalidInput, ResourceError
from hopyard.sandbox import Breakdown, Refusal
from hopyard.storage import moment

from hopyard_media import store
from hopyard_media.models import Known, Recording, Transcript, Video
from hopyard_media.sources import Source, opened, settings


@asynccontextmanager
async def worked_on(root: str, way: str) -> AsyncIterator[Source]:
    """Open a recording, as `sources.opened`, and keep why its content is refused where it is.

    Raises `Refusal` for that, and `ResourceError` where a child broke down or met a limit: whether that is
    the recording's doing nobody knows, so that it is tried again.
    """
    try:
        async with opened(root, way) as source:
            await _note(root, way, sha256=source.sha256, duration=source.duration, problem=None)
            yield source
    except Refusal as error:
        await _note(root, way, problem=str(error)[:1000])
        kind = ResourceError if isinstance(error, Breakdown) else Refusal
        raise kind(f"{trees.shown(way)}: {error}") from error


async def note_transcript(root: str, way: str, options: str) -> None:
    """Keep which results are its latest transcript."""
    await _note(root, way, transcript=options)


async def note_video(video: Video) -> None:
    """Keep the latest report about a video, without its transcript, which is kept by itself."""
    text = video.model_copy(update={"transcript": None}).model_dump_json()
    await _note(video.root, video.way, video=text)


async def _note(root: str, way: str, **values: Any) -> None:
    names = [*values]
    places = [f"${n}" for n in range(3, 3 + len(names))]
    changes = ", ".join(f"{name} = excluded.{name}" for name in [*names, "seen"])
    if values.get("sha256"):  # what was heard and seen of another content is not this one's
        for name in ("transcript", "video"):
            same = "media_recording.sha256 = excluded.sha256"
            changes += f", {name} = CASE WHEN {same} THEN media_recording.{name} END"
    await storage.execute(
        f"INSERT INTO media_recording (root, way, {', '.join(names)}, seen) "
        f"VALUES ($1, $2, {', '.join(places)}, {storage.sql().now}) "
        f"ON CONFLICT (root, way) DO UPDATE SET {changes}",
        root,
        way,
        *values.values(),
    )


async def listed(root: str | None, limit: int) -> list[Recording]:
    """Return the recordings that were worked on, the latest first. Raises `InvalidInput` for no root."""
    rows = await storage.fetch(
        "SELECT * FROM media_recording WHERE ($1 = '' OR root = $1) "
        f"ORDER BY seen DESC, root, way LIMIT {max(1, min(limit, 10_000))}",
        root or "",
    )
    if root and not rows:
        roots.chosen(settings().roots, root)
    return [_recording(row) for row in rows]


async def shown(root: str, way: str) -> Known:
    """Return all that is kept of a recording. Raises `InvalidInput` where nothing is."""
    rows = await storage.fetch("SELECT * FROM media_recording WHERE root = $1 AND way = $2", root, way)
    if not rows:
        raise InvalidInput(f"nothing is known of {trees.shown(way)} in the root {root[:80]!r}")
    row = rows[0]
    kept = None
    if row["sha256"] and row["transcript"]:
        kept = await store.one(row["sha256"], row["transcript"], store.WHOLE)
    return Known(
        recording=_recording(row),
        transcript=Transcript(**{**kept, "root": root, "way": way}) if kept else None,
        video=Video(**json.loads(row["video"])) if row["video"] else None,
    )


def _recording(row: storage.Row) -> Recording:
    seen = moment(row["seen"])
    return Recording(
        root=row["root"],
        way=row["way"],
        sha256=row["sha256"],
        duration=row["duration"],
        transcribed=row["transcript"] is not None,
        processed=row["video"] is not None,
        problem=row["problem"],
        at=seen.isoformat(timespec="seconds") if seen else "",
    )
