"""The list of jobs: tabs, a filter that lives in the address, pages, and acts on all of a filter."""

from __future__ import annotations

from collections import Counter
from typing import Any, Final, NamedTuple

from fastapi import APIRouter, Request
from fastapi.responses import Response

from hopyard.errors import SpecError
from hopyard.ledger.read import counting, listing
from hopyard.ledger.read.summary import progress
from hopyard.web.api.deps import Here, Reader
from hopyard.web.pages import filters, rendering, writing
from hopyard.web.pages.filters import Filtered
from hopyard.web.state import Served
from hopyard.web.viewer import Role, Viewer

router = APIRouter(include_in_schema=False)

_PAGE: Final = 50
#: Jobs that are over are counted by minute: so many of these are in the tabs.
_DAY: Final = 24 * 60
#: What the counts in the tabs know of jobs.
_COUNTED: Final = frozenset({"state", "plugin", "task", "queue"})


class Tab(NamedTuple):
    """A state, the query that leads to it, and how many jobs there are, as far as that is known."""

    label: str
    query: dict[str, Any]
    current: bool
    jobs: int | None


class Bulk(NamedTuple):
    """An act on all jobs of a filter."""

    label: str
    path: str
    counted: str
    question: str
    danger: bool


@router.get("/jobs")
async def show(request: Request, here: Here, viewer: Reader, cursor: str | None = None) -> Response:
    """Show a page of jobs."""
    found = filters.read(request.query_params)
    try:
        page = await listing.page(here.database, found.filter(viewer), limit=_PAGE, cursor=cursor or None)
    except SpecError as error:
        found.faults.append(str(error))
        page = listing.Page([], None)
    running = [job.id for job in page.jobs if job.state == "running"]
    told = await progress(here.database, running) if running else []
    return rendering.page(
        request,
        "jobs.html",
        rendering.JOBS,
        found=found,
        query=found.query,
        page=page,
        cursor=cursor,
        told={one.job: one for one in told},
        tabs=await _tabs(here, viewer, found),
        bulks=_bulks(viewer, found),
        stream=writing.plain_address(here.prefix, "/api/stream/jobs", found.query),
        plugins=[name for name in here.hopyard.plugins.names if viewer.concerns(name)],
        tasks=[name for name in sorted(here.hopyard.tasks) if viewer.concerns(name)],
        queues=[name for name in sorted(here.hopyard.plugins.queues) if viewer.concerns(name)],
    )


async def _tabs(here: Served, viewer: Viewer, found: Filtered) -> list[Tab]:
    rest = {name: value for name, value in found.query.items() if name != "state"}
    chosen = found.query.get("state", [])
    counts = await _counts(here, viewer, found) if viewer.person is None and {*rest} <= _COUNTED else None
    tabs = [Tab("all", rest, not chosen, None)]
    for label in filters.STATES:
        jobs = None if counts is None else counts[label]
        tabs.append(Tab(label, {**rest, "state": label}, label in chosen, jobs))
    return tabs


async def _counts(here: Served, viewer: Viewer, found: Filtered) -> Counter[str]:
    """Count jobs by state: those that live, and those that ended within a day."""
    counts: Counter[str] = Counter()
    for live in await here.hub.counts.get():
        if _counted(viewer, found, live.task, live.queue):
            counts[live.state.label] += live.jobs
    for ended in await counting.ended(here.database, minutes=_DAY, span=_DAY):
        if _counted(viewer, found, ended.task, ended.queue):
            counts[ended.state.label] += ended.jobs
    return counts


def _counted(viewer: Viewer, found: Filtered, task: str, queue: str) -> bool:
    asked = found.asked
    return (
        viewer.concerns(task)
        and asked.task in (None, task)
        and asked.queue in (None, queue)
        and (not asked.plugin or task.partition(".")[0] in asked.plugin)
    )


def _bulks(viewer: Viewer, found: Filtered) -> list[Bulk]:
    """Return what may be done to all jobs of the filter."""
    if viewer.person is not None or not viewer.may(Role.OPERATOR):
        return []
    made = []
    for label, states, question, danger in (
        ("Replay dead", ("dead",), "Do {} again, as new jobs?", False),
        ("Discard dead", ("dead",), "Remove {} for good? Nothing brings them back.", True),
        ("Cancel live", filters.LIVE, "Cancel {}? Those that run are told to stop.", True),
    ):
        query = found.of(states)
        if query is not None:
            path = writing.plain_address("", f"/api/jobs/{label.partition(' ')[0].lower()}", query)
            counted = writing.plain_address("", "/api/jobs/count", query)
            made.append(Bulk(label, path, counted, question, danger))
    return made
