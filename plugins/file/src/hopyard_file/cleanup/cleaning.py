"""Old files of a place: which are due, whether that many may go, and deleting them.

Two walks by open directories (`hopyard.trees`), never by paths: the first only looks, and nothing is deleted
before it is known how much it would be. The second deletes what is still what the first has seen.
"""

from __future__ import annotations

import heapq
import os
from collections import Counter, defaultdict
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Final, NamedTuple

from hopyard import trees
from hopyard.errors import InvalidInput
from hopyard.trees import Directory, File, Identity, Troubles

from hopyard_file.cleanup.models import TempCleanup
from hopyard_file.cleanup.settings import TempPlace

_EXAMPLES: Final = 10
_HOUR_NS: Final = 3_600 * 10**9


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
class Plan:
    """What is due in a place, found by looking alone."""

    place: TempPlace
    path: str
    report: TempCleanup
    due: dict[Identity, list[File]] = field(default_factory=lambda: defaultdict(list))
    """By directory."""
    directories: set[Identity] = field(default_factory=set)
    """Directories that were empty and old."""
    by_age: int = 0
    """How many files are past their age: the rule of size leaves `max_bytes` in any case."""
    names: Counter[Identity] = field(default_factory=Counter)
    """Of files with hard links: how many names each has here."""


def look(place: TempPlace, path: str, now: float, most: int, stop: Callable[[], bool]) -> Plan:
    """Return what is due at `now` (seconds since 1970) in the directory `path`, at most the `most` oldest."""
    plan = Plan(place, path, TempCleanup(place=place.name))
    troubles = Troubles()
    try:
        oldest = _survey(plan, now, most, troubles, stop)
    except (InvalidInput, OSError) as error:
        plan.report.problem = _said(path, error)
        oldest = []
    _choose(plan, oldest, now)
    plan.report.more = plan.report.due == most < plan.report.matching
    plan.report.troubles = troubles.words
    return plan


def _survey(plan: Plan, now: float, most: int, troubles: Troubles, stop: Callable[[], bool]) -> list[_Seen]:
    """Count all files that match, and return the `most` oldest, the oldest first."""
    place, report, oldest = plan.place, plan.report, list[_Seen]()
    limit = _oldest_kept(place, now)
    with closing(trees.walk(plan.path, troubles)) as directories:
        for directory in directories:
            way = directory.shown
            if place.empty_directories and len(directory.levels) > 1:
                _note_empty(plan, directory, limit)
            for file in directory.files():
                if stop():
                    raise Stopped
                report.seen += 1
                if not any(fnmatchcase(file.name, pattern) for pattern in place.patterns):
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


def _note_empty(plan: Plan, directory: Directory, limit: float | None) -> None:
    if limit is None or os.fstat(directory.descriptor).st_mtime_ns >= limit:
        return
    with os.scandir(directory.descriptor) as entries:
        if next(entries, None) is None:
            plan.directories.add(directory.identity)


def _oldest_kept(place: TempPlace, now: float) -> float | None:
    return None if place.hours is None else now * 1e9 - place.hours * _HOUR_NS


def _choose(plan: Plan, oldest: list[_Seen], now: float) -> None:
    """Note what is due: by age, and then the oldest until the rest fits."""
    place, report = plan.place, plan.report
    left, limit, names = report.matching_bytes, _oldest_kept(place, now), plan.names.copy()
    for seen in oldest:
        file = seen.file
        too_old = limit is not None and file.modified < limit
        if not too_old and (place.max_bytes is None or left <= place.max_bytes):
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


def refuse_too_much(plan: Plan, max_share: float, small: int) -> None:
    """Note in the report why a place is not cleaned up, if more would go than may without being asked."""
    report = plan.report
    if plan.by_age > small and plan.by_age > max_share * report.matching:
        report.refused = (
            f"{plan.by_age:,} of {report.matching:,} files in {report.place} are past their age, more than "
            f"{100 * max_share:g} %: confirm the number of all that is due"
        )


def delete(plan: Plan, stop: Callable[[], bool], *, spare_open: bool) -> None:
    """Delete what is due and still as it was seen; the report says what went."""
    report, troubles = plan.report, Troubles()
    in_use = trees.open_files() if spare_open and report.due else frozenset()
    left = {identity: files for identity, files in plan.due.items() if files}
    report.directories = 0
    try:
        with closing(trees.walk(plan.path, troubles)) as directories:
            for directory in directories:
                for file in left.pop(directory.identity, []):
                    _delete(directory, file, report, in_use, troubles, stop)
                if plan.directories:
                    _delete_empty(directory, plan, troubles)
                if not left and not plan.directories:
                    break
    except (InvalidInput, OSError) as error:
        report.problem = _said(plan.path, error)
    if report.failed and report.problem is None:
        report.problem = f"{report.failed} files that are due could not be deleted: {troubles.words[0]}"
    report.changed += sum(len(files) for files in left.values())
    report.troubles = [*report.troubles, *troubles.words]


def _delete(
    directory: Directory,
    file: File,
    report: TempCleanup,
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


def _delete_empty(directory: Directory, plan: Plan, troubles: Troubles) -> None:
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
