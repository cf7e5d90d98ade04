"""Which failures are worth another try, and when: categories of errors, the policy of a task, Retry-After."""

from __future__ import annotations

import math
import re
from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from enum import StrEnum
from typing import Any, Final

from hopyard import checks

MAX_RETRIES: Final = 1_000
MAX_FACTOR: Final = 100.0
#: The longest that another side may ask a job to wait (Retry-After), in seconds.
MAX_RETRY_AFTER: Final = checks.DAY


class Category(StrEnum):
    """What kind of failure an error is; decides whether it is worth another try."""

    TRANSIENT = "transient"
    RATE_LIMITED = "rate_limited"
    TIMEOUT = "timeout"
    INVALID_INPUT = "invalid_input"
    AUTHENTICATION = "authentication"
    RESOURCE = "resource"
    BUG = "bug"


RETRYABLE = frozenset({Category.TRANSIENT, Category.RATE_LIMITED, Category.TIMEOUT, Category.RESOURCE})


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How often and when a failed job is tried again.

    The n-th retry (n from 1) waits `backoff * factor ** (n - 1)` seconds, at most `max_backoff`,
    spread by `±jitter` of itself; a server's Retry-After is a lower bound. Seconds, at most a year; `factor`
    is from 1 to 100, `jitter` from 0 to 1.
    """

    max_retries: int = 3
    backoff: float = 60.0
    factor: float = 2.0
    max_backoff: float = 3600.0
    jitter: float = 0.1
    on: frozenset[Category] = RETRYABLE

    def __post_init__(self) -> None:
        what = "retry policy"
        checks.whole(f"{what}: max_retries", self.max_retries, 0, MAX_RETRIES)
        checks.number(f"{what}: backoff", self.backoff, 0, checks.YEAR, " seconds")
        checks.number(f"{what}: factor", self.factor, 1, MAX_FACTOR)
        checks.number(f"{what}: max_backoff", self.max_backoff, 0, checks.YEAR, " seconds")
        checks.number(f"{what}: jitter", self.jitter, 0, 1)
        object.__setattr__(self, "on", _categories(self.on))


def _categories(value: Any) -> frozenset[Category]:
    """Return categories given as such or by their names."""
    if isinstance(value, str) or not isinstance(value, Collection):
        checks.refuse("retry policy: on", value, "a set of categories")
    for item in value:
        checks.choice("retry policy: on", item, [category.value for category in Category])
    return frozenset(Category(item) for item in value)


@dataclass(frozen=True, slots=True)
class Verdict:
    """A plugin's answer to `classify_error`.

    `retry_after` is in seconds, at most a day: what asks for more is cut to that, and what is no time
    (`seconds_to_wait`) is None, so that no header of another side hides the error that it came with.
    """

    category: Category
    retry_after: float | None = None

    def __post_init__(self) -> None:
        checks.choice("verdict: category", self.category, [category.value for category in Category])
        object.__setattr__(self, "category", Category(self.category))
        object.__setattr__(self, "retry_after", seconds_to_wait(self.retry_after))


def seconds_to_wait(value: Any) -> float | None:
    """Return the seconds that a Retry-After asks for, from 0 to a day; None for what says no time.

    It may be seconds (a number, or one as text), an HTTP date, a datetime or a timedelta.
    """
    seconds = _seconds(value)
    return None if seconds is None or math.isnan(seconds) else min(max(seconds, 0.0), MAX_RETRY_AFTER)


def _seconds(value: Any) -> float | None:
    if isinstance(value, str):
        value = value.strip()[:100]
        try:
            return (
                float(value)
                if re.fullmatch(r"[0-9]+(\.[0-9]*)?", value)
                else _until(parsedate_to_datetime(value))
            )
        except (ValueError, TypeError, IndexError, OverflowError):  # no date
            return None
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, datetime):
        return _until(value)
    if isinstance(value, int | float) and not isinstance(value, bool):
        try:
            return float(value)
        except OverflowError:
            return math.inf
    return None


def _until(date: datetime) -> float:
    aware = date if date.utcoffset() is not None else date.replace(tzinfo=UTC)
    return (aware - datetime.now(UTC)).total_seconds()
