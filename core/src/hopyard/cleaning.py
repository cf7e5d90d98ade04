"""Old files of a directory: which are due, whether that many may go, and deleting them.

Two walks by open directories (`hopyard.trees`), never by paths: the first only looks, and nothing is deleted
before it is known how much it would be. The second deletes what is still what the first has seen.
"""

from __future__ import annotations

import asyncio
import heapq
import os
import threading
from collections import Counter, defaultdict
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Final, Generic, NamedTuple, TypeVar

from pydantic import BaseModel

from hopyard import trees
from hopyard.errors import InvalidInput
from hopyard.trees import Directory, File, Identity, Troubles

__all__ = ["Cleaned", "OldFiles", "Plan", "Stopped", "delete", "in_thread", "look", "refuse_too_much"]

_EXAMPLES: Final = 10
T = TypeVar("T")


class Cleaned(BaseModel):
    """A directory: how many files were looked at, match, are due, and went; sizes in bytes."""

    seen: int = 0
    matching: int = 0
    matching_bytes: int = 0
    due: int = 0
    due_bytes: int = 0
    deleted: int = 0
    freed_bytes: int = 0
    open: int = 0
    """Due, but open in a process, and left alone."""
    changed: int = 0
    """Due, but changed or gone when it was their turn, and left alone."""
    failed: int = 0
    """Due, and could not be deleted."""
    directories: int = 0
    """Empty directories that went, or would go."""
    more: bool = False
    """Whether more may be due than one run deletes: the next one goes on."""
    refused: str | None = None
    problem: str | None = None
    """Why it could not be cleaned up, or not wholly."""
    troubles: list[str] = []
    examples: list[str] = []
    """Some of the files that are due."""


R = TypeVar("R", bound=Cleaned)


@dataclass(frozen=True, slots=True)
class OldFiles:
    """Which files of the directory at `path` go: those that match a pattern, by age, total size, or both.

    Files that were not changed for `seconds` go, and of the rest the oldest until it has no more than
    `max_bytes` together. With `empty_directories`, directories below it that are empty and as old go as well.
    """

    path: str
    patterns: tuple[str, ...]
    seconds: float | None = None
    max_bytes: int | None = None
    empty_directories: bool = False

    def kept_since(self, now: float) -> float | None:
        """Return since when a file must have been changed to be kept, in nanoseconds since 1970."""
        return None if self.seconds is None else (now - self.seconds) * 1e9


class Stopped(BaseException):
    """The job is to stop: raised in the thread that does the work, and seen by nobody else."""


class _Seen(NamedTuple):
    """A file that may have to go. They are ordered by age, the youngest first."""

    youth: int
    """Its time of change, negative."""
    number: int
    """Tells apart those of the same age."""
    directory: Identity
    way: str
    file: File


@dataclass
class Plan(Generic[R]):
    """What is due in a directory, found by looking alone."""

    files: OldFiles
    report: R
    due: dict[Identity, list[File]] = field(default_factory=lambda: defaultdict(list))
    """By directory."""
    directories: set[Identity] = field(default_factory=set)
    """Directories that were empty and old."""
    by_age: int = 0
    """How many files are past their age: the rule of size leaves `max_bytes` in any case."""
    names: Counter[Identity] = field(default_factory=Counter)
    """Of files with hard links: how many names each has here."""


def look(files: OldFiles, report: R, now: float, most: int, stop: Callable[[], bool]) -> Plan[R]:
    """Return what is due at `now` (seconds since 1970), at most the `most` oldest; `report` is filled in.

    Raises `Stopped` where `stop` says so. What cannot be looked at is the report's `problem`.
    """
    plan = Plan(files, report)
    troubles = Troubles()
    try:
        oldest = _survey(plan, now, most, troubles, stop)
    except (InvalidInput, OSError) as error:
        plan.report.problem = _said(files.path, error)
        troubles.words.append(plan.report.problem)
        oldest = []
    _choose(plan, oldest, now)
    plan.report.more = plan.report.due == most < plan.report.matching
    plan.report.troubles = troubles.words
    return plan


def _survey(
    plan: Plan[R], now: float, most: int, troubles: Troubles, stop: Callable[[], bool]
) -> list[_Seen]:
    """Count all files that match, and return the `most` oldest, the oldest first."""
    rule, report, oldest = plan.files, plan.report, list[_Seen]()
    limit = rule.kept_since(now)
    with closing(trees.walk(plan.files.path, troubles)) as directories:
        for directory in directories:
            way = directory.shown
            if rule.empty_directories and len(directory.levels) > 1:
                _note_empty(plan, directory, limit)
            for file in directory.files():
                if stop():
                    raise Stopped
                report.seen += 1
                if not any(fnmatchcase(file.name, pattern) for pattern in rule.patterns):
                    continue
                report.matching += 1
                plan.by_age += limit is not None and file.modified < limit
                plan.names[file.identity] += file.links > 1
                if file.links == 1 or plan.names[file.identity] == 1:
                    report.matching_bytes += file.taken
                seen = _Seen(-file.modified, report.seen, directory.identity, way, file)
                if len(oldest) < most:
                    heapq.heappush(oldest, seen)
                else:  # the youngest of them is on top, and goes
                    heapq.heappushpop(oldest, seen)
    return sorted(oldest, reverse=True)


def _note_empty(plan: Plan[R], directory: Directory, limit: float | None) -> None:
    if limit is None or os.fstat(directory.descriptor).st_mtime_ns >= limit:
        return
    with os.scandir(directory.descriptor) as entries:
        if next(entries, None) is None:
            plan.directories.add(directory.identity)


def _choose(plan: Plan[R], oldest: list[_Seen], now: float) -> None:
    """Note what is due: by age, and then the oldest until the rest fits."""
    rule, report = plan.files, plan.report
    left, limit, names = report.matching_bytes, rule.kept_since(now), plan.names.copy()
    for seen in oldest:
        file = seen.file
        too_old = limit is not None and file.modified < limit
        if not too_old and (rule.max_bytes is None or left <= rule.max_bytes):
            break  # sorted by age: all that follow are younger
        plan.due[seen.directory].append(file)
        report.due += 1
        names[file.identity] -= 1
        if names[file.identity] <= 0:  # none of its names is left here
            report.due_bytes += file.taken
            left -= file.taken
        if len(report.examples) < _EXAMPLES:
            report.examples.append(f"{'' if seen.way == '.' else f'{seen.way}/'}{trees.shown(file.name)}")
    report.directories = len(plan.directories)


def refuse_too_much(plan: Plan[R], max_share: float, small: int) -> None:
    """Note in the report why a place is not cleaned up, if more would go than may without being asked."""
    report = plan.report
    if plan.by_age > small and plan.by_age > max_share * report.matching:
        report.refused = (
            f"{plan.by_age:,} of {report.matching:,} files in {trees.shown(plan.files.path)} are past their "
            f"age, more than {100 * max_share:g} %: confirm the number of all that is due"
        )


def delete(plan: Plan[R], stop: Callable[[], bool], *, spare_open: bool) -> None:
    """Delete what is due and still as it was seen; the report says what went."""
    report, troubles = plan.report, Troubles()
    in_use = trees.open_files() if spare_open and report.due else frozenset()
    left = {identity: files for identity, files in plan.due.items() if files}
    report.directories = 0
    if left or plan.directories:
        _second_walk(plan, left, in_use, troubles, stop)
    if report.failed and report.problem is None:
        report.problem = f"{report.failed} files that are due could not be deleted: {troubles.words[0]}"
    report.changed += sum(len(files) for files in left.values())
    report.troubles = [*report.troubles, *troubles.words]


def _second_walk(
    plan: Plan[R],
    left: dict[Identity, list[File]],
    in_use: frozenset[Identity],
    troubles: Troubles,
    stop: Callable[[], bool],
) -> None:
    """Delete what is due as long as there is some left; `left` loses what was reached."""
    report = plan.report
    try:
        with closing(trees.walk(plan.files.path, troubles)) as directories:
            for directory in directories:
                for file in left.pop(directory.identity, []):
                    _delete(directory, file, report, in_use, troubles, stop)
                if plan.directories:
                    _delete_empty(directory, plan, troubles)
                if not left and not plan.directories:
                    break
    except (InvalidInput, OSError) as error:
        report.problem = _said(plan.files.path, error)
        troubles.words.append(report.problem)


def _delete(
    directory: Directory,
    file: File,
    report: Cleaned,
    in_use: frozenset[Identity],
    troubles: Troubles,
    stop: Callable[[], bool],
) -> None:
    if stop():
        raise Stopped
    if file.identity in in_use:
        report.open += 1
        return
    try:
        gone = directory.remove(file)
    except OSError as error:
        report.failed += 1
        troubles.add(trees.shown(file.name), str(error.strerror))
        return
    report.deleted += gone
    report.changed += not gone
    if gone and file.links == 1:  # what has another name frees nothing
        report.freed_bytes += file.taken


def _delete_empty(directory: Directory, plan: Plan[R], troubles: Troubles) -> None:
    """Remove directories below an open one that were empty: the kernel removes only those that still are."""
    with os.scandir(directory.descriptor) as entries:
        names = [entry.name for entry in entries if entry.is_dir(follow_symlinks=False)]
    for name in names:
        try:
            status = os.stat(name, dir_fd=directory.descriptor, follow_symlinks=False)
            if (status.st_dev, status.st_ino) not in plan.directories:
                continue
            plan.directories.discard((status.st_dev, status.st_ino))
            os.rmdir(name, dir_fd=directory.descriptor)
        except FileNotFoundError:
            continue
        except OSError as error:
            troubles.add(trees.shown(name), str(error.strerror))
        else:
            plan.report.directories += 1


def _said(path: str, error: InvalidInput | OSError) -> str:
    """Return why a place could not be walked; an `InvalidInput` names the path itself."""
    reason = getattr(error, "strerror", None)
    return f"{trees.shown(path)}: {reason}" if reason else str(error)


async def in_thread(work: Callable[[Callable[[], bool]], T]) -> T:
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
    except Stopped:
        return None
