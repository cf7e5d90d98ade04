"""A rule as a value that checks itself, and its JSON form."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from functools import lru_cache
from typing import Any

from hopyard import checks
from hopyard.errors import ScheduleError, SpecError
from hopyard.rules import _cron, _due, _rrule
from hopyard.rules._zones import zone_of

KINDS = ("every", "cron", "rrule", "at", "after")
_FIELDS = (*KINDS, "zone", "anchor")
_LONGEST = 100 * 366 * 86400.0
_EVERY = "an interval from 1 second to 100 years"


@dataclass(frozen=True, slots=True)
class Rule:
    """When something happens. Exactly one of the first five is given.

    every   seconds between two due times (at least 1), counted from `anchor`
    cron    five fields or an alias such as `@daily`, in `zone`
    rrule   RFC 5545 RRULE text (without DTSTART), starting at `anchor`, in `zone`
    at      once
    after   each time that a job of the schedule of this name has succeeded

    `zone` is an IANA time zone; None is the installation's (`time_zone` in the settings). `at` and `anchor`
    without a zone of their own are wall times of the rule's zone.

    Raises `ScheduleError` for what is no rule, and for a rule that can never fall due.
    """

    every: float | None = None
    cron: str | None = None
    rrule: str | None = None
    at: datetime | None = None
    after: str | None = None
    zone: str | None = None
    anchor: datetime | None = None

    def __post_init__(self) -> None:
        given = [name for name in KINDS if getattr(self, name) is not None]
        if len(given) != 1:
            found = " and ".join(given) or "none"
            raise ScheduleError(f"rule: found {found}, expected exactly one of {', '.join(KINDS)}")
        for name in ("at", "anchor"):
            _check_moment(name, getattr(self, name))
        for name in ("cron", "rrule", "after", "zone"):
            _check_text(name, getattr(self, name))
        check_every(self.every)
        _check_possible(self)

    def resolved(self, zone: str) -> Rule:
        """Return the rule with a zone, `zone` if it has none, and with moments that name theirs."""
        own = self.zone or zone
        at, anchor = _due.moment(self.at, own), _due.moment(self.anchor, own)
        if (own, at, anchor) == (self.zone, self.at, self.anchor):
            return self
        return replace(self, zone=own, at=at, anchor=anchor)


def check_every(seconds: Any) -> None:
    """Raise ScheduleError unless `seconds` may be the distance between two due times (None: not given)."""
    if seconds is None:
        return
    try:
        checks.number("every", seconds, 1, _LONGEST, " seconds")
    except SpecError:
        raise ScheduleError(
            f"every: found {checks.shown(seconds)}, expected {_EVERY}", expected=_EVERY
        ) from None


@lru_cache(maxsize=4096)  # rules are read from the ledger again and again
def _check_possible(rule: Rule) -> None:
    """Parse all parts, and look for the first due time: some contradictions show there only."""
    zone_of(rule.zone)
    if rule.cron is not None:
        _cron.check(rule.cron)
    if rule.rrule is not None and rule.anchor is None and "COUNT" in _rrule.parse(rule.rrule).parts:
        raise ScheduleError(f"rrule {rule.rrule!r}: COUNT needs an anchor to count from")
    if rule.at is None and rule.after is None and _due.next_after(rule, _due.before_first(rule)) is None:
        kind = next(name for name in KINDS if getattr(rule, name) is not None)
        raise ScheduleError(f"{kind}: found {getattr(rule, kind)!r}, which never falls due")


def _check_text(name: str, value: Any) -> None:
    if value is None:
        return
    try:
        # Long rules have messages of their own, with the limit in them.
        checks.text(name, value, longest=checks.MAX_NAME if name in ("after", "zone") else 1_000_000)
    except SpecError as error:
        raise ScheduleError(str(error), expected=error.expected) from None


def _check_moment(name: str, value: Any) -> None:
    if value is None:
        return
    if not isinstance(value, datetime):
        raise ScheduleError(f"{name}: found {checks.shown(value)}, expected a datetime")
    if not 1900 <= value.year <= 9000:
        raise ScheduleError(f"{name}: found {value.isoformat()}, expected a year from 1900 to 9000")


def to_json(rule: Rule) -> dict[str, Any]:
    """Return the rule as JSON-like values; moments as ISO 8601 text. What is None is left out."""
    values = {name: getattr(rule, name) for name in _FIELDS}
    return {
        name: value.isoformat() if isinstance(value, datetime) else value
        for name, value in values.items()
        if value is not None
    }


def from_json(data: Mapping[str, Any]) -> Rule:
    """Return the rule that `to_json` wrote. Raises ScheduleError."""
    if not isinstance(data, Mapping):
        raise ScheduleError(f"rule: found {checks.shown(data)}, expected a table")
    for name in data:
        if name not in _FIELDS:
            raise ScheduleError(f"{name}: unknown, expected one of {', '.join(_FIELDS)}")
    return Rule(**{name: _value(name, value) for name, value in data.items() if value is not None})


def _value(name: str, value: Any) -> Any:
    if name not in ("at", "anchor"):
        return float(value) if name == "every" and isinstance(value, int) else value
    try:
        return datetime.fromisoformat(value)
    except (TypeError, ValueError) as error:
        raise ScheduleError(f"{name}: found {checks.shown(value)}, expected ISO 8601 text") from error
