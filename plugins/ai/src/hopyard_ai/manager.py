"""Making and changing requests. Each owns one schedule of the core's, kept in step in one transaction.

Each function takes `person`: whose requests there are for the caller. Another's request is answered as one
that does not exist. None is the operator of the installation, for whom there are everybody's.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from hopyard import Rule, Schedule, schedules, storage
from hopyard.errors import InvalidInput, ScheduleError
from hopyard.people import person as known_person
from hopyard.schedules import zone_of
from hopyard.storage import derived_id, new_id, utcnow

from hopyard_ai import budget, confirming, store
from hopyard_ai.agent.answers import clean
from hopyard_ai.health import settings
from hopyard_ai.interpreting import Understood, read_time, understand
from hopyard_ai.models import Answered, Kind, Reminder, Request, Run
from hopyard_ai.tasks import act


async def create(
    text: str,
    *,
    person: str,
    title: str | None = None,
    zone: str | None = None,
    after: str | None = None,
    kind: Kind | None = None,
    now: datetime | None = None,
    id_: str | None = None,
    tell: bool = True,
) -> Reminder:
    """Store a request in plain English and schedule it; `after` is the id of another one, which it follows.

    What a model has read is stored unconfirmed: it does nothing until `confirming.confirm`. Its person is
    told how to do that, unless the caller asks them at once (`tell=False`).
    With an `id_` that was stored before it stores nothing, and returns what was stored then.
    Raises `InvalidInput` for an empty text or person, a wrong zone, or too many open requests,
    `ScheduleError` if no time can be understood, it has passed, or comes again too soon.
    """
    text = clean(text)
    if id_ is not None and (before := await store.stored_request(id_)) is not None:
        return await _answer(before, tell)
    if not person.strip():
        raise InvalidInput("whom is it for? give a person, such as --user alice")
    if not text.strip():
        raise InvalidInput("what is to be done? the request is empty")
    own_zone = _zone(zone) if zone else known_person(person).zone
    await budget.check_open(person)
    if after:
        parent = await store.find_request(after, person)
        understood = Understood.at_once(text, f"after “{parent.title}”")
        after = parent.id
    else:
        understood = await understand(text, person=person, now=now or utcnow(), zone=own_zone)
    budget.check_interval(understood.rule)
    if not understood.instruction and not title and _kind(understood) != "reminder":
        raise InvalidInput(f"{text.strip()[:80]!r} says when, but not what is to be done")
    expires = utcnow() + timedelta(seconds=settings().confirm_expires)
    request = Request(
        id=id_ or new_id(),
        person=person,
        kind=kind or _kind(understood),
        title=clean(title or understood.title).strip()[:200],
        instruction=understood.instruction,
        when=understood.phrase,
        zone=own_zone,
        state="active" if understood.certain else "unconfirmed",
        after=after,
        created=utcnow(),
        said=None if understood.certain else text,
        expires=None if understood.certain else expires,
    )
    await _insert(request, understood.rule)
    return await _answer(await store.get_request(request.id, deleted=True), tell)


async def _answer(request: Request, tell: bool) -> Reminder:
    if request.state != "unconfirmed":
        return Reminder(request=request, sentence=sentence(request))
    if tell:
        await confirming.ask(request)
    return Reminder(request=request, sentence=confirming.question(request))


def _zone(name: str) -> str:
    try:
        return zone_of(name).key
    except ScheduleError as error:
        raise InvalidInput(str(error)) from error


async def _insert(request: Request, rule: Rule | None) -> None:
    async with storage.transaction() as tx:
        new = await store.insert_request(tx, request, rule)
        if new and rule is not None and request.state == "active":
            await schedules.put(schedule(request.id, rule), person=request.person, tx=tx)


def schedule(request: str, rule: Rule) -> Schedule:
    """Return the schedule that fires a request; of the due times that passed unseen only the latest."""
    return Schedule(
        store.schedule_name(request), act.name, rule, kwargs={"request": request}, misfire="latest"
    )


def sentence(request: Request) -> str:
    """Return a friendly confirmation."""
    if request.after:
        return f"All right: {request.title} — {request.when}."
    if not request.next_times:
        return f"All right: {request.title} — {request.when}, right away."
    first = f"{request.next_times[0]:%A %d %B %Y at %H:%M:%S}"
    again = f", then {request.when}" if len(request.next_times) > 1 else ""
    return (
        f"All right: {request.title} — first on {first} ({request.zone}){again}."
        if again
        else (f"All right: {request.title} — on {first} ({request.zone}).")
    )


async def update(
    id_: str,
    *,
    person: str | None,
    title: str | None = None,
    instruction: str | None = None,
    when: str | None = None,
) -> Request:
    """Change a request's title, what is to be done, or when, as the grammar reads it. Raises as `create`."""
    request = await store.find_request(id_, person)
    confirming.check_confirmed(request)
    changes: dict[str, Any] = {}
    rule = None
    state = request.state
    if title:
        changes["title"] = clean(title)[:200]
    if instruction:
        changes["instruction"] = clean(instruction)
    if when:
        understood = read_time(when, now=utcnow(), zone=request.zone)
        rule = understood.rule
        budget.check_interval(rule)
        state = "active" if state == "completed" else state
        changes |= {"phrase": understood.phrase, "rule": _json(rule), "after_id": None, "state": state}
        changes["kind"] = _kind(understood, request.kind)
    if not changes:
        raise InvalidInput("nothing to change: give a title, an instruction or a time")
    async with storage.transaction() as tx:
        await store.update_request(tx, request.id, **changes)
        if rule is not None:
            own = replace(schedule(request.id, rule), enabled=state == "active")
            await schedules.put(own, person=request.person, tx=tx)
    return await store.get_request(request.id)


def _kind(understood: Understood, before: Kind | None = None) -> Kind:
    if before == "reminder" or (before is None and understood.reminder):
        return "reminder"
    return "periodic" if understood.recurring else "automated"


def _json(rule: Rule | None) -> str | None:
    import json

    return json.dumps(schedules.rule_to_json(rule)) if rule else None


async def pause(id_: str, *, person: str | None) -> Request:
    """Let a request rest; its due times pass."""
    return await _set_state(id_, person, "paused", enabled=False)


async def resume(id_: str, *, person: str | None) -> Request:
    """Let a paused request go on, from now. Raises `InvalidInput` if its only time has passed."""
    return await _set_state(id_, person, "active", enabled=True)


async def complete(id_: str, *, person: str | None) -> Request:
    """Say that a request is done for good."""
    return await _set_state(id_, person, "completed", enabled=False)


async def _set_state(id_: str, person: str | None, state: str, *, enabled: bool) -> Request:
    request = await store.find_request(id_, person)
    confirming.check_confirmed(request)
    async with storage.transaction() as tx:
        await store.update_request(tx, request.id, state=state)
        if not request.after:
            try:
                stored = await schedules.edit(store.schedule_name(request.id), enabled=enabled, tx=tx)
            except ScheduleError as error:
                raise InvalidInput(f"request {request.id} has no schedule any more: {error}") from error
            if enabled and stored.next_due is None:
                raise InvalidInput(
                    f"the time of request {request.id} has passed ({request.when}): "
                    f"give it a new one with `hopyard ai update {request.id} --when`"
                )
    return await store.get_request(request.id)


async def delete(id_: str, *, person: str | None) -> None:
    """Remove a request; its runs stay for the record."""
    request = await store.find_request(id_, person)
    async with storage.transaction() as tx:
        await store.update_request(tx, request.id, state="deleted")
        await schedules.delete(store.schedule_name(request.id), missing_ok=True, tx=tx)


async def run_now(id_: str, *, person: str | None) -> str:
    """Act on a request now, beside its schedule; return the job's id."""
    request = await store.find_request(id_, person)
    confirming.check_confirmed(request)
    handle = await act.options(person=request.person).submit(request=request.id, due=utcnow())
    return handle.id


async def answer(id_: str, text: str, *, person: str) -> Answered:
    """Answer a question about a request, which is then acted on; `id_` is the request's, or its run's.

    Raises `InvalidInput` where the person was not asked, or it is not clear which question is meant.
    """
    import json

    request, run = await _question(id_, person)
    said = [*await store.answers(request.id), clean(text)]
    again = act.options(person=request.person, id=derived_id(run.id, "answer", str(len(said))))
    async with storage.transaction() as tx:
        await store.update_request(tx, request.id, answers=json.dumps(said))
        job = await tx.submit(again, request=request.id, due=run.due)
        await store.write_run(tx, run.id, state="running", job_id=job.id)
    return Answered(job=job.id, sentence=f"Answered “{run.answer}”, for “{request.title}”.")


async def _question(id_: str, person: str) -> tuple[Request, Run]:
    part = id_.strip().lower()
    open_ = await store.waiting_runs(person, "asking")
    found = [pair for pair in open_ if pair[1].id == part]
    if not found:
        request = await store.find_request(id_, person)
        found = [pair for pair in open_ if pair[0].id == request.id]
    if not found:
        raise InvalidInput(f"request {id_} does not wait for an answer")
    if len(found) > 1:
        listed = "\n".join(f"  {run.id}  {run.answer}" for _, run in found)
        raise InvalidInput(f"several questions wait about this request: name one of them\n{listed}")
    return found[0]


__all__ = [
    "answer",
    "complete",
    "create",
    "delete",
    "pause",
    "resume",
    "run_now",
    "schedule",
    "sentence",
    "update",
]
