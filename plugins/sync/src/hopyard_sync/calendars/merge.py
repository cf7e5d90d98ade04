"""Merging two sides of a calendar three ways: what each has now, and what both had at the last sync.

Everything here is a function of its arguments. Items are known by their UID; a version by its ETag.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from hopyard.storage import derived_id

from hopyard_sync.calendars import lines
from hopyard_sync.settings.calendars import Conflicts

Side = Literal["a", "b"]


@dataclass(frozen=True, slots=True)
class Version:
    """An item on a side: the name of its resource, its ETag; `text` is None where it is as it was."""

    name: str
    etag: str
    text: str | None = None


@dataclass(frozen=True, slots=True)
class Pair:
    """An item as both sides had it at the last sync."""

    uid: str
    a: Version
    b: Version


@dataclass(frozen=True, slots=True)
class Copy:
    """Write an item to side `to`, over what is there now (`over`), or as a new resource."""

    uid: str
    to: Side
    source: Version
    over: Version | None


@dataclass(frozen=True, slots=True)
class Remove:
    """Delete an item from side `of`."""

    uid: str
    of: Side
    there: Version


@dataclass(frozen=True, slots=True)
class Agree:
    """Both sides say the same: remember it."""

    uid: str
    a: Version
    b: Version


@dataclass(frozen=True, slots=True)
class Forget:
    """Both sides have lost it."""

    uid: str


@dataclass(frozen=True, slots=True)
class Fork:
    """Keep side b's version as an item of its own on both sides, before the copy that replaces it."""

    uid: str
    text: str


Action = Copy | Remove | Agree | Forget | Fork


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be done, in this order, and how many items both sides had changed."""

    actions: list[Action]
    conflicts: int


def plan(
    pairs: Mapping[str, Pair],
    a: Mapping[str, Version],
    b: Mapping[str, Version],
    conflicts: Conflicts,
) -> Plan:
    """Return how both sides come to have the same.

    `a` and `b` have every item of their sides. Where both changed an item and now say the same, nothing is
    written: so an earlier run that died between writing and remembering is gone on with. A deletion on one
    side and a change on the other are settled by the policy, too: `newest` and `both` keep the change, since
    nobody knows when the deletion was.
    """
    actions: list[Action] = []
    clashes = 0
    for uid in sorted({*pairs, *a, *b}):
        found, clash = _one(uid, pairs.get(uid), a.get(uid), b.get(uid), conflicts)
        actions += found
        clashes += clash
    return Plan(actions, clashes)


def _one(
    uid: str, pair: Pair | None, a: Version | None, b: Version | None, policy: Conflicts
) -> tuple[list[Action], bool]:
    a_changed = _changed(a, pair.a if pair else None)
    b_changed = _changed(b, pair.b if pair else None)
    if a is None and b is None:
        return [Forget(uid)], False
    if not a_changed and not b_changed:
        return [], False
    if a_changed and b_changed:
        return _both(uid, a, b, policy)
    if a_changed:
        return [_carry(uid, "b", a, b)], False
    return [_carry(uid, "a", b, a)], False


def _changed(now: Version | None, before: Version | None) -> bool:
    if now is None or before is None:
        return now is not before
    return now.etag != before.etag or now.name != before.name


def _carry(uid: str, to: Side, source: Version | None, there: Version | None) -> Action:
    """Bring a change of one side to the other, which has not changed."""
    if source is not None:
        return Copy(uid, to, source, there)
    return Forget(uid) if there is None else Remove(uid, to, there)


def _both(uid: str, a: Version | None, b: Version | None, policy: Conflicts) -> tuple[list[Action], bool]:
    if a is None or b is None:
        return [_change_or_deletion(uid, a, b, policy)], True
    if lines.fingerprint(_text(a)) == lines.fingerprint(_text(b)):
        return [Agree(uid, a, b)], False
    if policy == "both":
        return [Fork(forked(uid, _text(b)), _text(b)), Copy(uid, "b", a, b)], True
    if policy == "b" or (policy == "newest" and lines.modified(_text(b)) > lines.modified(_text(a))):
        return [Copy(uid, "a", b, a)], True
    return [Copy(uid, "b", a, b)], True


def _change_or_deletion(uid: str, a: Version | None, b: Version | None, policy: Conflicts) -> Action:
    if policy == "a":
        return _carry(uid, "b", a, b)
    if policy == "b":
        return _carry(uid, "a", b, a)
    return _carry(uid, "b", a, b) if a is not None else _carry(uid, "a", b, a)


def forked(uid: str, text: str) -> str:
    """Return the UID of a version that is kept beside another: the same for the same version."""
    return derived_id("sync.fork", uid, lines.fingerprint(text))


def _text(version: Version) -> str:
    assert version.text is not None  # noqa: S101 - the texts of all changed items were read
    return version.text


def removals(made: Plan) -> Mapping[Side, int]:
    """Return how many items a plan deletes, by side."""
    sides = [one.of for one in made.actions if isinstance(one, Remove)]
    return {"a": sides.count("a"), "b": sides.count("b")}
