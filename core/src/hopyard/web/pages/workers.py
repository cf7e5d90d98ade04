"""Workers: what they serve, what they have loaded, what they are at."""

from __future__ import annotations

from fastapi import APIRouter, Request
from fastapi.responses import Response

from hopyard.web.api import workers
from hopyard.web.api.deps import Here, Watcher
from hopyard.web.pages import rendering

router = APIRouter(include_in_schema=False)


@router.get("/workers")
async def show(request: Request, here: Here, viewer: Watcher) -> Response:
    """Show the workers that live."""
    found = await workers.list_workers(here, viewer)
    return rendering.page(request, "workers.html", rendering.WORKERS, found=found)
