"""Failures: jobs that ended dead, in groups of what went wrong."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

from fastapi import APIRouter, Request
from fastapi.responses import Response

from hopyard.ledger.read import failures
from hopyard.ledger.read.failures import FailureGroup
from hopyard.web.api.deps import Here, Watcher
from hopyard.web.pages import rendering, writing

router = APIRouter(include_in_schema=False)

_LOOKED_AT: Final = 2_000


class Shown(NamedTuple):
    """A group, and the filter that finds its jobs."""

    group: FailureGroup
    query: dict[str, Any]
    counted: str
    replay: str
    discard: str


@router.get("/failures")
async def show(request: Request, here: Here, viewer: Watcher) -> Response:
    """Show the groups, the latest first."""
    found = await failures.groups(here.database, viewer.narrowed(), _LOOKED_AT)
    return rendering.page(
        request,
        "failures.html",
        rendering.FAILURES,
        groups=[_shown(one) for one in found.groups],
        looked_at=found.looked_at,
        more=found.more,
    )


def _shown(group: FailureGroup) -> Shown:
    query = query_of(group)
    return Shown(
        group,
        query,
        writing.plain_address("", "/api/jobs/count", query),
        writing.plain_address("", "/api/jobs/replay", query),
        writing.plain_address("", "/api/jobs/discard", query),
    )


def query_of(group: FailureGroup) -> dict[str, Any]:
    """Return the filter of a group."""
    return {"state": "dead", "task": group.task, "fingerprint": group.fingerprint}
