"""People's requests over HTTP, below `/api/plugins/ai`: ask, preview, confirm, change, approve, answer.

A key for one person deals with that person's requests only. Any other key sees everybody's, or by `person`
somebody's, and says by `person` for whom it asks, answers, or changes something.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, HTTPException, Query
from fastapi import Request as Http
from hopyard.errors import InvalidInput
from hopyard.people import person as known_person
from hopyard.web import Body, Name, Role, Viewer, audit, needs
from pydantic import BaseModel, Field

from hopyard_ai import approving, confirming, manager, previewing, store
from hopyard_ai.models import Answered, Approval, Reminder, Request, Run
from hopyard_ai.when import LONGEST

router = APIRouter()

Reader = Annotated[Viewer, needs(Role.VIEWER)]
Submitter = Annotated[Viewer, needs(Role.SUBMITTER)]
Whose = Annotated[Name | None, Query(description="Whose; everybody's unless given.")]
Who = Annotated[Name | None, Query(description="Who acts; needed by a key for nobody alone.")]
Act = Literal["pause", "resume", "complete", "run"]
_MAX_TEXT = 10_000


class Question(BaseModel):
    """Something that a person was asked about a request; `run` is what waits for the answer."""

    request: str
    run: str
    text: str


class Requests(BaseModel):
    """People's requests, and the questions that wait for an answer."""

    requests: list[Request]
    questions: list[Question]


class WithRuns(BaseModel):
    """A request, and its latest runs."""

    request: Request
    runs: list[Run]


class Sentence(Body):
    """Something in plain English."""

    text: str = Field(min_length=1, max_length=LONGEST)
    person: Name | None = Field(None, description="Whom it is for.")


class Reading(BaseModel):
    """What a sentence would become, or why it is not read."""

    kind: str | None = None
    instruction: str | None = None
    when: str | None = None
    next: list[str] = []
    last: str | None = None
    refused: str | None = None


class YesOrNo(Body):
    """Whether a person agrees."""

    yes: bool


class Words(Body):
    """What a person answers."""

    text: str = Field(min_length=1, max_length=_MAX_TEXT)


class Changed(BaseModel):
    """A request after an act; `task_id` is the job where one was begun."""

    request: Request | None = None
    task_id: str | None = None


class Approvals(BaseModel):
    """Calls that wait for a person's approval."""

    approvals: list[Approval]


def _whose(viewer: Viewer, person: str | None) -> str | None:
    """Return whose requests there are for a viewer. Raises `HTTPException` for another person than theirs."""
    if viewer.person is not None and person not in (None, viewer.person):
        raise HTTPException(403, f"this key is for {viewer.person}")
    return viewer.person or person


def _who(viewer: Viewer, person: str | None) -> str:
    """Return who acts. Raises `InvalidInput` where that is not said."""
    who = _whose(viewer, person)
    if not who:
        raise InvalidInput("for whom? give `person`: this key is for nobody alone")
    return who


@router.get("/requests")
async def list_requests(viewer: Reader, person: Whose = None, completed: bool = False) -> Requests:
    """List requests that are open, with `completed` those that are done as well."""
    whose = _whose(viewer, person)
    states = (*store.OPEN, "completed") if completed else store.OPEN
    waiting = await store.waiting_runs(whose, "asking")
    return Requests(
        requests=await store.requests(person=whose, states=states),
        questions=[
            Question(request=request.id, run=run.id, text=run.answer or "") for request, run in waiting
        ],
    )


@router.post("/preview")
async def preview(sentence: Sentence, viewer: Reader) -> Reading:
    """Say what a sentence would become, by the grammar alone; nothing is stored and no model is asked."""
    who = _whose(viewer, sentence.person)
    zone = known_person(who or viewer.name).zone
    return Reading.model_validate(previewing.preview(sentence.text, datetime.now(UTC), zone))


@router.post("/requests", status_code=201)
async def ask(sentence: Sentence, http: Http, viewer: Submitter) -> Reminder:
    """Ask for something. What a model has read waits to be confirmed."""
    who = _who(viewer, sentence.person)
    await audit(http, viewer, "ask", who, text=sentence.text)
    return await manager.create(sentence.text, person=who)


@router.get("/requests/{id}")
async def show(id: str, viewer: Reader, person: Whose = None) -> WithRuns:  # noqa: A002 - the path's name
    """Return a request with its latest runs: decision, tool calls, answer, cost."""
    found = await store.find_request(id, _whose(viewer, person))
    return WithRuns(request=found, runs=await store.runs(found.id))


@router.post("/requests/{id}/confirm")
async def confirm(
    id: str,  # noqa: A002 - the path's name
    answer: YesOrNo,
    http: Http,
    viewer: Submitter,
    person: Who = None,
) -> Reminder:
    """Agree, or not, to what a model made of a request."""
    who = _who(viewer, person)
    await audit(http, viewer, "confirm request", id, yes=answer.yes, person=who)
    return await confirming.confirm(id, person=who, yes=answer.yes)


@router.post("/requests/{id}/answer")
async def answer(
    id: str,  # noqa: A002 - the path's name
    words: Words,
    http: Http,
    viewer: Submitter,
    person: Who = None,
) -> Answered:
    """Answer a question about a request, which is then acted on."""
    who = _who(viewer, person)
    await audit(http, viewer, "answer question", id, text=words.text, person=who)
    return await manager.answer(id, words.text, person=who)


@router.delete("/requests/{id}")
async def delete(id: str, http: Http, viewer: Submitter, person: Who = None) -> Changed:  # noqa: A002 - the path's name
    """Remove a request; its runs stay for the record."""
    who = _who(viewer, person)
    await audit(http, viewer, "delete request", id, person=who)
    await manager.delete(id, person=who)
    return Changed()


@router.post("/requests/{id}/{act}")
async def change(
    id: str,  # noqa: A002 - the path's name
    act: Act,
    http: Http,
    viewer: Submitter,
    person: Who = None,
) -> Changed:
    """Let a request rest or go on, say that it is done, or act on it now."""
    who = _who(viewer, person)
    await audit(http, viewer, f"{act} request", id, person=who)
    if act == "run":
        return Changed(task_id=await manager.run_now(id, person=who))
    acts: dict[str, Any] = {
        "pause": manager.pause,
        "resume": manager.resume,
        "complete": manager.complete,
    }
    return Changed(request=await acts[act](id, person=who))


@router.get("/approvals")
async def approvals(viewer: Reader, person: Whose = None) -> Approvals:
    """List the calls that wait for a person's approval."""
    return Approvals(approvals=await approving.open_approvals(_whose(viewer, person)))


@router.post("/approvals/{name}")
async def approve(name: str, answer: YesOrNo, http: Http, viewer: Submitter, person: Who = None) -> Answered:
    """Agree, or not, to one call."""
    who = _who(viewer, person)
    await audit(http, viewer, "approve", name, yes=answer.yes, person=who)
    return await approving.approve(name, person=who, yes=answer.yes)
