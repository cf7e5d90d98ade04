"""What a sentence would become, by the grammar alone: nothing is stored and no model is asked."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from hopyard import schedules
from hopyard.errors import InvalidInput, ScheduleError

from hopyard_ai import when

KINDS = {"reminder": "reminder", "automated": "task", "periodic": "periodic task"}
_SHOWN = 5


def preview(text: str, now: datetime, zone: str) -> dict[str, Any]:
    """Return what the sentence would become, or `refused`: why it is not read.

    `next` are up to five ISO times with an offset, in `zone`; `last` is None where there is no end.
    """
    try:
        found = when.parse(text, now=now, zone=zone)
    except ScheduleError as error:
        return {"refused": str(error)}
    place, last = ZoneInfo(zone), schedules.last_due(found.rule)
    return {
        "kind": KINDS["reminder" if found.reminder else "periodic" if found.recurring else "automated"],
        "instruction": found.instruction,
        "when": found.phrase,
        "next": [_local(at, place) for at in schedules.upcoming(found.rule, now, _SHOWN)],
        "last": _local(last, place) if last is not None else None,
        "rule": schedules.rule_to_json(found.rule),
    }


def _local(moment: datetime, zone: ZoneInfo) -> str:
    return moment.astimezone(zone).isoformat()


def previews(lines: Iterable[str]) -> Iterator[str]:
    """Answer each JSON line `{"text", "now", "zone"}` with one; others are refused, with their number."""
    for number, line in enumerate(lines, 1):
        try:
            found = preview(*_asked(line))
        except InvalidInput as error:
            found = {"refused": f"line {number}: {error}"}
        yield json.dumps(_brief(found), ensure_ascii=False)


def _asked(line: str) -> tuple[str, datetime, str]:
    """Return text, moment and zone of a line. Raises InvalidInput."""
    try:
        asked = json.loads(line)
    except (ValueError, RecursionError):
        asked = None
    if not isinstance(asked, dict):
        raise InvalidInput('it is no JSON object, expected {"text": …, "now": …, "zone": …}')
    for name in ("text", "now", "zone"):
        if not isinstance(asked.get(name), str):
            raise InvalidInput(f"{name} is {json.dumps(asked.get(name))[:80]}, expected a text")
    try:
        return asked["text"], moment(asked["now"]), asked["zone"]
    except ValueError:
        raise InvalidInput(
            f"now is {asked['now'][:80]!r}, expected a time such as 2027-02-09T14:20:00+01:00"
        ) from None


def _brief(found: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in found.items() if name != "rule"}


def moment(text: str) -> datetime:
    """Return an ISO time with an offset. Raises ValueError for another."""
    found = datetime.fromisoformat(text)
    if found.tzinfo is None:
        raise ValueError(f"{text} has no offset, expected a time such as 2027-02-09T14:20:00+01:00")
    return found
