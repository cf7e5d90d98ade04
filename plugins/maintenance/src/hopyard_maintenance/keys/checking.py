"""The health check of the managed keys."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

from hopyard import Health
from hopyard.errors import HopyardError

from hopyard_maintenance.keys import ledger, managing
from hopyard_maintenance.models import KeyState

#: A key is overdue once its rotation, which is tried each hour, is so late.
_LATE: Final = timedelta(days=2)
#: A rotation goes on each hour, so one that stands still for longer is left alone by everybody.
_STILL: Final = timedelta(hours=3)


async def check() -> Health:
    """Say what is wrong with managed keys: not there, unreadable, overdue, stuck, left alone."""
    states, now = await managing.states(), await ledger.now()
    wrong = {one.name: reason for one in states if (reason := await _problem(one, now))}
    if wrong:
        told = "; ".join(f"{name}: {reason}" for name, reason in wrong.items())
        return Health(False, told, {"keys": sorted(wrong)})
    return Health(True, f"{len(states)} keys are in order")


async def _problem(key: KeyState, now: datetime) -> str | None:
    if not key.provider:
        return key.problem
    if key.state == "unknown":
        return "nobody knows whether its provider has made a key"
    if key.state not in ("none", "current", "published") and key.problem:
        return f"its rotation is stuck: {key.problem}"
    if key.since is not None and now > max(key.since, key.revoke_at or key.since) + _STILL:
        return f"its rotation is {key.state} since {key.since:%Y-%m-%d %H:%M} UTC, and nobody goes on with it"
    if key.due is not None and now > key.due + _LATE:
        return f"it was to be rotated on {key.due:%Y-%m-%d}"
    if key.id is None and key.since is None:
        return f"it was never made: {key.problem or 'each hour a run tries it'}"
    try:
        if key.id is not None:
            await managing.read(key.name)
    except HopyardError as error:
        return str(error)
    return None
