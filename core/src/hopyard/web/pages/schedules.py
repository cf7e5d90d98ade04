"""Schedules: when each is due, what became of the last times, and changing them."""

from __future__ import annotations

from fastapi import APIRouter, Request
from fastapi.responses import Response

from hopyard.ledger.read import fires
from hopyard.web.api import schedules
from hopyard.web.api.deps import Here, Watcher
from hopyard.web.pages import rendering

router = APIRouter(include_in_schema=False)


@router.get("/schedules")
async def show_all(request: Request, here: Here, viewer: Watcher) -> Response:
    """Show all schedules."""
    found = (await schedules.list_schedules(here, viewer)).schedules
    last = {one.name: next(iter(await fires.latest(here.database, one.name, 1)), None) for one in found}
    return rendering.page(request, "schedules.html", rendering.SCHEDULES, schedules=found, last=last)


@router.get("/schedules/{name:path}")
async def show(name: str, request: Request, here: Here, viewer: Watcher) -> Response:
    """Show a schedule, with its next and its last times."""
    found = await schedules.show_schedule(name, here, viewer)
    return rendering.page(
        request,
        "schedule.html",
        rendering.SCHEDULES,
        schedule=found,
        kind=next((kind for kind in ("every", "cron", "rrule", "at", "after") if kind in found.rule), ""),
        fires=(await schedules.list_fires(name, here, viewer, 50)).fires,
    )
