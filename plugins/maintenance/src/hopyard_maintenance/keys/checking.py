"""The health check of the managed keys."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from hopyard import Health, storage
from hopyard.errors import HopyardError

from hopyard_maintenance.keys import managing
from hopyard_maintenance.models import KeyState

#: A key is overdue once its rotation, which is tried each hour, is so late.
_LATE: Final = timedelta(days=2)


async def check() -> Health:
    """Say what is wrong with managed keys: unreadable, overdue, stuck."""
    states = await managing.states()
    wrong = {one.name: reason for one in states if (reason := await _problem(one))}
    if wrong:
        told = "; ".join(f"{name}: {reason}" for name, reason in wrong.items())
        return Health(False, told, {"keys": sorted(wrong)})
    return Health(True, f"{len(states)} keys are in order")


async def _problem(key: KeyState) -> str | None:
    if key.state == "unknown":
        return "nobody knows whether its provider has made a key"
    if key.state not in ("none", "current", "published") and key.problem:
        return f"its rotation is stuck: {key.problem}"
    if key.due is not None and storage.utcnow() > key.due + _LATE:
        return f"it was to be rotated on {key.due:%Y-%m-%d}"
    if key.state == "none":
        return None
    try:
        if key.id is not None:
            await managing.read(key.name)
    except HopyardError as error:
        return str(error)
    return None
