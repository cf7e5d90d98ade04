"""Approvals: each belongs to one call and one person, has an id of its own, and expires."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from hopyard import storage
from hopyard.errors import InvalidInput, NotFound
from hopyard.storage import derived_id, utcnow

from hopyard_ai import store
from hopyard_ai.models import Answered, Approval, Request, Run, wall
from hopyard_ai.tasks import act

if TYPE_CHECKING:
    from hopyard_ai.agent.executor import ToolCall

#: How many characters name an approval: the last ones of a derived id, whose first ones are a time. An
#: answer has to give four of them at least.
_SHORT: Final = 8
_LEAST: Final = 4


def asked(run: Run, calls: Sequence[ToolCall], step: int, seconds: float) -> list[dict[str, Any]]:
    """Return what is stored of calls that wait; `step` counts answers: a call asked again is a new one."""
    expires = (utcnow() + timedelta(seconds=seconds)).isoformat(timespec="seconds")
    return [
        asdict(call) | {"approval": _id(run, call.id, step), "expires": expires, "agreed": None}
        for call in calls
    ]


def _id(run: Run, call: str, step: int) -> str:
    return derived_id(run.id, "approval", call, str(step))[-_SHORT:]


def waiting(request: Request, run: Run) -> list[Approval]:
    """Return the calls of a run that nobody has answered yet, those that have expired too."""
    return [
        Approval(
            id=call.get("approval") or _id(run, str(call["id"]), 0),
            person=request.person,
            request=request.id,
            title=request.title,
            run=run.id,
            due=run.due,
            tool=call["name"],
            args=call["args"],
            effect=call.get("effect", ""),
            expires=call.get("expires"),
        )
        for call in run.pending
        if call.get("agreed") is None
    ]


def call_text(tool: str, args: Mapping[str, Any]) -> str:
    """Return a call as people see it, such as `site.open_door({"which": "north"})`."""
    text = json.dumps(args, ensure_ascii=False, default=str)
    return f"{tool}({text if len(text) <= 1000 else text[:1000] + ' …'})"


def question(approvals: Sequence[Approval], zone: str) -> str:
    """Return the message that asks a person: each call, what it does, and how to answer."""
    lines = []
    for one in approvals:
        command = f"hopyard ai approve {one.id} --user {one.person}"
        lines += [
            f"This needs your approval: {call_text(one.tool, one.args)}",
            *([f"It {one.effect}."] if one.effect else []),
            f"To agree: {command}",
            f"To refuse: {command} --deny",
        ]
    if approvals and approvals[0].expires is not None:
        lines.append(f"Without an answer it is not done after {wall(approvals[0].expires, zone)}.")
    return "\n".join(lines)


async def open_approvals(person: str | None) -> list[Approval]:
    """Return the calls that wait for a person (None: for anybody) and have not expired."""
    found = [one for pair in await store.waiting_runs(person, "approval") for one in waiting(*pair)]
    return [one for one in found if not expired(one)]


def expired(approval: Approval) -> bool:
    """Whether its time to be answered has passed."""
    return approval.expires is not None and approval.expires <= utcnow()


async def approve(name: str | None, *, person: str, yes: bool) -> Answered:
    """Agree, or not, to one call that waits for `person`.

    `name` is the approval's id, its beginning, or the request's where only one call of it waits; without it
    there must be only one. The run goes on once all its calls are answered. Raises `InvalidInput` for
    another's, for one that has expired, and where it is not clear which is meant.
    """
    wanted = await _the_one(name, person)
    if expired(wanted):
        raise InvalidInput(
            f"approval {wanted.id} expired at {wanted.expires:%Y-%m-%d %H:%M %Z}: ask for it again with "
            f"`hopyard ai run {wanted.request}`"
        )
    run = await store.get_run(wanted.run)
    pending = [
        call | {"approval": one_id, "agreed": yes if one_id == wanted.id else call.get("agreed")}
        for call in run.pending
        for one_id in [call.get("approval") or _id(run, str(call["id"]), 0)]
    ]
    left = sum(call["agreed"] is None for call in pending)
    async with storage.transaction() as tx:
        await store.change_pending(tx, run, pending)
        job = None
        if not left:
            agreed = {str(call["id"]): bool(call["agreed"]) for call in pending}
            again = act.options(
                person=person, id=derived_id(run.id, "approval", *(call["approval"] for call in pending))
            )
            job = (await tx.submit(again, request=wanted.request, due=run.due, approvals=agreed)).id
            await store.write_run(tx, run.id, state="running", job_id=job)
    verb = "Agreed to" if yes else "Refused"
    more = f" {left} more of its calls wait for an answer." if left else ""
    said = f"{verb} {call_text(wanted.tool, wanted.args)}, for “{wanted.title}”.{more}"
    return Answered(job=job, sentence=said)


async def _the_one(name: str | None, person: str) -> Approval:
    found = [one for pair in await store.waiting_runs(person, "approval") for one in waiting(*pair)]
    if name is None:
        found = [one for one in found if not expired(one)]
        if not found:
            raise NotFound(f"nothing waits for an approval of {person}")
    else:
        part = name.strip().lower()
        by_id = [one for one in found if len(part) >= _LEAST and one.id.startswith(part)]
        found = by_id or [one for one in found if _names(part, one)]
        if not found:
            raise NotFound(f"{name} does not wait for an approval of {person}")
    if len(found) > 1:
        listed = "\n".join(f"  {one.id}  {call_text(one.tool, one.args)}  “{one.title}”" for one in found)
        raise InvalidInput(f"several calls wait for {person}: name one of them\n{listed}")
    return found[0]


def _names(part: str, approval: Approval) -> bool:
    """Whether somebody means an approval by the id of its run or request."""
    both = (approval.run, approval.request)
    return any(id_.startswith(part) or id_.endswith(part) for id_ in both) and len(part) >= _LEAST


def agreed_in_time(run: Run, now: datetime) -> bool:
    """Whether none of the calls that a run waits with has expired unanswered."""
    return all(
        call.get("agreed") is not None
        or not call.get("expires")
        or datetime.fromisoformat(call["expires"]) > now
        for call in run.pending
    )
