"""Recurrences of a day or less, as wall times: which days, and which times of each.

dateutil steps from one period to the next, 86,400 of them a day, and never comes back from a rule that can
not come true. Here dateutil says which days a rule's parts allow; the times of a day are known beforehand, so
that the next one is looked up. The longest search is that of the days of four centuries.
"""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from functools import lru_cache
from itertools import product
from math import gcd

SIZES = {"DAILY": 86400, "HOURLY": 3600, "MINUTELY": 60, "SECONDLY": 1}
"""Seconds of a period, by frequency."""
DAY_PARTS = ("WKST", "BYMONTH", "BYMONTHDAY", "BYYEARDAY", "BYWEEKNO", "BYDAY")

Days = Callable[[datetime], Iterable[datetime]]
"""Gives the days that a rule's parts allow, in order, from a day on."""


def walls(parts: Mapping[str, str], start: datetime, wall: datetime, days: Days) -> Iterator[datetime]:
    """Yield the wall times of the rule that starts at `start`, in order, those strictly after `wall`."""
    shape = _shape(tuple(parts.items()), start.time())
    wall = max(wall, start - timedelta(seconds=1))
    if not shape.offsets or not shape.reachable(start):
        return
    for day in days(wall.replace(hour=0, minute=0, second=0, microsecond=0)):
        phase = shape.phase(day.date(), start)
        first = (wall - day) // timedelta(seconds=shape.size) if wall > day else 0
        for period in shape.periods(phase, first):
            for offset in shape.offsets:
                found = day + timedelta(seconds=period * shape.size + offset)
                if found > wall:
                    yield found


@dataclass(frozen=True, slots=True)
class _Shape:
    """What a rule makes of any day."""

    size: int
    """Seconds of a period."""
    interval: int
    offsets: tuple[int, ...]
    """When something is due within each period, in seconds."""
    keys: array[int]
    """The periods of a day that the parts allow: `phase * 86400 + number`, sorted."""

    def reachable(self, start: datetime) -> bool:
        """Return False where no day ever has an allowed period of the right phase."""
        common = gcd(86400 // self.size, self.interval)
        begun = self.phase(start.date(), start) % common
        return any(key // 86400 % common == begun for key in self.keys)

    def phase(self, day: date, start: datetime) -> int:
        """Return the phase of those periods of `day` that are whole intervals away from the rule's start."""
        begun = (start.hour * 3600 + start.minute * 60 + start.second) // self.size
        return (begun - (day - start.date()).days * (86400 // self.size)) % self.interval

    def periods(self, phase: int, first: int) -> Iterator[int]:
        """Yield the numbers of a day's periods of this phase, from `first` on."""
        for place in range(bisect_right(self.keys, phase * 86400 + first - 1), len(self.keys)):
            found, number = divmod(self.keys[place], 86400)
            if found != phase:
                return
            yield number


@lru_cache(maxsize=32)
def _shape(parts: tuple[tuple[str, str], ...], start: time) -> _Shape:
    named = dict(parts)
    size, interval = SIZES[named["FREQ"]], int(named.get("INTERVAL", "1"))
    hours = _values(named, "BYHOUR", [start.hour] if size > 3600 else range(24))
    minutes = _values(named, "BYMINUTE", [start.minute] if size > 60 else range(60))
    seconds = _values(named, "BYSECOND", [start.second] if size > 1 else range(60))
    times = [hour * 3600 + minute * 60 + second for hour, minute, second in product(hours, minutes, seconds)]
    numbers = sorted({one // size for one in times})
    offsets = _chosen(sorted({one % size for one in times}), named.get("BYSETPOS"))
    return _Shape(size, interval, offsets, array("Q", sorted(n % interval * 86400 + n for n in numbers)))


def _values(parts: Mapping[str, str], name: str, otherwise: Iterable[int]) -> list[int]:
    return sorted({int(value) for value in parts[name].split(",")}) if name in parts else [*otherwise]


def _chosen(offsets: list[int], positions: str | None) -> tuple[int, ...]:
    """Return the offsets at these positions, counted from 1 or, if negative, from the end."""
    if positions is None:
        return tuple(offsets)
    places = {n - 1 if n > 0 else len(offsets) + n for n in map(int, positions.split(","))}
    return tuple(offset for place, offset in enumerate(offsets) if place in places)
