"""What one person may have: open requests, due times in so many seconds, runs and money a day."""

from __future__ import annotations

from datetime import UTC, datetime, time
from itertools import pairwise
from zoneinfo import ZoneInfo

from hopyard import Rule, schedules
from hopyard.errors import InvalidInput, ScheduleError
from hopyard.storage import utcnow

from hopyard_ai import store
from hopyard_ai.health import settings

#: Due times of a rule that are looked at.
_LOOKED_AT = 50


def check_interval(rule: Rule | None) -> None:
    """Raise `ScheduleError` for a rule whose due times follow one another too closely."""
    if rule is None:
        return
    least = settings().interval
    closest = min(
        (
            (later - earlier).total_seconds()
            for earlier, later in pairwise(schedules.preview(rule, _LOOKED_AT))
        ),
        default=least,
    )
    if closest < least:
        raise ScheduleError(
            f"{schedules.describe(rule)}: found {closest:g} s between two times, "
            f"expected at least {least:g} s (`least_interval` of the plugin ai)"
        )


async def check_open(person: str) -> None:
    """Raise `InvalidInput` where a person has as many open requests as they may have."""
    most, found = settings().max_requests, await store.count_open(person)
    if found >= most:
        raise InvalidInput(
            f"{person} has {found} open requests, expected fewer than {most} "
            "(`max_requests` of the plugin ai): complete or delete one first"
        )


async def used_up(person: str, zone: str) -> str | None:
    """Return which part of a person's day is used up, in words for them; None while all is in order.

    The day is that of the person's zone. What runs at this moment counts once it has asked the model.
    """
    own = settings()
    if own.runs_a_day is None and own.daily_tokens is None and own.daily_cost is None:
        return None
    runs, tokens, cost = await store.spent(person, _midnight(zone))
    if own.runs_a_day is not None and runs >= own.runs_a_day:
        return f"{own.runs_a_day} runs a day"
    return _spent_up(tokens, cost)


async def spending_used_up(person: str, zone: str) -> str | None:
    """Return which part of a person's day is used up by what was spent, as `used_up`; runs do not count."""
    own = settings()
    if own.daily_tokens is None and own.daily_cost is None:
        return None
    _, tokens, cost = await store.spent(person, _midnight(zone))
    return _spent_up(tokens, cost)


def _spent_up(tokens: int, cost: float) -> str | None:
    own = settings()
    if own.daily_tokens is not None and tokens >= own.daily_tokens:
        return f"{own.daily_tokens:,} tokens a day"
    if own.daily_cost is not None and cost >= float(own.daily_cost):
        return f"{own.daily_cost} US dollars a day"
    return None


def today(zone: str) -> str:
    """Return the date in a zone, in ISO 8601."""
    return utcnow().astimezone(ZoneInfo(zone)).date().isoformat()


def _midnight(zone: str) -> datetime:
    day = utcnow().astimezone(ZoneInfo(zone)).date()
    return datetime.combine(day, time(), tzinfo=ZoneInfo(zone)).astimezone(UTC)
