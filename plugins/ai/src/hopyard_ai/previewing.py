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
    """Answer each JSON line `{"text", "now", "zone"}` with one. Raises InvalidInput for other lines."""
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            asked = json.loads(line)
            text, now, zone = asked["text"], moment(asked["now"]), asked["zone"]
        except (ValueError, KeyError, TypeError) as error:
            raise InvalidInput(
                f"line {number}: expected a JSON object with text, now and zone: {error!r}"
            ) from error
        yield json.dumps(_brief(preview(text, now, zone)), ensure_ascii=False)


def _brief(found: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in found.items() if name != "rule"}


def moment(text: str) -> datetime:
    """Return an ISO time with an offset. Raises ValueError for another."""
    found = datetime.fromisoformat(text)
    if found.tzinfo is None:
        raise ValueError(f"{text} has no offset, expected a time such as 2027-02-09T14:20:00+01:00")
    return found
