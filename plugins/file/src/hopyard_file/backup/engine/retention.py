"""Which snapshots are kept: the latest, and the last of each of so many days, weeks, months and years."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta, tzinfo
from typing import Final

from hopyard_file.backup.engine.manifest import Snapshot

#: Clocks of several machines may differ by so much.
_CLOCKS_DIFFER: Final = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Keep:
    """How many are kept of each kind; one snapshot may count for several."""

    last: int = 7
    daily: int = 7
    weekly: int = 5
    monthly: int = 12
    yearly: int = 0

    def kinds(self, zone: tzinfo) -> list[tuple[str, int, Callable[[datetime], tuple[int, ...]]]]:
        """Return each kind with its number, and to which day, week … of `zone` a time belongs."""

        def local(at: datetime) -> datetime:
            return at.astimezone(zone)

        return [
            ("daily", self.daily, lambda at: (local(at).toordinal(),)),
            ("weekly", self.weekly, lambda at: local(at).isocalendar()[:2]),
            ("monthly", self.monthly, lambda at: (local(at).year, local(at).month)),
            ("yearly", self.yearly, lambda at: (local(at).year,)),
        ]


def kept(
    snapshots: Iterable[Snapshot],
    keep: Keep,
    zone: tzinfo,
    damaged: Collection[str] = (),
    lost: Collection[str] = (),
) -> dict[str, list[str]]:
    """Return the ids of snapshots that are kept, each with the reasons.

    Each source is looked at by itself. Damaged ones, and those of a clock that was ahead (see `misdated`),
    count for nothing: each stays beside the others as long as it would if it alone were added to those, since
    what is whole in it may be all that there is. So damage never has a snapshot removed that would stay
    without it, but for `lost` ones, damaged so that nothing of them can be restored. The last one of each
    source without known damage always stays, and where there is none, all.
    """
    by_source: dict[str, list[Snapshot]] = defaultdict(list)
    for one in snapshots:
        by_source[one.source].append(one)
    found: dict[str, list[str]] = {}
    for ones in by_source.values():
        if any(one.id not in damaged for one in ones):
            ones = [one for one in ones if one.id not in lost]
        found |= _kept_of_source(sorted(ones, key=Snapshot.age, reverse=True), keep, zone, damaged)
    return found


def _kept_of_source(
    newest_first: list[Snapshot], keep: Keep, zone: tzinfo, damaged: Collection[str]
) -> dict[str, list[str]]:
    reasons: dict[str, list[str]] = defaultdict(list)
    ahead = dict.fromkeys(misdated(newest_first), "its clock was ahead")
    beside = ahead | dict.fromkeys(damaged, "damaged")
    good = [one for one in newest_first if one.id not in damaged]
    for one in good[:1]:
        reasons[one.id].append("the last good one")
    counted = 0
    for one in newest_first:
        if counted < keep.last:
            reasons[one.id].append(_reason("last", beside.get(one.id)))
        counted += one.id not in beside
    for kind, number, period in keep.kinds(zone):
        seen: set[tuple[int, ...]] = set()
        for one in newest_first:
            of = period(one.started)
            if of not in seen and len(seen) < number:
                reasons[one.id].append(_reason(kind, beside.get(one.id)))
                if one.id not in beside:
                    seen.add(of)
    if not good:
        for one in newest_first:
            reasons[one.id].append("no other is whole")
    return dict(reasons)


def _reason(kind: str, beside: str | None) -> str:
    return kind if beside is None else f"{kind}, beside the others: {beside}"


def misdated(newest_first: Iterable[Snapshot]) -> set[str]:
    """Return the ids of snapshots of one source whose times lie behind that of one which was made later."""
    found: set[str] = set()
    earliest: datetime | None = None
    for one in newest_first:
        if earliest is not None and one.started > earliest + _CLOCKS_DIFFER:
            found.add(one.id)
        else:
            earliest = one.started if earliest is None else min(earliest, one.started)
    return found
