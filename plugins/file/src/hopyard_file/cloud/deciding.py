"""What is to be done about each file, by what both sides had at the last sync and have now. Only thinking."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Final

from hopyard_file.cloud.settings import Direction
from hopyard_file.cloud.sides import Here, There

#: So many may be deleted whatever their share is, while at least half of the files stay.
FEW: Final = 5


@dataclass(frozen=True, slots=True)
class Known:
    """What both sides had of a file when they were last equal: `here` and `there` are their stamps."""

    size: int
    sha256: str
    here: str
    there: str


class Action(Enum):
    """What is done about a file."""

    UP = "upload"
    DOWN = "download"
    COMPARE = "compare"
    DELETE_HERE = "delete here"
    DELETE_THERE = "delete there"
    FORGET = "forget"


DELETIONS: Final = frozenset({Action.DELETE_HERE, Action.DELETE_THERE})


class Change(Enum):
    """What became of a file on one side since the last sync."""

    SAME = "same"
    CHANGED = "changed"
    GONE = "gone"


@dataclass(frozen=True, slots=True)
class Step:
    """One file, and what is done about it."""

    path: str
    action: Action
    known: Known | None
    here: Here | None
    there: There | None


@dataclass(slots=True)
class Plan:
    """All that a run would do."""

    steps: list[Step] = field(default_factory=list)
    unchanged: int = 0
    left: int = 0
    """Differences that stay, because they would have to travel the other way."""
    waiting: dict[str, str] = field(default_factory=dict)
    """Paths in whose way another stands that is to be deleted, and why."""

    def deletions(self) -> int:
        """Return how many files would be deleted."""
        return sum(step.action in DELETIONS for step in self.steps)


def decide(direction: Direction, here: Change | None, there: Change | None) -> Action | None:
    """Return what is done about a file that was synced before; None: nothing.

    A change wins over a deletion. What would have to travel the other way is left as it is.
    """
    up, down = direction in ("up", "both"), direction in ("down", "both")
    match here, there:
        case Change.GONE, Change.GONE:
            return Action.FORGET
        case Change.CHANGED, Change.CHANGED:
            return Action.COMPARE
        case Change.CHANGED, _ if up:
            return Action.UP
        case _, Change.CHANGED if down:
            return Action.DOWN
        case Change.GONE, Change.SAME if up:
            return Action.DELETE_THERE
        case Change.SAME, Change.GONE if down:
            return Action.DELETE_HERE
    return None


def decide_new(direction: Direction, *, here: bool, there: bool) -> Action | None:
    """Return what is done about a file that was never synced: a deletion is never seen in it."""
    if here and there:
        return Action.COMPARE
    if here and direction in ("up", "both"):
        return Action.UP
    if there and direction in ("down", "both"):
        return Action.DOWN
    return None


def plan(
    direction: Direction, known: Mapping[str, Known], here: Mapping[str, Here], there: Mapping[str, There]
) -> Plan:
    """Return what a run would do. The three mappings hold only paths that count."""
    made = Plan()
    for path in _paths(known, here, there):
        at_last, ours, theirs = known.get(path), here.get(path), there.get(path)
        if at_last is None:
            action = decide_new(direction, here=ours is not None, there=theirs is not None)
        else:
            changes = (_change(ours, at_last.here), _change(theirs, at_last.there))
            if changes == (Change.SAME, Change.SAME):
                made.unchanged += 1
                continue
            action = decide(direction, *changes)
        if action is None:
            made.left += 1
        else:
            made.steps.append(Step(path, action, at_last, ours, theirs))
    return made


def _change(now: Here | There | None, stamp: str) -> Change:
    if now is None:
        return Change.GONE
    return Change.SAME if now.stamp == stamp else Change.CHANGED


def _paths(*mappings: Mapping[str, object]) -> Iterator[str]:
    yield from sorted(set().union(*mappings))


def too_many(deletions: int, known: int, share: float) -> bool:
    """Say whether so many deletions of so many files are a question for people.

    One is none, up to five are none while at least half of the files stay, and more are none up to a share.
    To delete all is always one.
    """
    if deletions == 0:
        return False
    if deletions >= known:
        return True
    few = deletions == 1 or (deletions <= FEW and 2 * deletions <= known)
    return not few and deletions > share * known
