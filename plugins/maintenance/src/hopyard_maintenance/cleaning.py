"""Old files of declared places: which are due, whether that many may go, and deleting them.

Two walks: the first only looks, and nothing is deleted before it is known how much it would be. The second
deletes what is still what the first has seen.
"""

from __future__ import annotations

import heapq
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Final, NamedTuple

from hopyard import trees
from hopyard.errors import InvalidInput
from hopyard.trees import Directory, File, Identity, Troubles

from hopyard_maintenance.models import PlaceCleanup
from hopyard_maintenance.settings import FilePlace

_EXAMPLES: Final = 10
_DAY_NS: Final = 86_400 * 10**9


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
    """How its directory is called."""
    file: File


@dataclass
class Plan:
    """What is due in a place, found by looking alone."""

    place: FilePlace
    report: PlaceCleanup
    due: dict[Identity, list[File]] = field(default_factory=lambda: defaultdict(list))
    """By directory."""
    by_age: int = 0
    """How many files are past their age: the rule of size leaves `max_bytes` in any case."""
    names: Counter[Identity] = field(default_factory=Counter)
    """Of files with hard links: how many names each has in this place."""


def look(place: FilePlace, now: float, most: int, stop: Callable[[], bool]) -> Plan:
    """Return what is due in a place at `now` (seconds since 1970), at most the `most` oldest."""
    plan = Plan(place, PlaceCleanup(path=place.path))
    troubles = Troubles()
    try:
        matching = _survey(plan, now, most, troubles, stop)
    except (InvalidInput, OSError) as error:
        plan.report.problem = _said(place.path, error)
        troubles.words.append(plan.report.problem)
        matching = []
    _choose(plan, matching, now)
    plan.report.more = plan.report.due == most < plan.report.matching
    plan.report.troubles = troubles.words
    return plan


def _survey(plan: Plan, now: float, most: int, troubles: Troubles, stop: Callable[[], bool]) -> list[_Seen]:
    """Count all files that match, and return the `most` oldest, the oldest first."""
    place, report, oldest = plan.place, plan.report, list[_Seen]()
    limit = _oldest_kept(place, now)
    with closing(trees.walk(place.path, troubles)) as directories:
        for seen in _matching(plan, directories, stop):
            file = seen.file
            report.matching += 1
            plan.by_age += limit is not None and file.modified < limit
            plan.names[file.identity] += file.links > 1
            if file.links == 1 or plan.names[file.identity] == 1:
                report.matching_bytes += file.taken
            if len(oldest) < most:
                heapq.heappush(oldest, seen)
            else:  # the youngest of them is on top, and goes
                heapq.heappushpop(oldest, seen)
    return sorted(oldest, reverse=True)


def _matching(plan: Plan, directories: Iterator[Directory], stop: Callable[[], bool]) -> Iterator[_Seen]:
    for directory in directories:
        way = directory.shown
        for file in directory.files():
            if stop():
                raise Stopped
            plan.report.seen += 1
            if any(fnmatchcase(file.name, pattern) for pattern in plan.place.patterns):
                yield _Seen(-file.modified, plan.report.seen, directory.identity, way, file)


def _oldest_kept(place: FilePlace, now: float) -> float | None:
    return None if place.days is None else now * 1e9 - place.days * _DAY_NS


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


def _said(path: str, error: InvalidInput | OSError) -> str:
    """Return why a place could not be walked; an `InvalidInput` names the path itself."""
    reason = getattr(error, "strerror", None)
    return f"{trees.shown(path)}: {reason}" if reason else str(error)


def refuse_too_much(plan: Plan, max_share: float, small: int) -> None:
    """Note in the report why a place is not cleaned up, if more would go than may without being asked."""
    report = plan.report
    if plan.by_age > small and plan.by_age > max_share * report.matching:
        report.refused = (
            f"{plan.by_age} of {report.matching} files in {trees.shown(report.path)} are past their age, "
            f"more than {100 * max_share:g} %: confirm the number of all that is due"
        )


def delete(plan: Plan, stop: Callable[[], bool], *, spare_open: bool) -> None:
    """Delete what is due and still as it was seen; the report says what went."""
    report, troubles = plan.report, Troubles()
    in_use = trees.open_files() if spare_open and report.due else frozenset()
    left = {identity: files for identity, files in plan.due.items() if files}
    if left:
        try:
            with closing(trees.walk(plan.place.path, troubles)) as directories:
                for directory in directories:
                    _clean(directory, left.pop(directory.identity, []), plan, in_use, troubles, stop)
                    if not left:
                        break
        except (InvalidInput, OSError) as error:
            report.problem = _said(report.path, error)
            troubles.words.append(report.problem)
    if report.failed and report.problem is None:
        report.problem = f"{report.failed} files that are due could not be deleted: {troubles.words[0]}"
    report.changed += sum(len(files) for files in left.values())
    report.troubles = [*report.troubles, *troubles.words]


def _clean(
    directory: Directory,
    files: list[File],
    plan: Plan,
    in_use: frozenset[Identity],
    troubles: Troubles,
    stop: Callable[[], bool],
) -> None:
    report = plan.report
    for file in files:
        if stop():
            raise Stopped
        if file.identity in in_use:
            report.open += 1
            continue
        try:
            gone = directory.remove(file)
        except OSError as error:
            report.failed += 1
            troubles.add(trees.shown(file.name), str(error.strerror))
            continue
        report.deleted += gone
        report.changed += not gone
        if gone and file.links == 1:  # what has another name frees nothing
            report.freed_bytes += file.taken
