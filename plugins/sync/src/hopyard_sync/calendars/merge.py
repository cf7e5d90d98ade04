"""Merging two sides of a calendar three ways: what each has now, and what both had at the last sync.

Everything here is a function of its arguments. Items are known by their UID; a version by its ETag.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Literal

from hopyard.storage import derived_id

from hopyard_sync.calendars.lines import Content
from hopyard_sync.settings.calendars import Conflicts

Side = Literal["a", "b"]


@dataclass(frozen=True, slots=True)
class Version:
    """An item on a side: the name of its resource and its ETag.

    `text` and `content`, what it says, are None where it is as it was, and so has not been read.
    """

    name: str
    etag: str
    text: str | None = None
    content: Content | None = None


@dataclass(frozen=True, slots=True)
class Pair:
    """An item as both sides had it at the last sync; `mark` is what both said, None if that is not known."""

    uid: str
    a: Version
    b: Version
    mark: str | None = None


@dataclass(frozen=True, slots=True)
class Copy:
    """Write an item to side `to`, over what is there now (`over`), or as a new resource.

    `clash`: both sides had changed it.
    """

    uid: str
    to: Side
    source: Version
    over: Version | None
    clash: bool = False


@dataclass(frozen=True, slots=True)
class Remove:
    """Delete an item from side `of`."""

    uid: str
    of: Side
    there: Version
    clash: bool = False


@dataclass(frozen=True, slots=True)
class Agree:
    """Both sides say the same: remember it."""

    uid: str
    a: Version
    b: Version
    mark: str | None


@dataclass(frozen=True, slots=True)
class Forget:
    """Both sides have lost it."""

    uid: str


@dataclass(frozen=True, slots=True)
class Fork:
    """Keep a version as an item of its own (`kept`) on both sides. Once it is there, it may be replaced."""

    uid: str
    kept: str
    text: str


@dataclass(frozen=True, slots=True)
class Wait:
    """Do nothing before another look: the version that is kept beside is on one side only as yet."""

    uid: str


Action = Copy | Remove | Agree | Forget | Fork | Wait


def plan(
    pairs: Mapping[str, Pair],
    a: Mapping[str, Version],
    b: Mapping[str, Version],
    conflicts: Conflicts,
    held: Collection[str] = (),
) -> list[Action]:
    """Return how both sides come to have the same.

    `a` and `b` have every item of their sides, but for those `held`, of which nobody knows what became: they
    stay as they are on both. Where both changed an item and now say the same, nothing is written: so an
    earlier run that died between writing and remembering is gone on with. A deletion on one side and a change
    on the other are settled by the policy, too: `newest` and `both` keep the change, since nobody knows when
    the deletion was.
    """
    return [
        action
        for uid in sorted({*pairs, *a, *b} - {*held})
        if (action := _one(uid, pairs.get(uid), a, b, conflicts)) is not None
    ]


def _one(
    uid: str,
    pair: Pair | None,
    all_a: Mapping[str, Version],
    all_b: Mapping[str, Version],
    policy: Conflicts,
) -> Action | None:
    a, b = all_a.get(uid), all_b.get(uid)
    mark = pair.mark if pair else None
    a_changed = _changed(a, pair.a if pair else None, mark)
    b_changed = _changed(b, pair.b if pair else None, mark)
    if a is None and b is None:
        return Forget(uid)
    if a_changed and b_changed:
        if a is None or b is None:
            return _change_or_deletion(uid, a, b, policy)
        return _both(uid, a, b, policy, all_a, all_b)
    if a_changed:
        return _carry(uid, "b", a, b)
    if b_changed:
        return _carry(uid, "a", b, a)
    known = pair is not None and a is not None and b is not None and _same(a, pair.a) and _same(b, pair.b)
    return None if known or a is None or b is None else Agree(uid, a, b, mark)


def _changed(now: Version | None, before: Version | None, mark: str | None) -> bool:
    """Say whether an item says something else than before, which a new ETag alone does not mean."""
    if now is None or before is None:
        return now is not before
    if _same(now, before):
        return False
    return mark is None or now.content is None or now.content.mark != mark


def _same(now: Version, before: Version) -> bool:
    return now.etag == before.etag and now.name == before.name


def _carry(uid: str, to: Side, source: Version | None, there: Version | None, clash: bool = False) -> Action:
    """Bring a change of one side to the other, which has not changed."""
    if source is not None:
        return Copy(uid, to, source, there, clash)
    return Forget(uid) if there is None else Remove(uid, to, there, clash)


def _both(
    uid: str,
    a: Version,
    b: Version,
    policy: Conflicts,
    all_a: Mapping[str, Version],
    all_b: Mapping[str, Version],
) -> Action:
    ours, theirs = _content(a), _content(b)
    if ours.mark == theirs.mark:
        return Agree(uid, a, b, ours.mark)
    if policy == "both":
        kept = forked(uid, theirs.mark)
        if kept not in all_a and kept not in all_b:
            return Fork(uid, kept, b.text or "")
        if kept not in all_a or kept not in all_b:
            return Wait(uid)
    elif policy == "b" or (policy == "newest" and theirs.modified > ours.modified):
        return Copy(uid, "a", b, a, clash=True)
    return Copy(uid, "b", a, b, clash=True)


def _change_or_deletion(uid: str, a: Version | None, b: Version | None, policy: Conflicts) -> Action:
    if policy == "a" or (policy != "b" and a is not None):
        return _carry(uid, "b", a, b, clash=True)
    return _carry(uid, "a", b, a, clash=True)


def forked(uid: str, mark: str) -> str:
    """Return the UID of a version that is kept beside another: the same for the same version."""
    return derived_id("sync.fork", uid, mark)


def _content(version: Version) -> Content:
    assert version.content is not None  # noqa: S101 - all changed items were read
    return version.content
