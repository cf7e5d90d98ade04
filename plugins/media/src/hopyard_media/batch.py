"""Many recordings transcribed one after the other, with an error for each that cannot be."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable, Sequence
from contextlib import closing
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Final

from hopyard import roots, storage, trees
from hopyard.errors import EgressRefused, HopyardError, InvalidInput, TaskError, TimeLimitExceeded

from hopyard_media.models import BatchItem, BatchReport
from hopyard_media.sources import settings, storable
from hopyard_media.speech.transcribing import Wish, transcribe

if TYPE_CHECKING:
    from hopyard import Job

PATTERNS: Final = (
    *("*.mp4", "*.m4v", "*.mov", "*.mkv", "*.webm", "*.avi", "*.mpg", "*.mpeg", "*.ts", "*.flv", "*.3gp"),
    *("*.mp3", "*.m4a", "*.aac", "*.wav", "*.flac", "*.ogg", "*.opus", "*.aiff", "*.wma"),
)
_MOST: Final = 10_000
_MOST_SHOWN: Final = 1_000


async def transcribe_all(
    job: Job, root: str, ways: Sequence[str] | None, under: str, patterns: Sequence[str], wish: Wish
) -> BatchReport:
    """Transcribe recordings below a root; return what became of each. An attempt goes on where one stopped.

    What may be heard another time, such as by a server that is busy, is left for the next attempt; the last
    one notes it as failed. Raises `InvalidInput` for wishes that no recording can meet, and for too many.
    """
    wish.checked()
    roots.chosen(settings().roots, root)
    troubles: list[str] = list(job.checkpoint.get("troubles", ()))
    if "troubles" not in job.checkpoint:
        chosen = await asyncio.to_thread(_listed, root, ways, under, patterns, troubles)
        if not await _items(job.id):  # else an attempt died here
            await _begin(job.id, root, chosen)
        await job.save(troubles=troubles[:100])
    later: Exception | None = None
    items = await _items(job.id)
    for n, item in items.items():
        if item.state == "waiting":
            later = await _one(job, root, n, len(items), wish, item) or later
    if later is not None:
        raise later
    return await report(job.id, root, troubles)


async def _one(job: Job, root: str, n: int, of: int, wish: Wish, item: BatchItem) -> Exception | None:
    """Transcribe one recording and keep what came of it; return an error that may pass."""

    def tell(current: float, total: float | None = None, message: str = "") -> None:
        share = current / total if total else 0.0
        job.progress(n + min(1.0, share), of, f"{n + 1} of {of}, {trees.shown(item.way)}: {message}"[:1000])

    try:
        tell(0, 1, "opened")
        made = await transcribe(tell, root, item.way, wish)
    except (TaskError, EgressRefused, OSError) as error:
        if isinstance(error, TimeLimitExceeded):
            tell(0, 1, "stopped")  # raises where the limit is the job's own, and not that of a request
        if job.will_retry(error):
            return error
        item.state, item.problem = "failed", str(error)[:1000]
    except HopyardError:  # the job is cancelled, or its ledger is not there: that is no recording's fault
        raise
    except Exception as error:
        job.log.exception("%s cannot be transcribed", trees.shown(item.way))
        item.state, item.problem = "failed", f"{type(error).__name__}: {error}"[:1000]
    else:
        item.state, item.duration, item.segments = "done", made.duration, len(made.segments)
        item.files = made.files
    await storage.execute(
        "UPDATE media_batch SET state = $1, result = $2 WHERE job = $3 AND number = $4",
        item.state,
        item.model_dump_json(),
        job.id,
        n,
    )
    return None


def _listed(
    root: str, ways: Sequence[str] | None, under: str, patterns: Sequence[str], troubles: list[str]
) -> list[str]:
    """Return the ways of the recordings that are meant, in order. Raises `InvalidInput` for too many."""
    if ways is not None:
        found = [roots.way_below(way) for way in dict.fromkeys(ways)]
        if wrong := [way for way in found if not storable(way)]:
            raise InvalidInput(f"ways: found {trees.shown(wrong[0])!r}, expected names that are text")
    else:
        found = sorted(_below(root, under, patterns, troubles))
    if not found:
        raise InvalidInput("found no recordings: look at root, `under` and `patterns`")
    if len(found) > _MOST:
        raise InvalidInput(f"found more than {_MOST:,} recordings, expected fewer: do it by directories")
    return found


def _below(root: str, under: str, patterns: Sequence[str], troubles: list[str]) -> list[str]:
    path = roots.chosen(settings().roots, root).path
    path += f"/{roots.way_below(under, 'under')}" if under else ""
    noted = trees.Troubles()
    found: list[str] = []
    try:
        with closing(trees.walk(path, noted)) as directories:
            for directory in directories:
                below = [level.name for level in directory.levels[1:]]
                for file in directory.files():
                    if not any(fnmatchcase(file.name.lower(), one.lower()) for one in patterns):
                        continue
                    way = "/".join([*([under] if under else []), *below, file.name])
                    if storable(way):
                        found.append(way)
                    else:
                        noted.add(trees.shown(way), "its name is no UTF-8")
                if len(found) > _MOST:
                    break
    except FileNotFoundError:
        raise InvalidInput(f"there is no {trees.shown(under)} in the root `{root}`") from None
    troubles += noted.words
    return found


async def _begin(job: str, root: str, ways: Sequence[str]) -> None:
    async with storage.transaction() as tx:
        await tx.execute_many(
            f"INSERT INTO media_batch (job, number, root, way, state, made) "
            f"VALUES ($1, $2, $3, $4, 'waiting', {tx.sql.now}) ON CONFLICT DO NOTHING",
            [(job, n, root, way) for n, way in enumerate(ways)],
        )


async def _items(job: str) -> dict[int, BatchItem]:
    rows = await storage.fetch(
        "SELECT number, way, state, result FROM media_batch WHERE job = $1 ORDER BY number", job
    )
    return {
        row["number"]: BatchItem(**json.loads(row["result"]))
        if row["result"]
        else BatchItem(way=row["way"], state=row["state"])
        for row in rows
    }


async def report(
    job: str, root: str | None = None, troubles: Sequence[str] = (), known: Iterable[str] = ()
) -> BatchReport:
    """Return what became of a batch, also while it goes on. Raises `InvalidInput` for a job that is none.

    `known` are the roots of which one may have been meant.
    """
    rows = await storage.fetch("SELECT root FROM media_batch WHERE job = $1 LIMIT 1", job)
    if not rows:
        meant = "".join(f", or the root {name}" for name in sorted(known))
        raise InvalidInput(f"job: found {job[:80]!r}, expected that of a batch that is kept{meant}")
    items = [*(await _items(job)).values()]
    shown = sorted(items, key=lambda one: one.state != "failed")[:_MOST_SHOWN]
    return BatchReport(
        job=job,
        root=root or rows[0]["root"],
        total=len(items),
        done=sum(1 for one in items if one.state == "done"),
        failed=sum(1 for one in items if one.state == "failed"),
        seconds=sum(one.duration or 0.0 for one in items),
        items=_fitting(shown),
        troubles=[*troubles],
    )


def _fitting(items: Sequence[BatchItem]) -> list[BatchItem]:
    """Return as many as a job's result carries."""
    left, kept = 500_000, []
    for one in items:
        left -= len(one.model_dump_json().encode())
        if left < 0:
            break
        kept.append(one)
    return kept
