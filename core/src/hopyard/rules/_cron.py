"""Cron expressions: five fields or an alias, as wall times."""

from __future__ import annotations

import re
from datetime import datetime

from hopyard.checks import shown
from hopyard.errors import ScheduleError
from hopyard.rules._zones import Walls

_ALIASES = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}


_TEXT_LIMIT = 500
#: How many values each field has: a longer step than that would be no step.
_SIZES = {"minute": 60, "hour": 24, "day": 31, "month": 12, "weekday": 7}


def fields(text: str) -> list[str]:
    """Return the five fields of an expression. Raises ScheduleError if it has not got five."""
    parts = _ALIASES.get(text.strip().lower(), text).split() if len(text) <= _TEXT_LIMIT else []
    if len(parts) != 5:
        raise _wrong(text, "five fields (minute hour day month weekday) or one of " + ", ".join(_ALIASES))
    return parts


def goes_through_both(text: str) -> bool:
    """Whether the rule is a frequency within the day, which goes on when clocks are set back."""
    minute, hour = fields(text)[:2]
    return minute.startswith("*") or hour.startswith("*")


def check(text: str) -> None:
    """Raise ScheduleError if `text` is no cron expression."""
    from cronsim import CronSim, CronSimError

    parts = fields(text)
    try:
        CronSim(" ".join(parts), datetime(2000, 1, 1))
    except (CronSimError, ValueError, OverflowError) as error:
        raise _wrong(text, f"a cron expression of five fields: {error}") from error
    for part, (name, size) in zip(parts, _SIZES.items(), strict=True):
        for step in re.findall(r"/([0-9]+)", part):
            if int(step) > size:
                raise _wrong(text, f"a step of at most {size} in the field {name}, not {step}")


def _wrong(text: str, expected: str) -> ScheduleError:
    return ScheduleError(f"cron: found {shown(text)}, expected {expected}", expected=expected)


def walls(text: str) -> Walls:
    """Return the function that steps from one wall time of the expression to the next."""
    from cronsim import CronSim

    expression = " ".join(fields(text))

    def following(wall: datetime) -> datetime | None:
        return next(CronSim(expression, wall), None)

    return following
