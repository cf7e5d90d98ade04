"""When a rule falls due. Moments are aware datetimes in UTC."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from hopyard.errors import ScheduleError
from hopyard.rules import _cron, _rrule
from hopyard.rules._zones import local, moment_of, next_due, zone_of

if TYPE_CHECKING:
    from hopyard.rules._rule import Rule

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def next_after(rule: Rule, after: datetime) -> datetime | None:
    """Return the first due time strictly after `after`, None if there is none. Raises ScheduleError."""
    if after.tzinfo is None:
        raise ScheduleError(f"after: found {after.isoformat()} without a zone, expected an aware datetime")
    after = after.astimezone(UTC)
    try:
        if rule.every is not None:
            return _next_every(rule, after)
        if rule.cron is not None:
            return _next_cron(rule, after)
        if rule.rrule is not None:
            return _next_rrule(rule, after)
        at = moment(rule.at, rule.zone)
        return at if at is not None and at > after else None  # without `at` another schedule says when
    except OverflowError:  # beyond the year 9999
        return None


def between(rule: Rule, after: datetime, until: datetime, limit: int) -> list[datetime]:
    """Return the due times in (after, until], at most `limit`, the earliest first."""
    due: list[datetime] = []
    for found in _due(rule, after):
        if found > until or len(due) >= limit:
            break
        due.append(found)
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


def last(rule: Rule) -> datetime | None:
    """Return the last due time of a rule that ends, None for one that does not. Raises ScheduleError."""
    if rule.at is not None:
        return moment(rule.at, rule.zone)
    recurrence = _rrule.parse(rule.rrule) if rule.rrule is not None else None
    zone = zone_of(rule.zone)
    start = _rrule.EPOCH if rule.anchor is None else local(_anchor(rule), zone).replace(microsecond=0)
    end = recurrence.end(start, zone) if recurrence is not None else None
    return last_between(rule, before_first(rule), end) if end is not None else None


def upcoming(rule: Rule, after: datetime, n: int = 5) -> list[datetime]:
    """Return the next `n` due times after `after`; fewer if the rule ends."""
    return between(rule, after, datetime.max.replace(tzinfo=UTC), n)


def moment(value: datetime | None, zone: str | None) -> datetime | None:
    """Return a rule's moment in UTC; one without a zone is a wall time of the rule's zone."""
    if value is None:
        return None
    if value.utcoffset() is None:
        return moment_of(value.replace(tzinfo=None), zone_of(zone))
    return value.astimezone(UTC)


def before_first(rule: Rule) -> datetime:
    """Return a moment before the first due time. Cron has no first one: any day will do."""
    return _anchor(rule) - timedelta(days=2)


def _anchor(rule: Rule) -> datetime:
    return moment(rule.anchor, rule.zone) or EPOCH


def _due(rule: Rule, after: datetime) -> Iterator[datetime]:
    found = next_after(rule, after)
    while found is not None:
        yield found
        found = next_after(rule, found)


def _next_every(rule: Rule, after: datetime) -> datetime:
    anchor = _anchor(rule)
    if after < anchor:
        return anchor
    step = timedelta(seconds=rule.every or 1)
    return anchor + ((after - anchor) // step + 1) * step


def _next_cron(rule: Rule, after: datetime) -> datetime | None:
    text = rule.cron or ""
    both = _cron.goes_through_both(text)
    return next_due(after, zone_of(rule.zone), _cron.walls(text), both=both)


def _next_rrule(rule: Rule, after: datetime) -> datetime | None:
    zone, recurrence = zone_of(rule.zone), _rrule.parse(rule.rrule or "")
    anchor = moment(rule.anchor, rule.zone)
    start = _rrule.EPOCH if anchor is None else local(anchor, zone).replace(microsecond=0)
    end = recurrence.end(start, zone)
    if end is not None and after >= end:
        return None
    due = next_due(after, zone, recurrence.walls(start), both=recurrence.goes_through_both)
    return None if due is None or (end is not None and due > end) else due
