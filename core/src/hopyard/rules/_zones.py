"""Wall times of a zone as moments in UTC, also on the days when clocks change.

A wall time that does not exist that day stands for the first moment after the gap. A wall time that
occurs twice stands for its first occurrence; `next_due(..., both=True)` counts the second one too.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo, available_timezones

from hopyard.checks import nearest, shown
from hopyard.errors import ScheduleError

Walls = Callable[[datetime], datetime | None]
"""Gives the next wall time (naive) strictly after a wall time, None if there is none."""

_DAY = timedelta(days=1)


def zone_of(name: str | None) -> ZoneInfo:
    """Return the zone; None is UTC. Raises ScheduleError with the nearest name if there is no such zone."""
    try:
        return ZoneInfo("UTC" if name is None else name)
    except (KeyError, ValueError, OSError, TypeError) as error:  # OSError for a folder such as `Europe`
        close = nearest(str(name), available_timezones())
        hint = f"; did you mean {close!r}?" if close else ""
        expected = "an IANA time zone such as Europe/Berlin"
        raise ScheduleError(
            f"zone: found {shown(name)}, expected {expected}{hint}", expected=expected, nearest=close
        ) from error


def local(moment: datetime, zone: ZoneInfo) -> datetime:
    """Return the wall time (naive) of `moment`."""
    return moment.astimezone(zone).replace(tzinfo=None)


def moment_of(wall: datetime, zone: ZoneInfo) -> datetime:
    """Return the moment in UTC at which `wall` (naive) falls due for the first time."""
    first = wall.replace(tzinfo=zone, fold=0).astimezone(UTC)
    if local(first, zone) == wall:
        return first
    # In a gap fold=1 gives a moment before the change and fold=0 one after it.
    before = wall.replace(tzinfo=zone, fold=1).astimezone(UTC)
    return _change(before, first, zone) or first


def next_due(after: datetime, zone: ZoneInfo, walls: Walls, *, both: bool) -> datetime | None:
    """Return the first moment (UTC) strictly after `after` that belongs to a wall time of `walls`."""
    return _next_of_both(after, zone, walls) if both else _next_of_first(after, zone, walls)


def _next_of_first(after: datetime, zone: ZoneInfo, walls: Walls) -> datetime | None:
    wall = walls(local(after, zone))
    while wall is not None:
        due = moment_of(wall, zone)
        if due > after:
            return due
        wall = walls(wall)
    return None


def _next_of_both(after: datetime, zone: ZoneInfo, walls: Walls) -> datetime | None:
    """Go through the stretches of constant offset one by one: in each, wall times are in order.

    A change more than a day ahead cannot bring back a wall time that has passed at `after`.
    """
    at, floor = after, local(after, zone)
    while True:
        wall = walls(floor)
        offset = _offset(at, zone)
        due = (wall - offset).replace(tzinfo=UTC) if wall is not None else None
        change = _change(at, at + _DAY, zone)
        if change is None:
            return due if wall is None or due is None or due <= at + _DAY else moment_of(wall, zone)
        if due is not None and due < change:
            return due
        resumed = local(change, zone)
        if wall is not None and wall < resumed:
            return change
        at, floor = change, resumed - timedelta(seconds=1)


def _offset(moment: datetime, zone: ZoneInfo) -> timedelta:
    return moment.astimezone(zone).utcoffset() or timedelta(0)


def _change(low: datetime, high: datetime, zone: ZoneInfo) -> datetime | None:
    """Return the moment in (low, high] at which the offset changes; None if both ends have the same."""
    offset = _offset(low, zone)
    if _offset(high, zone) == offset:
        return None
    first, last = math.floor(low.timestamp()), math.ceil(high.timestamp())
    while last - first > 1:
        middle = (first + last) // 2
        if _offset(datetime.fromtimestamp(middle, UTC), zone) == offset:
            first = middle
        else:
            last = middle
    return datetime.fromtimestamp(last, UTC)
