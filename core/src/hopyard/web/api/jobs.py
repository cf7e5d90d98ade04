"""Jobs: lists by filter, one with all that is known of it, its log, why it waits; acts on many at once."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from typing import Annotated, Any, Final, Literal

from fastapi import APIRouter, Depends, Query, Request
from pydantic import BaseModel, Field

from hopyard.errors import UnknownJob
from hopyard.ledger import cancelling, deadletters, details, explaining
from hopyard.ledger.read import listing, logs
from hopyard.ledger.read.summary import JobProgress, JobSummary, progress
from hopyard.ledger.values import job_id
from hopyard.redaction import named_secrets, without
from hopyard.specs import State
from hopyard.web.api.deps import Here, Operator, Reader, seen_job
from hopyard.web.problems import Refused
from hopyard.web.state import Served
from hopyard.web.strict import Body, Name
from hopyard.web.viewer import Viewer

router = APIRouter(tags=["jobs"])

StateName = Literal["scheduled", "queued", "running", "retrying", "parked", "succeeded", "dead", "cancelled"]
#: Jobs that one act changes, at most.
MOST_AT_ONCE: Final = 10_000


@dataclass(slots=True)
class Asked:
    """A filter as a query has it."""

    state: Annotated[list[StateName] | None, Query(description="Only these states.")] = None
    task: Annotated[str | None, Query(min_length=1, max_length=200)] = None
    plugin: Annotated[list[Name] | None, Query(description="Only tasks of these plugins.")] = None
    queue: Annotated[str | None, Query(min_length=1, max_length=200)] = None
    person: Annotated[str | None, Query(min_length=1, max_length=200)] = None
    schedule: Annotated[str | None, Query(min_length=1, max_length=200)] = None
    parent: Annotated[str | None, Query(min_length=1, max_length=200)] = None
    error: Annotated[
        str | None,
        Query(min_length=1, max_length=500, description="This text in the error, as lists show it."),
    ] = None
    since: Annotated[datetime | None, Query(description="Made (live jobs) or ended at or after.")] = None
    until: Annotated[datetime | None, Query(description="Made (live jobs) or ended before.")] = None
    fingerprint: Annotated[
        str | None,
        Query(pattern="^[0-9a-f]{12}$", description="Of a group of failures; other errors are left out."),
    ] = None

    def filter(self, viewer: Viewer) -> listing.JobFilter:
        """Return the filter for what the viewer may see. Raises `Refused` for a time without a zone."""
        for name in ("since", "until"):
            at = getattr(self, name)
            if at is not None and at.tzinfo is None:
                raise Refused(422, f"{name}: a time needs its zone, such as 2027-01-31T08:00:00Z")
        asked = {name: value for name, value in self.said().items() if name not in ("state", "plugin")}
        if self.parent:
            asked["parent"] = job_id(self.parent)
        return viewer.narrowed(
            states=tuple(State[name.upper()] for name in dict.fromkeys(self.state or ())),
            **({"plugins": self.plugin} if self.plugin else {}),
            **asked,
        )

    def said(self) -> dict[str, Any]:
        """Return what was asked for, without what was left open."""
        return {name: value for name, value in asdict(self).items() if value not in (None, "", [])}


Filtered = Annotated[Asked, Depends()]
All = Annotated[bool, Query(alias="all", description="Has to be true where nothing else says which jobs.")]


class Jobs(BaseModel):
    """A page of jobs: live ones first, the newest first, then others, the latest first."""

    jobs: list[JobSummary]
    progress: list[JobProgress] = Field(description="How far those are that run.")
    cursor: str | None = Field(description="For the next page; null behind the last one.")
    looked_back_to: datetime | None = Field(
        description="Where a page ended before it was full: no job since then is left out."
    )


class Count(BaseModel):
    """How many jobs a filter has, as far as they were counted."""

    jobs: int
    exact: bool = Field(description="Whether there are no more than these.")


class Lines(BaseModel):
    """A job's log lines; `after` of the next request is the last one's `n`."""

    lines: list[logs.Line]


class Explained(BaseModel):
    """Why a job is where it is, one reason a line."""

    reasons: list[str]


class Bulk(BaseModel):
    """What was done to many jobs; those that were replayed before are not counted again."""

    done: int
    more: bool = Field(description="Whether others were left: ask again.")


class Replayed(BaseModel):
    """New jobs, by the ids of the dead ones that they do again."""

    jobs: dict[str, str]


class Edits(Body):
    """Arguments that a replay changes."""

    arguments: dict[str, Any] = Field(default_factory=dict)


@router.get("/jobs")
async def list_jobs(
    here: Here,
    viewer: Reader,
    asked: Filtered,
    limit: Annotated[int, Query(ge=1, le=listing.MOST)] = 50,
    cursor: Annotated[str | None, Query(max_length=100)] = None,
) -> Jobs:
    """List jobs by a filter."""
    found = await listing.page(here.database, asked.filter(viewer), limit=limit, cursor=cursor)
    running = [job.id for job in found.jobs if job.state == "running"]
    return Jobs(
        jobs=found.jobs,
        progress=await progress(here.database, running) if running else [],
        cursor=found.cursor,
        looked_back_to=found.looked_back_to,
    )


@router.get("/jobs/count")
async def count_jobs(here: Here, viewer: Reader, asked: Filtered) -> Count:
    """Count the jobs of a filter, up to 10,000."""
    jobs, exact = await listing.count(here.database, asked.filter(viewer), most=MOST_AT_ONCE)
    return Count(jobs=jobs, exact=exact)


@router.get("/jobs/{id}")
async def show_job(id: str, here: Here, viewer: Reader) -> dict[str, Any]:  # noqa: A002 - the path's name
    """Return all that is known of a job: arguments, result or error, attempts, effects, children."""
    job = await seen_job(here, viewer, id)
    return await all_of(here, viewer, job)


@router.get("/jobs/{id}/log")
async def job_log(
    id: str,  # noqa: A002 - the path's name
    here: Here,
    viewer: Reader,
    after: Annotated[int, Query(ge=0, le=2**31 - 1)] = 0,
) -> Lines:
    """Return the lines that a job logged, the first 500 of each attempt."""
    job = await seen_job(here, viewer, id)
    return Lines(lines=await logs.lines(here.database, job.id, after))


@router.get("/jobs/{id}/explain")
async def explain_job(id: str, here: Here, viewer: Reader) -> Explained:  # noqa: A002 - the path's name
    """Say why a job is where it is, and what it waits for."""
    job = await seen_job(here, viewer, id)
    return Explained(reasons=await reasons_of(here, viewer, job))


@router.post("/jobs/{id}/replay")
async def replay_job(
    id: str,  # noqa: A002 - the path's name
    request: Request,
    here: Here,
    viewer: Operator,
    edits: Edits | None = None,
) -> Replayed:
    """Do a dead job again, as a new one, with other arguments if some are given."""
    job = await seen_job(here, viewer, id)
    changes = edits.arguments if edits is not None else {}
    await here.audit(request, viewer, "replay", job.id, task=job.task, arguments=changes)
    jobs = await _replay(here, deadletters.Filter([job.id]), changes)
    return Replayed(jobs={old: new.id for old, new in jobs.items()})


@router.post("/jobs/cancel")
async def cancel_jobs(
    request: Request, here: Here, viewer: Operator, asked: Filtered, every: All = False
) -> Bulk:
    """Cancel the live jobs of a filter, up to 10,000. Count them first."""
    wanted = _meant(asked, viewer, every)
    await here.audit(request, viewer, "cancel many", "jobs", **asked.said())
    ids, more = await _ids(here, wanted, live=True)

    async def cancel(some: list[str]) -> int:
        return len(await cancelling.cancel(here.database, some, f"cancelled over HTTP by {viewer.name}"))

    return Bulk(done=await _in_batches(ids, cancel), more=more)


@router.post("/jobs/replay")
async def replay_jobs(
    request: Request, here: Here, viewer: Operator, asked: Filtered, every: All = False
) -> Bulk:
    """Do the dead jobs of a filter again, up to 10,000. Count them first."""
    wanted = _meant(asked, viewer, every)
    await here.audit(request, viewer, "replay many", "jobs", **asked.said())
    ids, more = await _ids(here, wanted, live=False)

    async def replay(some: list[str]) -> int:
        return len((await _replay(here, deadletters.Filter(some), {})).new)

    return Bulk(done=await _in_batches(ids, replay), more=more)


@router.post("/jobs/discard")
async def discard_jobs(
    request: Request, here: Here, viewer: Operator, asked: Filtered, every: All = False
) -> Bulk:
    """Remove the dead jobs of a filter for good, up to 10,000. Count them first."""
    wanted = _meant(asked, viewer, every)
    await here.audit(request, viewer, "discard many", "jobs", **asked.said())
    ids, more = await _ids(here, wanted, live=False)

    async def discard(some: list[str]) -> int:
        return await deadletters.discard(here.database, deadletters.Filter(some))

    return Bulk(done=await _in_batches(ids, discard), more=more)


async def all_of(here: Served, viewer: Viewer, job: JobSummary) -> dict[str, Any]:
    """Return what `details.job` tells, as far as it concerns the viewer: their children, and where it ran.

    Of the machinery one person's key is told nothing.
    """
    found = await details.job(here.database, job.id, viewer.narrowed())
    secrets = named_secrets(found["arguments"])
    found = {**without(found, secrets), "arguments": found["arguments"]}
    if viewer.person is not None:
        found["worker"] = None
        for attempt in found["attempts"]:
            attempt.update(dict.fromkeys({"worker", "name", "host", "evidence"} & {*attempt}))
    return found


async def reasons_of(here: Served, viewer: Viewer, job: JobSummary) -> list[str]:
    """Return why a job is where it is; to one person's key nothing of workers, queues and other jobs.

    To a key for some plugins nothing of the jobs of others.
    """
    if viewer.person is not None:
        return [job.reason or f"it is {job.state}"]
    return await explaining.explain(here.database, job.id, concerns=viewer.concerns)


def _meant(asked: Asked, viewer: Viewer, every: bool) -> listing.JobFilter:
    """Return the filter of an act. Raises `Refused` where it says nothing, or says so beside `all`."""
    if bool(asked.said()) == every:
        raise Refused(422, "say which jobs by a filter, such as task=…, or all=true for every one of them")
    return asked.filter(viewer)


async def _in_batches(ids: list[str], act: Callable[[list[str]], Awaitable[int]]) -> int:
    """Do something to jobs, some at a time; return to how many it was done."""
    done = 0
    for start in range(0, len(ids), deadletters.BATCH):
        with suppress(UnknownJob):  # somebody else was faster with all of these
            done += await act(ids[start : start + deadletters.BATCH])
    return done


async def _replay(here: Served, wanted: deadletters.Filter, changes: dict[str, Any]) -> deadletters.Replays:
    def check(task: str, body: str) -> None:
        here.hopyard.task(task).payload.load_body(body)

    client = here.hopyard.client()
    jobs = await deadletters.replay(client.database, wanted, changes, check=check)
    await client.announce([*jobs.values()])
    return jobs


async def _ids(here: Served, wanted: listing.JobFilter, *, live: bool) -> tuple[list[str], bool]:
    """Return ids of a filter's live or dead jobs, as many as one act may change, and if there are more."""
    states = [state for state in State if (not state.final if live else state is State.DEAD)]
    if wanted.states:
        states = [state for state in states if state in wanted.states]
    if not states:
        return [], False
    wanted = replace(wanted, states=states)
    ids: list[str] = []
    cursor: str | None = None
    while True:
        found = await listing.page(here.database, wanted, limit=listing.MOST, cursor=cursor)
        ids += [job.id for job in found.jobs]
        cursor = found.cursor
        if cursor is None or len(ids) >= MOST_AT_ONCE:
            return ids[:MOST_AT_ONCE], cursor is not None or len(ids) > MOST_AT_ONCE
