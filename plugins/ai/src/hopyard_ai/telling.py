"""What a person is told of a request: once for each outcome, in words for them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from hopyard import notify
from hopyard.storage import derived_id

from hopyard_ai import store
from hopyard_ai.approving import call_text
from hopyard_ai.models import Request, Run

#: Calls that one message lists.
_MOST_CALLS: Final = 10


async def tell(
    request: Request,
    run: Run,
    title: str,
    body: str,
    what: str,
    *,
    id_: str | None = None,
    data: Mapping[str, Any] | None = None,
) -> None:
    """Notify the person of a request; the same `id_` (by default one an outcome of a run) is told once."""
    told = {"request": request.id, "run": run.id, "due": run.due.isoformat(), "state": what, **(data or {})}
    await notify(
        request.person, title, body, data=told, id=id_ or derived_id(run.id, what, str(run.postponed))
    )


async def fail(request: Request, run: Run, reason: str) -> Run:
    """Say that a due time will not be acted on any more, why, and what was done before."""
    before = done_before(run)
    said = f"{reason}\n{before}" if before else reason
    await tell(request, run, f"Could not be done: “{request.title}”", said, "failed")
    return await store.update_run(run.id, state="failed", answer=said, finished=True)


def done_before(run: Run) -> str:
    """Return the calls that a run made, for its person; empty if there are none."""
    waiting = {call["id"] for call in run.pending}
    made = [call for call in run.calls if call["id"] not in waiting and call["ok"] is not False]
    if not made:
        return ""
    lines = [
        f"  {call_text(call['name'], call['args'])}{'' if call['ok'] else ' (begun, its end is not known)'}"
        for call in made[:_MOST_CALLS]
    ]
    if len(made) > _MOST_CALLS:
        lines.append(f"  and {len(made) - _MOST_CALLS} more")
    return "Before that this was done:\n" + "\n".join(lines)
