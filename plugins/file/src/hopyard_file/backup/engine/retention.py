"""Which snapshots are kept: the latest, and the last of each of so many days, weeks, months and years."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from datetime import datetime, tzinfo

from hopyard_file.backup.engine.manifest import Snapshot


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
    snapshots: Iterable[Snapshot], keep: Keep, zone: tzinfo, damaged: Collection[str] = ()
) -> dict[str, list[str]]:
    """Return the ids of snapshots that are kept, each with the reasons.

    Each source is looked at by itself. Damaged ones count for nothing, and are not removed for that: what is
    whole in them may be all that there is. The last one of each source without known damage always stays.
    """
    by_source: dict[str, list[Snapshot]] = defaultdict(list)
    for one in snapshots:
        by_source[one.source].append(one)
    found: dict[str, list[str]] = {}
    for ones in by_source.values():
        found |= _kept_of_source(sorted(ones, key=_age, reverse=True), keep, zone, damaged)
    return found


def _kept_of_source(
    newest_first: list[Snapshot], keep: Keep, zone: tzinfo, damaged: Collection[str]
) -> dict[str, list[str]]:
    reasons: dict[str, list[str]] = defaultdict(list)
    good = [one for one in newest_first if one.id not in damaged]
    for one in good[:1]:
        reasons[one.id].append("the last good one")
    for one in good[: keep.last]:
        reasons[one.id].append("last")
    for kind, number, period in keep.kinds(zone):
        seen: set[tuple[int, ...]] = set()
        for one in good:
            of = period(one.started)
            if of not in seen and len(seen) < number:
                seen.add(of)
                reasons[one.id].append(kind)
    if not good:
        for one in newest_first:
            reasons[one.id].append("no other is whole")
    return dict(reasons)


def _age(one: Snapshot) -> tuple[datetime, str]:
    return one.started, one.id
