"""Many files: listed once, then read some at a time, and each is kept with what became of it.

The list is in a table, so that an attempt that goes on after a crash reads what is left of it.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Iterator
from contextlib import closing
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any, Final

from hopyard import storage, trees
from hopyard.errors import InvalidInput, LedgerError, ResourceError, TaskError
from hopyard.trees import Troubles

from hopyard_file import roots
from hopyard_file.documents.children import Missing
from hopyard_file.documents.models import BatchReport, FileError
from hopyard_file.documents.processing import own
from hopyard_file.documents.reading import Reader
from hopyard_file.telling import Progress

if TYPE_CHECKING:
    from hopyard import Job

_MOST_ERRORS: Final = 100
_PAGE: Final = 200
_STORED_AT_ONCE: Final = 500


async def process(
    job: Job, root: str, under: str, patterns: list[str], ways: list[str] | None, *, ocr: bool
) -> BatchReport:
    """Read all files below a directory whose names match, or those that are named.

    Raises `InvalidInput` for a root, directory or way that is none, and where there are too many files.
    """
    notes = await _listed(job, root, under, patterns, ways)
    await _run(job, root, Reader(job, own(), ocr=ocr))
    return await report(job.id, notes)


async def _listed(job: Job, root: str, under: str, patterns: list[str], ways: list[str] | None) -> list[str]:
    """Store the list of files unless an earlier attempt has; return what is to be said of it."""
    rows = await storage.fetch("SELECT listed FROM file_batch WHERE job = $1", job.id)
    if rows and rows[0]["listed"]:
        return list(job.checkpoint.get("notes", []))
    job.progress(0, None, "listing files")
    most = own().max_files
    troubles = Troubles()
    if ways is not None:
        found = [(roots.way_below(way), 0) for way in dict.fromkeys(ways)]
        roots.root(root)
    else:
        found = await asyncio.to_thread(_walked, root, under, patterns, most, troubles)
    if len(found) > most:
        raise InvalidInput(
            f"there are more than {most:,} files: name a smaller directory, or raise `max_files`"
        )
    notes = troubles.words[:20]
    await _store(job.id, root, found)
    await job.save(notes=notes)
    return notes


def _walked(
    root: str, under: str, patterns: list[str], most: int, troubles: Troubles
) -> list[tuple[str, int]]:
    """Return ways and sizes of files below a directory, in the order of their names."""
    path = roots.root(root).path + (f"/{roots.way_below(under, 'under')}" if under else "")
    found: list[tuple[str, int]] = []
    try:
        with closing(trees.walk(path, troubles)) as directories:
            for directory in directories:
                below = "/".join(level.name for level in directory.levels[1:])
                for file in directory.files():
                    if any(fnmatchcase(file.name, pattern) for pattern in patterns):
                        way = "/".join(part for part in (under, below, file.name) if part)
                        if _storable(way):
                            found.append((way, file.size))
                        else:
                            troubles.add(trees.shown(way), "is a name that is no UTF-8")
                        if len(found) > most:
                            return found
    except FileNotFoundError:
        raise InvalidInput(
            f"under: there is no {trees.shown(under) or 'directory'} in the root `{root}`"
        ) from None
    return sorted(found)


def _storable(way: str) -> bool:
    try:
        way.encode()
    except UnicodeEncodeError:
        return False
    return True


async def _store(job: str, root: str, found: list[tuple[str, int]]) -> None:
    """Store the list in transactions of a bearable size; it counts from the last of them on."""
    async with storage.transaction() as tx:
        await tx.execute("DELETE FROM file_batch_item WHERE job = $1", job)
        await tx.execute(
            f"INSERT INTO file_batch (job, root, created, listed) VALUES ($1, $2, {tx.sql.now}, $3) "
            "ON CONFLICT (job) DO NOTHING",
            job,
            root,
            False,
        )
    for start, part in _parts(found):
        async with storage.transaction() as tx:
            await tx.execute_many(
                "INSERT INTO file_batch_item (job, n, way, size, state) VALUES ($1, $2, $3, $4, 'waiting')",
                [(job, start + n, way, size) for n, (way, size) in enumerate(part)],
            )
    await storage.execute("UPDATE file_batch SET listed = $2 WHERE job = $1", job, True)


def _parts(found: list[tuple[str, int]]) -> Iterator[tuple[int, list[tuple[str, int]]]]:
    for start in range(0, len(found), _STORED_AT_ONCE):
        yield start, found[start : start + _STORED_AT_ONCE]


async def _run(job: Job, root: str, reader: Reader) -> None:
    """Read what waits, a page of the list at a time, with as many at once as the settings say."""
    totals = await _totals(job.id)
    progress = Progress(
        job,
        totals["files"],
        totals["bytes"],
        files_done=totals["files"] - totals["waiting"],
        bytes_done=totals["bytes"] - totals["waiting_bytes"],
    )
    # One more than are read, so that there is always a file to go on with.
    room = asyncio.Semaphore(own().at_once + 1)

    async def one(item: Any) -> None:
        async with room:
            await _read(job.id, root, item, reader)
            progress.step(files=1, bytes=item["size"], what=trees.shown(item["way"]))

    while items := await _waiting(job.id):
        try:
            async with asyncio.TaskGroup() as group:
                for item in items:
                    group.create_task(one(item))
        except BaseExceptionGroup as errors:
            raise errors.exceptions[0] from None


async def _waiting(job: str) -> Iterable[Any]:
    return await storage.fetch(
        "SELECT n, way, size FROM file_batch_item WHERE job = $1 AND state = 'waiting' ORDER BY n LIMIT $2",
        job,
        _PAGE,
    )


async def _read(job: str, root: str, item: Any, reader: Reader) -> None:
    """Read a file and note what became of it: its fault is its own."""
    begun = time.monotonic()
    state, problem, sha256 = "done", None, None
    try:
        content, _ = await reader.read(root, item["way"])
        sha256 = content.sha256
        if not content.whole:
            state, problem = "failed", "; ".join(content.notes)[:1000]
    except Missing as error:
        state, problem = "failed", str(error)
    except InvalidInput as error:
        state, problem = "refused", str(error)
    except LedgerError:
        raise
    except (TaskError, ResourceError, OSError) as error:
        state, problem = "failed", f"{type(error).__name__}: {error}"
    await storage.execute(
        "UPDATE file_batch_item SET state = $3, error = $4, sha256 = $5, seconds = $6 "
        "WHERE job = $1 AND n = $2",
        *(job, item["n"], state, problem[:2000] if problem else None, sha256, time.monotonic() - begun),
    )


async def _totals(job: str) -> dict[str, int]:
    rows = await storage.fetch(
        "SELECT state, COUNT(*) AS files, COALESCE(SUM(size), 0) AS bytes FROM file_batch_item "
        "WHERE job = $1 GROUP BY state",
        job,
    )
    counts = {row["state"]: (int(row["files"]), int(row["bytes"])) for row in rows}
    found = {state: counts.get(state, (0, 0))[0] for state in ("waiting", "done", "refused", "failed")}
    found["waiting_bytes"] = counts.get("waiting", (0, 0))[1]
    found["files"] = sum(files for files, _ in counts.values())
    found["bytes"] = sum(size for _, size in counts.values())
    return found


async def report(job: str, notes: list[str] | None = None) -> BatchReport:
    """Return what has become of a batch so far. Raises `InvalidInput` for a job that is none."""
    rows = await storage.fetch("SELECT root FROM file_batch WHERE job = $1", job)
    if not rows:
        raise InvalidInput(f"job: {job[:80]} is no batch of files")
    totals = await _totals(job)
    return BatchReport(
        job=job,
        root=rows[0]["root"],
        files=totals["files"],
        bytes=totals["bytes"],
        done=totals["done"],
        refused=totals["refused"],
        failed=totals["failed"],
        errors=await errors(job, _MOST_ERRORS),
        notes=notes or [],
    )


async def errors(job: str, limit: int) -> list[FileError]:
    """Return the files of a batch that were not read, in the order of the list."""
    rows = await storage.fetch(
        "SELECT way, error FROM file_batch_item WHERE job = $1 AND state IN ('refused', 'failed') "
        "ORDER BY n LIMIT $2",
        job,
        limit,
    )
    return [FileError(way=row["way"], error=(row["error"] or "")[:500]) for row in rows]
