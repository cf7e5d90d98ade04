"""Queues: how full, how late, paused or not; who holds what there is only so much of."""

from __future__ import annotations

from typing import NamedTuple

from fastapi import APIRouter, Request
from fastapi.responses import Response

from hopyard.web.api import queues
from hopyard.web.api.deps import Here, Watcher
from hopyard.web.pages import rendering

router = APIRouter(include_in_schema=False)


class Lane(NamedTuple):
    """A queue, and in how many seconds it will be empty at the pace of the last hour."""

    queue: queues.QueueState
    drains: float | None


@router.get("/queues")
async def show(request: Request, here: Here, viewer: Watcher) -> Response:
    """Show all queues."""
    found = await queues.list_queues(here, viewer)
    return rendering.page(
        request,
        "queues.html",
        rendering.QUEUES,
        lanes=[Lane(one, drains(one)) for one in found.queues],
        resources=(await queues.list_resources(here, viewer)).resources,
    )


def drains(one: queues.QueueState) -> float | None:
    """Return the seconds until a queue is empty; None where it will not be, or nobody can say."""
    if not one.queued:
        return 0.0
    if one.paused or not one.ended_last_hour:
        return None
    return one.queued * 3600 / one.ended_last_hour
