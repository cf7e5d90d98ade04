"""Cron expressions: five fields or an alias, as wall times."""

from __future__ import annotations

from datetime import datetime

from hopyard.errors import ScheduleError
from hopyard.schedule._zones import Walls

_ALIASES = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}


def fields(text: str) -> list[str]:
    """Return the five fields of an expression. Raises ScheduleError if it has not got five."""
    parts = _ALIASES.get(text.strip().lower(), text).split()
    if len(parts) != 5:
        expected = "five fields (minute hour day month weekday) or one of " + ", ".join(_ALIASES)
        raise ScheduleError(f"cron: found {text!r}, expected {expected}")
    return parts


def goes_through_both(text: str) -> bool:
    """Whether the rule is a frequency within the day, which goes on when clocks are set back."""
    minute, hour = fields(text)[:2]
    return minute.startswith("*") or hour.startswith("*")


def check(text: str) -> None:
    """Raise ScheduleError if `text` is no cron expression."""
    from cronsim import CronSim, CronSimError

    try:
        CronSim(" ".join(fields(text)), datetime(2000, 1, 1))
    except CronSimError as error:
        raise ScheduleError(f"cron: found {text!r}, expected a cron expression: {error}") from error


def walls(text: str) -> Walls:
    """Return the function that steps from one wall time of the expression to the next."""
    from cronsim import CronSim

    check(text)
    expression = " ".join(fields(text))

    def following(wall: datetime) -> datetime | None:
        return next(CronSim(expression, wall), None)

    return following
