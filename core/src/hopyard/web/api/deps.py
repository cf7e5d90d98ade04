"""What endpoints ask for: the viewer by the role that they need, and what the application shares."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends

from hopyard.errors import UnknownJob
from hopyard.ledger.finding import find_job
from hopyard.ledger.read.summary import JobSummary, summaries
from hopyard.web.security import needs, unscoped
from hopyard.web.state import Served, served
from hopyard.web.viewer import Role, Viewer

Here = Annotated[Served, Depends(served)]
#: Whoever has come in; a key of one person's sees only what is done for that person.
Reader = Annotated[Viewer, needs(Role.VIEWER)]
Submitter = Annotated[Viewer, needs(Role.SUBMITTER)]


def _watcher(viewer: Reader) -> Viewer:
    return unscoped(viewer)


def _operator(viewer: Annotated[Viewer, needs(Role.OPERATOR)]) -> Viewer:
    return unscoped(viewer)


def _admin(viewer: Annotated[Viewer, needs(Role.ADMIN)]) -> Viewer:
    return unscoped(viewer)


#: Whoever may look at the machinery: queues, workers, schedules, plugins.
Watcher = Annotated[Viewer, Depends(_watcher)]
Operator = Annotated[Viewer, Depends(_operator)]
Admin = Annotated[Viewer, Depends(_admin)]


async def seen_job(here: Served, viewer: Viewer, text: str) -> JobSummary:
    """Return the job that an id, or a part of one, names. Raises `UnknownJob` for others' too."""
    id_ = await find_job(here.database, text)
    found = await summaries(here.database, [id_])
    if not found or not viewer.sees(found[0].task, found[0].person):
        raise UnknownJob(f"there is no job `{text[:80]}`")
    return found[0]
