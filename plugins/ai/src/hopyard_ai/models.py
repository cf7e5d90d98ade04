"""What the plugin's tasks take and give, and what it stores."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal
from zoneinfo import ZoneInfo

from pydantic import BaseModel

Kind = Literal["reminder", "automated", "periodic"]
State = Literal["unconfirmed", "active", "paused", "completed", "deleted"]
RunState = Literal["running", "done", "postponed", "asking", "approval", "failed", "skipped"]


class Request(BaseModel):
    """A person's request. `next_times` are its next due times in the person's zone.

    One that is unconfirmed was read by a model from what was `said`; it does nothing until its person agrees,
    and is dropped when it `expires`.
    """

    id: str
    person: str
    kind: Kind
    title: str
    instruction: str
    when: str
    zone: str
    state: State
    after: str | None = None
    next_times: list[datetime] = []
    created: datetime
    said: str | None = None
    expires: datetime | None = None


class Reminder(BaseModel):
    """The answer to somebody who asked for something: `sentence` can be shown as it is."""

    request: Request
    sentence: str


class Run(BaseModel):
    """One time that a request fell due, and what came of it."""

    id: str
    request: str
    due: datetime
    job: str
    state: RunState
    postponed: int = 0
    decision: dict[str, Any] | None = None
    answer: str | None = None
    calls: list[dict[str, Any]] = []
    pending: list[dict[str, Any]] = []
    model: str | None = None
    steps: int | None = None
    tokens: int | None = None
    cost: float | None = None
    started: datetime
    finished: datetime | None = None


class Approval(BaseModel):
    """A tool call that waits for a person: who, what, until when, and the id to answer by."""

    id: str
    person: str
    request: str
    title: str
    run: str
    due: datetime
    tool: str
    args: dict[str, Any]
    effect: str = ""
    """What the tool says of itself, such as `changes something`."""
    expires: datetime | None = None


class Answered(BaseModel):
    """What became of an answer. `job` goes on with the run; None while other calls of it wait."""

    job: str | None
    sentence: str


class Due(BaseModel):
    """What the repairing tick found: requests whose schedule was missing, due times that nobody fired."""

    checked: int
    schedules_repaired: int
    submitted: int
    failed: int


class Connection(BaseModel):
    """Whether a model answers, and how fast."""

    model: str
    ok: bool
    seconds: float
    detail: str


def wall(moment: datetime, zone: str) -> str:
    """Return a moment as people in a zone read it on the wall, to the minute."""
    return f"{moment.astimezone(ZoneInfo(zone)):%Y-%m-%d %H:%M %Z}"
