"""What endpoints ask for: the viewer by the role that they need, and what the application shares."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Depends

from hopyard.errors import UnknownJob
from hopyard.ledger.finding import find_job
from hopyard.ledger.read.summary import JobSummary, summaries
from hopyard.web.problems import Refused
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
    if viewer.plugins is not None:  # they could make a token for all of them
        raise Refused(403, "this key is for some plugins only")
    return unscoped(viewer)


def of_plugin(name: str) -> Any:
    """Return what all routes of a plugin ask for, whatever they ask for themselves: a key that is for it."""

    def check(here: Here, viewer: Reader) -> None:
        if not viewer.concerns(name):
            raise Refused(403, "this key is for other plugins")
        record = here.hopyard.plugins.record(name)
        if record.resting:
            raise Refused(503, f"plugin {name} is {record.reason}")

    return Depends(check)


#: Whoever may look at the machinery: queues, workers, schedules, plugins.
Watcher = Annotated[Viewer, Depends(_watcher)]
Operator = Annotated[Viewer, Depends(_operator)]
Admin = Annotated[Viewer, Depends(_admin)]


async def seen_job(here: Served, viewer: Viewer, text: str) -> JobSummary:
    """Return the job that an id, or a part of one, names. Raises `UnknownJob` for others' too."""
    try:
        id_ = await find_job(here.database, text)
    except UnknownJob:
        if viewer.plugins is None and viewer.person is None:
            raise  # with the ids that it may mean, which only they may know who may see every job
        raise UnknownJob(f"there is no job `{text[:80]}`") from None
    found = await summaries(here.database, [id_])
    if not found or not viewer.sees(found[0].task, found[0].person):
        raise UnknownJob(f"there is no job `{text[:80]}`")
    return found[0]
