"""Schedules: when each is due next; changing them, firing one now."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import Annotated, Any
from zoneinfo import ZoneInfo

from fastapi import APIRouter, Query, Request
from pydantic import BaseModel, Field

from hopyard import rules
from hopyard.errors import ScheduleError
from hopyard.ledger.read import fires
from hopyard.ledger.values import utcnow
from hopyard.schedule import store
from hopyard.specs import Rule
from hopyard.web.api.deps import Here, Operator, Watcher
from hopyard.web.problems import Refused
from hopyard.web.state import Served
from hopyard.web.strict import Body
from hopyard.web.viewer import Viewer

router = APIRouter(tags=["schedules"])


class Due(BaseModel):
    """A time at which a schedule is due: in UTC, and on the clocks of its zone."""

    at: datetime
    local: str
    dst: bool = Field(description="Whether its zone keeps summer time then.")


class ScheduleState(BaseModel):
    """A schedule, and when it is due next."""

    name: str
    task: str
    when: str = Field(description="Its rule in words.")
    rule: dict[str, Any]
    zone: str | None
    enabled: bool
    source: str = Field(description="plugin, settings or user")
    edited: bool
    person: str | None
    misfire: str
    overlap: str
    next_due: datetime | None
    last_due: datetime | None
    arguments: dict[str, Any]
    upcoming: list[Due] = Field(default_factory=list)


class Schedules(BaseModel):
    """All schedules, by name."""

    schedules: list[ScheduleState]


class Change(Body):
    """What changes of a schedule; what is not given stays."""

    every: float | None = Field(None, strict=True, description="Seconds.")
    cron: str | None = Field(None, description="Five fields, or @daily and the like.")
    rrule: str | None = Field(None, description="A rule of RFC 5545.")
    zone: str | None = Field(None, min_length=1, description="IANA time zone.")
    enabled: bool | None = None


class Fire(BaseModel):
    """A due time, and what became of it."""

    due: datetime
    fired: datetime
    job: str | None = Field(description="Null: left out by the misfire or overlap policy.")
    state: str | None


class Fires(BaseModel):
    """The latest due times of a schedule, the latest first."""

    fires: list[Fire]


class Fired(BaseModel):
    """A job that was submitted as the schedule would have."""

    task_id: str


@router.get("/schedules")
async def list_schedules(here: Here, viewer: Watcher) -> Schedules:
    """List all schedules."""
    async with here.database.transaction() as tx:
        found = await store.listed(tx)
    return Schedules(schedules=[described(one) for one in found if viewer.concerns(one.schedule.task)])


@router.get("/schedules/{name:path}/fires")
async def list_fires(
    name: str, here: Here, viewer: Watcher, limit: Annotated[int, Query(ge=1, le=500)] = 50
) -> Fires:
    """Return the latest due times of a schedule, and what became of them."""
    await _seen(here, viewer, name)
    return Fires(
        fires=[
            Fire(due=one.due, fired=one.fired, job=one.job, state=one.state)
            for one in await fires.latest(here.database, name, limit)
        ]
    )


@router.post("/schedules/{name:path}/run")
async def run_now(name: str, request: Request, here: Here, viewer: Operator) -> Fired:
    """Submit the job of a schedule now; its due times stay as they are."""
    found = await _seen(here, viewer, name)
    task = here.hopyard.task(found.schedule.task)
    await here.audit(request, viewer, "run schedule", name)
    handle = await task.options(person=found.person).submit(**dict(found.schedule.kwargs))
    return Fired(task_id=handle.id)


@router.get("/schedules/{name:path}")
async def show_schedule(name: str, here: Here, viewer: Watcher) -> ScheduleState:
    """Return a schedule with its next ten due times."""
    return described(await _seen(here, viewer, name), upcoming=10)


@router.patch("/schedules/{name:path}")
async def edit_schedule(
    name: str, change: Change, request: Request, here: Here, viewer: Operator
) -> ScheduleState:
    """Change when a schedule is due, or whether it fires at all."""
    old = await _seen(here, viewer, name)
    changes: dict[str, Any] = {} if change.enabled is None else {"enabled": change.enabled}
    rule = _rule(old.schedule.rule, change, here.hopyard.settings.time_zone)
    if rule is not None:
        changes["rule"] = rule
    if not changes:
        raise Refused(422, "say what changes: every, cron, rrule, zone or enabled")
    await here.audit(request, viewer, "edit schedule", name, **change.model_dump(exclude_none=True))
    async with here.database.transaction() as tx:
        found = await store.edit(tx, here.database.dialect, name, **changes)
    return described(found, upcoming=10)


def described(found: store.Stored, *, upcoming: int = 0) -> ScheduleState:
    """Return a schedule as the API has it, with so many due times."""
    schedule = found.schedule
    zone = schedule.rule.zone or "UTC"
    times = rules.upcoming(schedule.rule, utcnow(), upcoming) if upcoming and schedule.enabled else []
    return ScheduleState(
        name=schedule.name,
        task=schedule.task,
        when=rules.describe(schedule.rule),
        rule=rules.to_json(schedule.rule),
        zone=schedule.rule.zone,
        enabled=schedule.enabled,
        source=found.source,
        edited=bool(found.edited),
        person=found.person,
        misfire=str(schedule.misfire),
        overlap=str(schedule.overlap),
        next_due=found.next_due if schedule.enabled else None,
        last_due=found.last_due,
        arguments=dict(schedule.kwargs),
        upcoming=[_due(at, zone) for at in times],
    )


def _due(at: datetime, zone: str) -> Due:
    local = at.astimezone(ZoneInfo(zone))
    return Due(at=at, local=f"{local:%a %Y-%m-%d %H:%M:%S %Z}", dst=_is_summer(local))


def _is_summer(local: datetime) -> bool:
    """Say whether the clocks are ahead of what they show in the other half of the year.

    Not `datetime.dst`: Ireland's law calls its winter time the exception.
    """
    halves = [local.replace(month=month, day=1).utcoffset() for month in (1, 7)]
    return halves[0] != halves[1] and local.utcoffset() == max(half for half in halves if half is not None)


def _rule(old: Rule, change: Change, default_zone: str) -> Rule | None:
    """Return the rule that is asked for; None where it stays. Raises `ScheduleError`."""
    kinds = {
        name: value for name in ("every", "cron", "rrule") if (value := getattr(change, name)) is not None
    }
    if len(kinds) > 1:
        raise ScheduleError("give one of every, cron and rrule")
    if not kinds and change.zone is None:
        return None
    zone = change.zone or old.zone or default_zone
    try:
        rule = Rule(**kinds, zone=zone) if kinds else replace(old, zone=zone)
        if kinds and rules.next_after(rule, utcnow()) is None:
            raise ScheduleError("this rule never falls due again: its last time has passed")
        return rule
    except (ValueError, TypeError, OverflowError) as error:
        raise ScheduleError(str(error)) from error


async def _seen(here: Served, viewer: Viewer, name: str) -> store.Stored:
    """Return a schedule. Raises `Refused` where there is none that the viewer may see."""
    async with here.database.transaction() as tx:
        if not await store.exists(tx, name):
            raise Refused(404, f"there is no schedule `{name[:80]}`")
        found = await store.get(tx, name)
    if not viewer.concerns(found.schedule.task):
        raise Refused(404, f"there is no schedule `{name[:80]}`")
    return found
