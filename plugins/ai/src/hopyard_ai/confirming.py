"""Requests that a model has read: each does nothing until its person has agreed to what was understood."""

from __future__ import annotations

from datetime import datetime

from hopyard import notify, schedules, storage
from hopyard.errors import InvalidInput
from hopyard.storage import derived_id, utcnow

from hopyard_ai import store
from hopyard_ai.models import Reminder, Request, wall

_MOST_ENDED = 200
"""Requests that one tick drops."""


def question(request: Request) -> str:
    """Return what a person is asked: what was understood, and how to answer."""
    command = f"hopyard ai confirm {request.id} --user {request.person}"
    first = f", first on {request.next_times[0]:%A %d %B %Y at %H:%M}" if request.next_times else ""
    kind = "You are then told" if request.kind == "reminder" else "Then this is done"
    lines = [
        f"A model has read “{request.said}”. Is this right?",
        f"When: {request.when}{first}.",
        f"{kind}: {request.instruction or request.title}",
        f"To agree: {command}",
        f"To refuse: {command} --no",
    ]
    if request.expires is not None:
        end = wall(request.expires, request.zone)
        lines.append(f"Until then nothing happens; it is dropped after {end}.")
    return "\n".join(lines)


async def ask(request: Request) -> None:
    """Tell a person how to confirm a request; once, however often it is called."""
    title = f"Is this right? “{request.title}”"
    data = {"request": request.id, "state": "unconfirmed"}
    await notify(request.person, title, question(request), data=data, id=derived_id(request.id, "confirm"))


def check_confirmed(request: Request) -> None:
    """Raise `InvalidInput` for a request that waits to be confirmed."""
    if request.state == "unconfirmed":
        raise InvalidInput(
            f"request {request.id} is not confirmed yet: `hopyard ai confirm {request.id}`, "
            "or --no to drop it"
        )


async def confirm(id_: str, *, person: str, yes: bool) -> Reminder:
    """Agree, or not, to what a model made of a request of `person`.

    Raises `InvalidInput` for another's, and for one that does not wait for it, has expired or is past.
    """
    from hopyard_ai.manager import schedule, sentence

    request = await store.find_request(id_, person)
    if request.state != "unconfirmed":
        raise InvalidInput(f"request {request.id} does not wait to be confirmed: it is {request.state}")
    if yes and (why := _over(request, utcnow())):
        raise InvalidInput(f"request {request.id} {why}: ask for it again")
    rule = await store.rule(request.id)
    async with storage.transaction() as tx:
        if not await store.settle(tx, request.id, "active" if yes else "deleted"):
            raise InvalidInput("somebody has just answered this: look again")
        if yes:
            await schedules.put(schedule(request.id, rule), person=request.person, tx=tx)
    after = await store.get_request(request.id, deleted=True)
    return Reminder(request=after, sentence=sentence(after) if yes else f"Dropped: {request.title}.")


def _over(request: Request, now: datetime) -> str | None:
    """Why a request cannot be confirmed any more."""
    if request.expires is not None and request.expires <= now:
        return f"was to be confirmed until {wall(request.expires, request.zone)}"
    return None if request.next_times else "is for a time that has passed"


async def end_expired() -> int:
    """Drop the requests that nobody confirmed in time, and tell their people. Returns how many."""
    ended = 0
    for request in await store.requests(states=("unconfirmed",), limit=_MOST_ENDED, oldest=True):
        why = _over(request, utcnow())
        if why is None:
            continue
        body = f"“{request.said}” {why}. It is dropped; ask for it again if it is still wanted."
        id_ = derived_id(request.id, "unconfirmed")
        await notify(request.person, f"Not confirmed: “{request.title}”", body, id=id_)
        async with storage.transaction() as tx:
            ended += await store.settle(tx, request.id, "deleted")
    return ended
