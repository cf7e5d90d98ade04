"""Arithmetic of schedules: when a `Rule` falls due. Moments are aware datetimes in UTC.

When clocks change:

* A wall time that does not exist that day is due at the first moment after the gap, once.
* A wall time that occurs twice is due once, the first time. Frequencies within the day go on through
  both: cron rules whose minute or hour field starts with `*`, and RRULEs with FREQ=HOURLY, MINUTELY or
  SECONDLY (except with COUNT, which counts each wall time once).
* `every` counts seconds and does not look at clocks.

Due times of a rule are distinct and in order. A rule without an anchor starts on 1 January 1970 at 00:00
(`every`: in UTC, `rrule`: in the rule's zone); cron and `at` have no use for an anchor.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from hopyard.errors import ScheduleError
from hopyard.schedule import _cron, _rrule
from hopyard.schedule._wording import describe
from hopyard.schedule._zones import local, next_due, zone_of
from hopyard.specs import Rule

__all__ = ["between", "describe", "from_json", "next_after", "to_json", "upcoming", "validate"]

_KINDS = ("every", "cron", "rrule", "at", "after")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LONGEST = 100 * 366 * 86400.0


def validate(rule: Rule) -> None:
    """Raise ScheduleError unless `rule` is one that can fall due."""
    kind = _kind(rule)
    zone_of(rule.zone)
    for name in ("at", "anchor"):
        _check_moment(name, getattr(rule, name))
    if rule.every is not None and not (math.isfinite(rule.every) and 1 <= rule.every <= _LONGEST):
        raise ScheduleError(f"every: found {rule.every!r}, expected seconds, from 1 to {_LONGEST:.0f}")
    if rule.rrule is not None and rule.anchor is None and "COUNT" in _rrule.parse(rule.rrule).parts:
        raise ScheduleError(f"rrule {rule.rrule!r}: COUNT needs an anchor to count from")
    if kind not in ("at", "after") and next_after(rule, _before(rule)) is None:
        raise ScheduleError(f"{kind}: found {getattr(rule, kind)!r}, which never falls due")


def next_after(rule: Rule, after: datetime) -> datetime | None:
    """Return the first due time strictly after `after`, None if there is none. Raises ScheduleError."""
    if after.tzinfo is None:
        raise ScheduleError(f"after: found {after.isoformat()} without a zone, expected an aware datetime")
    _check_moment("anchor", rule.anchor)
    after = after.astimezone(UTC)
    try:
        match _kind(rule):
            case "every":
                return _next_every(rule, after)
            case "cron":
                return _next_cron(rule, after)
            case "rrule":
                return _next_rrule(rule, after)
            case "at":
                return _next_at(rule, after)
            case _:  # another schedule says when
                return None
    except OverflowError:  # beyond the year 9999
        return None


def between(rule: Rule, after: datetime, until: datetime, limit: int) -> list[datetime]:
    """Return the due times in (after, until], at most `limit`, the earliest first."""
    due: list[datetime] = []
    for moment in _due(rule, after):
        if moment > until or len(due) >= limit:
            break
        due.append(moment)
    return due


def last_between(rule: Rule, after: datetime, until: datetime) -> datetime | None:
    """Return the last due time in (after, until], None if there is none."""
    window = timedelta(minutes=1)
    while True:  # backwards in growing steps, so that frequent rules need not be counted through
        start = max(after, until - window)
        found = between(rule, start, until, sys.maxsize)
        if found or start == after:
            return found[-1] if found else None
        window *= 30


def upcoming(rule: Rule, after: datetime, n: int = 5) -> list[datetime]:
    """Return the next `n` due times after `after`; fewer if the rule ends."""
    return between(rule, after, datetime.max.replace(tzinfo=UTC), n)


def to_json(rule: Rule) -> dict[str, Any]:
    """Return the rule as JSON-like values; moments as ISO 8601 text. What is None is left out."""
    values = {name: getattr(rule, name) for name in (*_KINDS, "zone", "anchor")}
    return {
        name: value.isoformat() if isinstance(value, datetime) else value
        for name, value in values.items()
        if value is not None
    }


def from_json(data: Mapping[str, Any]) -> Rule:
    """Return the rule that `to_json` wrote. Raises ScheduleError; does not check what `validate` checks."""
    known = (*_KINDS, "zone", "anchor")
    for name in data:
        if name not in known:
            raise ScheduleError(f"{name}: unknown, expected one of {', '.join(known)}")
    values = {name: _value(name, value) for name, value in data.items() if value is not None}
    return Rule(**values)


def _value(name: str, value: Any) -> Any:
    if name in ("at", "anchor"):
        try:
            return datetime.fromisoformat(value)
        except (TypeError, ValueError) as error:
            raise ScheduleError(f"{name}: found {value!r}, expected ISO 8601 text") from error
    if name == "every":
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise ScheduleError(f"every: found {value!r}, expected seconds")
        return float(value)
    if not isinstance(value, str):
        raise ScheduleError(f"{name}: found {value!r}, expected text")
    return value


def _kind(rule: Rule) -> str:
    given = [name for name in _KINDS if getattr(rule, name) is not None]
    if len(given) != 1:
        found = " and ".join(given) or "none"
        raise ScheduleError(f"rule: found {found}, expected exactly one of {', '.join(_KINDS)}")
    return given[0]


def _check_moment(name: str, moment: datetime | None) -> None:
    if moment is None:
        return
    if moment.tzinfo is None:
        raise ScheduleError(f"{name}: found {moment.isoformat()}, expected a datetime with its zone")
    if not 1900 <= moment.year <= 9000:
        raise ScheduleError(f"{name}: found {moment.isoformat()}, expected a year from 1900 to 9000")


def _before(rule: Rule) -> datetime:
    """A moment before the first due time. Cron has no first one: any day will do."""
    return (_EPOCH if rule.anchor is None else rule.anchor.astimezone(UTC)) - timedelta(days=2)


def _due(rule: Rule, after: datetime) -> Iterator[datetime]:
    moment = next_after(rule, after)
    while moment is not None:
        yield moment
        moment = next_after(rule, moment)


def _next_every(rule: Rule, after: datetime) -> datetime:
    anchor = _EPOCH if rule.anchor is None else rule.anchor.astimezone(UTC)
    if after < anchor:
        return anchor
    step = timedelta(seconds=rule.every or 0)
    if not step:
        raise ScheduleError(f"every: found {rule.every!r}, expected seconds, at least 1")
    return anchor + ((after - anchor) // step + 1) * step


def _next_at(rule: Rule, after: datetime) -> datetime | None:
    _check_moment("at", rule.at)
    at = rule.at.astimezone(UTC) if rule.at is not None else None
    return at if at is not None and at > after else None


def _next_cron(rule: Rule, after: datetime) -> datetime | None:
    text = rule.cron or ""
    both = _cron.goes_through_both(text)
    return next_due(after, zone_of(rule.zone), _cron.walls(text), both=both)


def _next_rrule(rule: Rule, after: datetime) -> datetime | None:
    zone, recurrence = zone_of(rule.zone), _rrule.parse(rule.rrule or "")
    start = _rrule.EPOCH if rule.anchor is None else local(rule.anchor, zone).replace(microsecond=0)
    end = recurrence.end(start, zone)
    if end is not None and after >= end:
        return None
    due = next_due(after, zone, recurrence.walls(start), both=recurrence.goes_through_both)
    return None if due is None or (end is not None and due > end) else due
