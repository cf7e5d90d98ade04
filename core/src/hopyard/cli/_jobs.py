"""Having a worker do what a command is for."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from hopyard.cli._output import progress, say

if TYPE_CHECKING:
    from hopyard.app import Hopyard


async def submitted(
    hopyard: Hopyard,
    task: str,
    arguments: Mapping[str, Any] | None = None,
    *,
    once: bool = False,
    person: str | None = None,
) -> Any:
    """Submit a job of a task, show how far it is, and return its result. Raises as `JobHandle.result`.

    Its id, and that no worker serves its queue, are told on standard error. With `once`, who asks for the
    same while it is under way follows that job; `person` is whom it is done for.
    """
    from hopyard.ledger.explaining import unserved
    from hopyard.specs import Unique

    given = dict(arguments or {})
    told = ", ".join(f"{name}={value}" for name, value in sorted(given.items()))
    call = hopyard.task(task).options(unique=Unique(f"by command: {told}") if once else None, person=person)
    handle = await call.submit(**given)
    say(f"{handle.id}: it goes on without this command", err=True)
    for reason in await unserved(hopyard.client().database, handle.id):
        say(f"{reason}; the job waits: start `hopyard worker` or `hopyard up`", err=True)
    with progress(task) as report:
        async for status in handle.stream():
            share = (status.current or 0.0) / (status.total or 1.0)
            report(share if math.isfinite(share) else 0.0, status.message or status.state.label)
    return await handle.result()
