"""Old files of declared places: which are due, whether that many may go, and deleting them.

Two walks: the first only looks, and nothing is deleted before it is known how much it would be. The second
deletes what is still what the first has seen.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Final, NamedTuple

from hopyard.errors import InvalidInput

from hopyard_maintenance import trees
from hopyard_maintenance.models import PlaceCleanup
from hopyard_maintenance.settings import FilePlace
from hopyard_maintenance.trees import Directory, File, Identity, Troubles

_EXAMPLES: Final = 10
_DAY_NS: Final = 86_400 * 10**9


class Stopped(BaseException):
    """The job is to stop: raised in the thread that does the work, and seen by nobody else."""


class _Seen(NamedTuple):
    directory: Identity
    file: File


@dataclass
class Plan:
    """What is due in a place, found by looking alone."""

    place: FilePlace
    report: PlaceCleanup
    due: dict[Identity, list[File]] = field(default_factory=lambda: defaultdict(list))
    """By directory."""
    ways: dict[Identity, str] = field(default_factory=dict)
    """How directories are called."""
    by_age: int = 0
    """How many of them are due by their age: the rule of size leaves `max_bytes` in any case."""


def look(place: FilePlace, now: float, most: int, stop: Callable[[], bool]) -> Plan:
    """Return what is due in a place at `now` (seconds since 1970), of at most `most` files."""
    plan = Plan(place, PlaceCleanup(path=place.path))
    troubles = Troubles()
    try:
        matching = _survey(plan, most, troubles, stop)
    except (InvalidInput, OSError) as error:
        troubles.add(trees.shown(place.path), getattr(error, "strerror", None) or str(error))
        matching = []
    _choose(plan, matching, now)
    plan.report.troubles = troubles.words
    return plan


def _survey(plan: Plan, most: int, troubles: Troubles, stop: Callable[[], bool]) -> list[_Seen]:
    place, report, matching = plan.place, plan.report, list[_Seen]()
    with closing(trees.walk(place.path, troubles)) as directories:
        for directory in directories:
            for file in directory.files():
                if stop():
                    raise Stopped
                if report.seen >= most:
                    report.more = True
                    return matching
                report.seen += 1
                if any(fnmatchcase(file.name, pattern) for pattern in place.patterns):
                    matching.append(_Seen(directory.identity, file))
                    if directory.identity not in plan.ways:
                        plan.ways[directory.identity] = directory.shown
    return matching


def _choose(plan: Plan, matching: list[_Seen], now: float) -> None:
    """Note what is due: by age, and then the oldest until the rest fits."""
    place, report = plan.place, plan.report
    matching.sort(key=lambda seen: seen.file.modified)
    report.matching = len(matching)
    report.matching_bytes = left = sum(seen.file.size for seen in matching)
    oldest_kept = None if place.days is None else now * 1e9 - place.days * _DAY_NS
    for seen in matching:
        too_old = oldest_kept is not None and seen.file.modified < oldest_kept
        if not too_old and (place.max_bytes is None or left <= place.max_bytes):
            break  # sorted by age: all that follow are younger
        plan.due[seen.directory].append(seen.file)
        plan.by_age += too_old
        report.due += 1
        report.due_bytes += seen.file.size
        left -= seen.file.size
        if len(report.examples) < _EXAMPLES:
            way = plan.ways[seen.directory]
            report.examples.append(f"{'' if way == '.' else f'{way}/'}{trees.shown(seen.file.name)}")


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
            troubles.add(trees.shown(report.path), getattr(error, "strerror", None) or str(error))
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
            troubles.add(trees.shown(file.name), str(error.strerror))
            continue
        report.deleted += gone
        report.changed += not gone
        if gone and file.links == 1:  # what has another name frees nothing
            report.freed_bytes += file.size
