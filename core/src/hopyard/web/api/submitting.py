"""An endpoint for each typed task, and what was asked of it: status, active jobs, cancel, the overview."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

from fastapi import APIRouter, Header, Query, Request
from pydantic import BaseModel, Field

from hopyard.ledger import cancelling, stored
from hopyard.ledger.read import counting, listing, summary
from hopyard.ledger.read.summary import JobSummary, is_over, progress
from hopyard.ledger.values import NewJob, derived_id
from hopyard.redaction import named_secrets, without
from hopyard.specs import State
from hopyard.web.api.deps import Here, Reader, Submitter, Watcher, seen_job
from hopyard.web.problems import Refused
from hopyard.web.state import Served
from hopyard.web.strict import Name, json_body
from hopyard.web.viewer import Role, Viewer

if TYPE_CHECKING:
    from hopyard.app import Hopyard
    from hopyard.tasks import Task

_ACTIVE: Final = tuple(state for state in State if not state.final)


class Started(BaseModel):
    """A job was accepted: from now on nothing loses it."""

    task_id: str
    status: Literal["started"] = "started"
    message: str
    monitor_url: str = Field(description="Where its status is to be had.")


class Progress(BaseModel):
    """How far a job is, as its task told last."""

    current: float
    total: float | None
    percentage: float | None = Field(description="0 to 100; null where no total is known.")
    message: str
    updated_at: datetime | None


class Status(BaseModel):
    """Where a job stands. `result` is there once it has succeeded, `error` once it has failed for good."""

    task_id: str
    status: str = Field(
        description="scheduled, queued, running, retrying, parked, succeeded, dead or cancelled"
    )
    progress: Progress
    result: Any = None
    error: dict[str, Any] | None = None


class Active(BaseModel):
    """Jobs that are not over."""

    tasks: list[JobSummary]
    cursor: str | None = Field(None, description="For the next page; null behind the last one.")


class Performance(BaseModel):
    """What a task did lately. Times in seconds, of the jobs that ran."""

    task: str
    succeeded: int = 0
    dead: int = 0
    cancelled: int = 0
    success_rate: float | None = Field(None, description="Of those that succeeded or ended dead, in percent.")
    average_wait: float | None = None
    average_run: float | None = None


class Overview(BaseModel):
    """What all tasks did in the last so many minutes."""

    minutes: int
    tasks: list[Performance]


class Cancelled(BaseModel):
    """A job was told to end."""

    task_id: str
    status: str
    message: str


def router(hopyard: Hopyard) -> APIRouter:
    """Return the endpoints of the section HTTP, one for each task of the enabled plugins among them."""
    made = APIRouter(tags=["background"])
    made.get("/status/{task_id}", response_model_exclude_unset=True)(status)
    made.get("/tasks/active")(active)
    made.get("/performance/overview")(overview)
    made.delete("/tasks/{task_id}", status_code=202)(cancel)
    for name in sorted(hopyard.tasks):
        _add_task(made, hopyard.tasks[name])
    return made


def path_of(task: Task[..., Any]) -> str:
    """Return the path of a task's endpoint: its own, or `/plugin/task-name-with-dashes`."""
    if task.path is not None:
        return f"/{task.path}"
    return "/" + task.name.replace(".", "/").replace("_", "-")


def _add_task(made: APIRouter, task: Task[..., Any]) -> None:
    schema, _ = schemas(task)
    made.post(
        path_of(task),
        status_code=202,
        response_model=Started,
        name=task.name,
        summary=task.summary or task.name,
        description=task.doc,
        tags=[task.name.partition(".")[0]],
        operation_id=f"submit_{task.name}".replace(".", "_"),
        openapi_extra={
            "requestBody": {
                "required": bool(schema.get("required")),
                "content": {"application/json": {"schema": schema}},
            }
        },
    )(_endpoint(task))


def schemas(task: Task[..., Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the schema of a task's arguments, and those that it refers to by their names in the document."""
    whole = dict(task.payload.schema())
    named = whole.pop("$defs", {})
    names = {f"#/$defs/{name}": f"#/components/schemas/{task.name}.{name}" for name in named}
    return _referring(whole, names), {
        f"{task.name}.{name}": _referring(schema, names) for name, schema in named.items()
    }


def _referring(value: Any, names: dict[str, str]) -> Any:
    """Return a schema with its references by other names."""
    if isinstance(value, dict):
        return {
            key: names.get(one, one) if key == "$ref" and isinstance(one, str) else _referring(one, names)
            for key, one in value.items()
        }
    return [_referring(one, names) for one in value] if isinstance(value, list) else value


def _endpoint(task: Task[..., Any]) -> Callable[..., Awaitable[Started]]:
    """Return the endpoint that submits a job of a task; its own types check the arguments."""

    async def submit(
        request: Request,
        here: Here,
        viewer: Submitter,
        idempotency_key: Annotated[
            str | None,
            Header(
                min_length=1,
                max_length=200,
                description="A second request with the same key is the same job.",
            ),
        ] = None,
        delay: Annotated[float | None, Query(ge=0, description="Seconds until it may begin.")] = None,
        priority: Annotated[int | None, Query(ge=0, le=9, description="9 first.")] = None,
        person: Annotated[Name | None, Query(description="Whom it is done for.")] = None,
    ) -> Started:
        if len(request.headers.getlist("idempotency-key")) > 1:
            raise Refused(422, "header.Idempotency-Key: given several times, expected once")
        if not viewer.concerns(task.name):
            raise Refused(403, f"{viewer.name} may not submit tasks of this plugin")
        arguments = await _arguments(request)
        call = task.options(
            delay=delay,
            priority=priority,
            person=_person(viewer, person),
            id=None if idempotency_key is None else _once(viewer, task, idempotency_key),
        )
        job = call.job((), arguments)
        if idempotency_key is not None:
            await _check_same(here, job)
        await here.audit(request, viewer, "submit", job.id, task=task.name)
        await here.hopyard.client().submit([job], fresh=idempotency_key is None)
        if idempotency_key is not None:  # of several at the same time one was stored
            await _check_same(here, job)
        return Started(
            task_id=job.id,
            message=f"{task.name} was accepted",
            monitor_url=f"{here.prefix}/api/background/status/{job.id}",
        )

    return submit


async def _arguments(request: Request) -> dict[str, Any]:
    """Return the arguments in a request's body: a JSON object; no body is none."""
    found = await json_body(request)
    if found is None and not await request.body():
        return {}
    if not isinstance(found, dict):
        raise Refused(422, "the body is no JSON object with the task's arguments by name")
    return found


def _person(viewer: Viewer, person: str | None) -> str | None:
    """Return whom a job is done for. Raises `Refused` for another person than the key is for."""
    if viewer.person is not None and person not in (None, viewer.person):
        raise Refused(403, f"this key is for {viewer.person}")
    return viewer.person or person


def _once(viewer: Viewer, task: Task[..., Any], key: str) -> str:
    """Return the id that the same viewer's key always gives; another one's names another job.

    Names are given twice, ids are not. One person is the same viewer with each of their tokens and logins.
    """
    whose = ("token", viewer.id) if viewer.person is None else ("person", viewer.person)
    return derived_id("http", *whose, task.name, key)


async def _check_same(here: Served, job: NewJob) -> None:
    """Raise `Refused` where the key has named a job that is another one than this."""
    found = await summary.submitted(here.database, job.id)
    if found is None:
        return
    for what, theirs, ours in (
        ("arguments", stored.arguments(found.body), stored.arguments(job.body)),
        ("a person", found.person, job.person),
        ("a priority", found.priority, job.priority),
    ):
        if theirs != ours:
            raise Refused(
                409, f"this Idempotency-Key has named job {job.id}, which has {what} other than this request"
            )


async def status(task_id: str, here: Here, viewer: Reader) -> Status:
    """Say where a job stands: its progress, and its result or error once it is over."""
    job = await seen_job(here, viewer, task_id)
    known: dict[str, Any] = {}
    if is_over(job.state):
        ended = (await here.hopyard.client().ended([job.id])).get(job.id)
        if ended is not None and ended.state is State.SUCCEEDED:
            asked = await summary.submitted(here.database, job.id)
            secrets = named_secrets(stored.arguments(asked.body)) if asked is not None else ()
            known["result"] = without(stored.value(ended.result), secrets)
        elif ended is not None:
            known["error"] = stored.record(ended.error) or None
    return Status(task_id=job.id, status=job.state, progress=await _progress(here, job.id), **known)


async def _progress(here: Served, id_: str) -> Progress:
    """Return how far a job is; nothing yet of one that has not told."""
    found = await progress(here.database, [id_])
    if not found:
        return Progress(current=0.0, total=None, percentage=None, message="", updated_at=None)
    one = found[0]
    return Progress(
        current=one.current,
        total=one.total,
        percentage=one.percentage,
        message=one.message,
        updated_at=one.updated,
    )


async def active(
    here: Here,
    viewer: Reader,
    task: Annotated[str | None, Query(min_length=1, max_length=200)] = None,
    queue: Annotated[str | None, Query(min_length=1, max_length=200)] = None,
    limit: Annotated[int, Query(ge=1, le=listing.MOST)] = 50,
    cursor: str | None = None,
) -> Active:
    """List the jobs that are not over, the newest first."""
    wanted = viewer.narrowed(states=_ACTIVE, task=task, queue=queue)
    found = await listing.page(here.database, wanted, limit=limit, cursor=cursor)
    return Active(tasks=found.jobs, cursor=found.cursor)


async def overview(
    here: Here, viewer: Watcher, minutes: Annotated[int, Query(ge=1, le=11_520)] = 60
) -> Overview:
    """Say what each task did lately: how many jobs ended how, and how long they waited and ran."""
    tasks: dict[str, Performance] = {}
    sums: dict[str, tuple[int, float, float]] = {}
    for one in await counting.ended(here.database, minutes=minutes, span=minutes):
        if not viewer.concerns(one.task):
            continue
        told = tasks.setdefault(one.task, Performance(task=one.task))
        setattr(told, one.state.label, getattr(told, one.state.label) + one.jobs)
        began, waited, ran = sums.get(one.task, (0, 0.0, 0.0))
        sums[one.task] = (began + one.began, waited + one.waited, ran + one.ran)
    for name, told in tasks.items():
        began, waited, ran = sums[name]
        if began:
            told.average_wait, told.average_run = round(waited / began, 3), round(ran / began, 3)
        decided = told.succeeded + told.dead
        told.success_rate = round(100 * told.succeeded / decided, 2) if decided else None
    return Overview(minutes=minutes, tasks=[*tasks.values()])


async def cancel(task_id: str, request: Request, here: Here, viewer: Submitter) -> Cancelled:
    """Cancel a job: one that waits at once, one that runs through its worker.

    Operators may cancel any job; whose key is for one person may cancel what is done for that person.
    """
    job = await seen_job(here, viewer, task_id)
    if viewer.person is None and not viewer.may(Role.OPERATOR):
        raise Refused(403, "cancelling needs the role operator")
    if is_over(job.state):
        raise Refused(409, f"job {job.id} is over: {job.state}")
    await here.audit(request, viewer, "cancel", job.id, task=job.task)
    told = await cancelling.cancel(here.database, [job.id], f"cancelled over HTTP by {viewer.name}")
    if job.id not in told:
        raise Refused(409, f"job {job.id} ended meanwhile")
    done = told[job.id] is State.CANCELLED
    return Cancelled(
        task_id=job.id,
        status=told[job.id].label,
        message="cancelled" if done else "its worker was told to stop it",
    )
