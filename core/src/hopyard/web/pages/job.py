"""One job: what is known of it, and what may be done with it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from fastapi import APIRouter, Request
from fastapi.responses import Response

from hopyard.ledger.read import listing, logs
from hopyard.ledger.read.summary import JobSummary, is_over, percentage
from hopyard.web.api.deps import Here, Reader, seen_job
from hopyard.web.api.jobs import all_of, reasons_of
from hopyard.web.pages import rendering, writing
from hopyard.web.state import Served
from hopyard.web.viewer import Role, Viewer

router = APIRouter(include_in_schema=False)

#: How deep a tree of children is shown, how many of one job, and how many of all.
_DEEP: Final = 4
_WIDE: Final = 25
_MOST: Final = 100
#: What the page tells of an error in places of their own.
_TOLD: Final = frozenset({"kind", "category", "message", "traceback", "seconds"})


@dataclass(slots=True)
class Branch:
    """A child, with its own; `more` if it has others than those that are shown."""

    job: JobSummary
    below: list[Branch] = field(default_factory=list)
    more: bool = False


@router.get("/jobs/{id}")
async def show(id: str, request: Request, here: Here, viewer: Reader) -> Response:  # noqa: A002 - the path's name
    """Show a job."""
    seen = await seen_job(here, viewer, id)
    found = await all_of(here, viewer, seen)
    children = Branch(seen)
    await _grow(here, viewer, children, _DEEP, [_MOST])
    told = found["progress"]
    if told is not None:
        told = {**told, "percentage": percentage(told["current"], told["total"])}
    may_replay = viewer.person is None and viewer.may(Role.OPERATOR)
    return rendering.page(
        request,
        "job.html",
        rendering.JOBS,
        job=found,
        progress=told,
        lines=await logs.lines(here.database, seen.id, latest=True),
        most_lines=logs.PAGE,
        reasons=await reasons_of(here, viewer, seen),
        children=children,
        more={name: one for name, one in (found["error"] or {}).items() if name not in _TOLD},
        over=is_over(seen.state),
        cancels=not is_over(seen.state) and _cancels(viewer),
        replays=seen.state == "dead" and may_replay,
        may_replay=may_replay,
        stream=writing.plain_address(here.prefix, f"/api/stream/jobs/{seen.id}"),
    )


def _cancels(viewer: Viewer) -> bool:
    """Say whether a viewer may cancel what they see: an operator, or the person it is done for."""
    return viewer.may(Role.SUBMITTER) if viewer.person is not None else viewer.may(Role.OPERATOR)


async def _grow(here: Served, viewer: Viewer, branch: Branch, deep: int, left: list[int]) -> None:
    """Find the children of a branch, and theirs, as long as some are `left` to be shown."""
    found = await listing.page(here.database, viewer.narrowed(parent=branch.job.id), limit=_WIDE)
    branch.more = found.cursor is not None
    for job in found.jobs:
        if left[0] <= 0:
            branch.more = True
            return
        left[0] -= 1
        child = Branch(job)
        branch.below.append(child)
        if deep > 1:
            await _grow(here, viewer, child, deep - 1, left)
