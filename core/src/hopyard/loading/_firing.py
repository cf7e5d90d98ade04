"""Schedules that will never fire as things stand: their rule has ended, or they wait for what never comes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime

from hopyard import rules
from hopyard.checks import nearest
from hopyard.specs import Schedule


def idle(schedules: Mapping[str, Schedule]) -> Iterator[tuple[str, str, str, str | None]]:
    """Yield each schedule that will never fire: its name, what was found and expected, the nearest name.

    That a rule has ended is no fault: most rules end some day. Nor is a name that nobody declares: it may be
    the name of a person's schedule, which only the ledger knows.
    """
    now = datetime.now(UTC)
    for name, schedule in schedules.items():
        after = schedule.rule.after
        if not schedule.enabled:
            continue
        if after is None:
            if rules.next_after(schedule.rule, now) is None:
                found = f"{rules.describe(schedule.rule)}, which has passed"
                yield name, found, "a rule with due times to come", None
        elif after not in schedules:
            found = f'`after` the schedule "{after}", which neither plugins nor settings declare'
            yield name, found, "the name of a schedule", nearest(after, schedules)
        elif circle := _circle(name, schedules):
            found = f"schedules that wait for each other: {' → '.join(circle)}"
            yield name, found, "one of them with a rule of its own", None
        elif not schedules[after].enabled:
            yield name, f'`after` the schedule "{after}", which is disabled', "one that is enabled", None


def _circle(name: str, schedules: Mapping[str, Schedule]) -> list[str]:
    """Return the circle that a schedule waits in, from itself to itself; empty if it waits in none."""
    path = [name]
    while (after := schedules[path[-1]].rule.after) in schedules and after is not None:
        path.append(after)
        if after == name:
            return path
        if after in path[:-1]:  # a circle of others, which they are told of
            return []
    return []
