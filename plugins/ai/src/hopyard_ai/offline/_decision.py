"""Whether to act now, wait or ask: what the request itself and the person's quiet hours say."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime, time, timedelta
from typing import Any

from hopyard.errors import ScheduleError

from hopyard_ai.offline._request import asked, words_of
from hopyard_ai.when import not_before

_QUIET = re.compile(r"([01]?[0-9]|2[0-3]):([0-5][0-9])\s*(?:-|–|to|until)\s*([01]?[0-9]|2[0-4]):([0-5][0-9])")
_ACTIONS = {"act", "postpone", "ask"}


def is_decision(schema: Mapping[str, Any]) -> bool:
    """Whether an output schema is one of decisions: it has an `action` out of act, postpone and ask."""
    action = schema.get("properties", {}).get("action", {})
    return set(action.get("enum", ())) >= _ACTIONS if isinstance(action, Mapping) else False


def decide(prompt: str, schema: Mapping[str, Any]) -> dict[str, Any]:
    """Return the decision on the request in `prompt`, with the fields that `schema` has."""
    known = schema.get("properties", {})
    return {name: value for name, value in _decision(prompt).items() if name in known and value is not None}


def _decision(prompt: str) -> dict[str, Any]:
    request = asked(prompt)
    if not any(word.kind != "mark" for word in words_of(request.request)):
        return {"action": "ask", "question": "What should be done?", "reason": "the request is empty"}
    try:
        held = not_before(request.request, request.now, request.zone)
    except ScheduleError as error:
        question = "Not before when should this be done?"
        return {"action": "ask", "question": question, "reason": f"a time in the request is unclear: {error}"}
    if held is not None:
        reason = "the request says not to act before then"
        return {"action": "postpone", "until": held.isoformat(timespec="seconds"), "reason": reason}
    quiet = quiet_until(request.quiet_hours, request.now)
    if quiet is not None:
        reason = f"the person's quiet hours are {request.quiet_hours}"
        return {"action": "postpone", "until": quiet.isoformat(timespec="seconds"), "reason": reason}
    return {"action": "act", "reason": "the request is due"}


def quiet_until(quiet_hours: str | None, now: datetime) -> datetime | None:
    """Return when the quiet hours (`22:00-07:00`, local) that hold at `now` end; None if none do."""
    match = _QUIET.search(quiet_hours or "")
    if match is None:
        return None
    first, last = (int(match[1]) * 60 + int(match[2])), (int(match[3]) % 24) * 60 + int(match[4])
    minute = now.hour * 60 + now.minute
    holds = first <= minute < last if first < last else minute >= first or minute < last
    if not holds or first == last:
        return None
    day = now.date() if minute < last else now.date() + timedelta(days=1)
    return datetime.combine(day, time(last // 60, last % 60), tzinfo=now.tzinfo)
