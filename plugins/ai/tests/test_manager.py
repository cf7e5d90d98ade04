"""Requests are made, changed and removed together with their schedules, on both databases."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hopyard import Hopyard, storage
from hopyard.errors import HopyardError, InvalidInput, ScheduleError, TransientError
from hopyard.ledger.database import Database
from hopyard.ledger.values import new_id, utcnow
from hopyard.schedule import store as schedules
from hopyard.schedule.store import Stored
from hopyard.specs import State
from hopyard_ai import manager, store
from hopyard_ai.models import Request

pytestmark = pytest.mark.usefixtures("hopyard")


async def stored(database: Database, request: Request | str) -> Stored | None:
    """The core's schedule of a request, None if there is none."""
    id_ = request if isinstance(request, str) else request.id
    async with database.transaction() as tx:
        try:
            return await schedules.get(tx, store.schedule_name(id_))
        except ScheduleError:
            return None


async def create(text: str, **values: Any) -> Request:
    return (await manager.create(text, person=values.pop("person", "alice"), **values)).request


async def test_a_recurring_request_and_its_schedule_are_stored(database: Database) -> None:
    made = await manager.create("every weekday at 8:00 tell me the disk usage", person="alice")
    request = made.request
    assert (request.kind, request.state, request.zone) == ("periodic", "active", "Europe/Berlin")
    assert request.instruction == "Tell me the disk usage"
    assert len(request.next_times) == 5
    assert {(at.hour, at.minute) for at in request.next_times} == {(8, 0)}
    assert all(at.weekday() < 5 for at in request.next_times)
    schedule = await stored(database, request)
    assert schedule is not None
    assert (schedule.schedule.task, schedule.schedule.kwargs) == ("ai.act", {"request": request.id})
    assert (schedule.person, schedule.source, schedule.schedule.misfire) == ("alice", "user", "latest")
    assert schedule.next_due == request.next_times[0]
    assert "Tell me the disk usage" in made.sentence
    assert f"{request.next_times[0]:%A %d %B %Y at %H:%M}" in made.sentence
    assert await store.find_request(request.id[-12:], None) == request


async def test_a_one_off_request_is_due_once(database: Database) -> None:
    before = utcnow()
    request = await create("in 20 minutes remind me to call Bob", zone="Asia/Tokyo")
    assert (request.kind, request.zone) == ("reminder", "Asia/Tokyo")
    (due,) = request.next_times
    assert timedelta(minutes=19) < due - before < timedelta(minutes=21)
    assert due.utcoffset() == timedelta(hours=9)
    schedule = await stored(database, request)
    assert schedule is not None
    assert schedule.schedule.rule.at is not None
    assert (await create("in 20 minutes check the disk usage")).kind == "automated"


async def test_a_dependent_request_has_no_schedule_of_its_own(database: Database) -> None:
    first = await create("every day at 9:00 fetch the figures", title="Figures")
    then = await create("summarise the figures", after=first.id[:13])
    assert (then.after, then.when, then.next_times) == (first.id, "after “Figures”", [])
    assert await stored(database, then) is None
    assert [one.id for one in await store.dependents(first)] == [then.id]
    await manager.pause(then.id, person="alice")
    assert await store.dependents(first) == []
    assert (await manager.resume(then.id, person="alice")).state == "active"


@pytest.mark.parametrize(
    ("text", "values", "error", "match"),
    [
        ("at 10:00 on 1 January 2020 call Bob", {}, ScheduleError, "2020"),
        ("call Bob", {}, ScheduleError, "call Bob|time|when"),
        ("   ", {}, InvalidInput, "empty"),
        ("tomorrow at 9:00", {}, InvalidInput, "not what is to be done"),
        ("in 5 minutes call Bob", {"person": " "}, InvalidInput, "whom"),
        ("in 5 minutes call Bob", {"zone": "Europe/Atlantis"}, HopyardError, "Europe/Atlantis"),
        ("call Bob", {"after": "nothing"}, InvalidInput, "no request nothing"),
    ],
)
async def test_what_cannot_be_scheduled_is_refused_and_stores_nothing(
    database: Database, text: str, values: dict[str, Any], error: type[Exception], match: str
) -> None:
    with pytest.raises(error, match=match):
        await create(text, **values)
    assert await store.requests() == []
    assert await database.fetch("SELECT name FROM schedule") == []


async def test_request_and_schedule_are_stored_in_one_transaction(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(*args: Any, **options: Any) -> None:
        raise ScheduleError("no")

    monkeypatch.setattr("hopyard_ai.manager.schedules.put", broken)
    with pytest.raises(ScheduleError):
        await create("every day at 9:00 tell me the disk usage")
    assert await store.requests() == []


async def test_pausing_and_resuming_keep_the_schedule_in_step(database: Database) -> None:
    request = await create("every hour tell me the disk usage")
    paused = await manager.pause(request.id, person="alice")
    assert (paused.state, paused.next_times) == ("paused", [])
    schedule = await stored(database, request)
    assert schedule is not None
    assert (schedule.schedule.enabled, schedule.next_due) == (False, None)
    resumed = await manager.resume(request.id, person="alice")
    assert resumed.state == "active"
    schedule = await stored(database, request)
    assert schedule is not None
    assert schedule.next_due is not None
    assert schedule.next_due > utcnow()


async def test_a_one_off_whose_time_passed_while_it_was_paused_cannot_be_resumed(database: Database) -> None:
    request = await create("in 20 minutes call Bob")
    await manager.pause(request.id, person="alice")
    rule = json.dumps({"at": "2020-01-01T00:00:00+00:00", "zone": "UTC"})
    await database.execute("UPDATE schedule SET rule = $1", rule)
    with pytest.raises(InvalidInput, match=r"update .* --when"):
        await manager.resume(request.id, person="alice")
    assert (await store.get_request(request.id)).state == "paused"


async def test_completing_ends_the_due_times_and_deleting_removes_the_schedule(database: Database) -> None:
    request = await create("every hour tell me the disk usage")
    assert (await manager.complete(request.id, person="alice")).state == "completed"
    schedule = await stored(database, request)
    assert schedule is not None
    assert schedule.next_due is None
    assert await store.requests() == []
    assert [one.id for one in await store.requests(states=("completed",))] == [request.id]
    await manager.delete(request.id, person="alice")
    assert await stored(database, request) is None
    with pytest.raises(InvalidInput, match="no request"):
        await store.get_request(request.id)


async def test_an_update_of_the_time_moves_the_schedule(database: Database) -> None:
    request = await create("every day at 9:00 tell me the disk usage")
    updated = await manager.update(request.id, person="alice", when="every weekday at 17:30", title="Disk")
    assert (updated.title, updated.instruction) == ("Disk", request.instruction)
    assert {(at.hour, at.minute) for at in updated.next_times} == {(17, 30)}
    schedule = await stored(database, request)
    assert schedule is not None
    assert schedule.next_due == updated.next_times[0]
    changed = await manager.update(request.id, person="alice", instruction="Tell me the load")
    assert (changed.instruction, changed.when) == ("Tell me the load", updated.when)
    with pytest.raises(InvalidInput, match="nothing to change"):
        await manager.update(request.id, person="alice")
    with pytest.raises(ScheduleError):
        await manager.update(request.id, person="alice", when="at 10:00 on 1 January 2020")
    assert (await store.get_request(request.id)).when == updated.when


async def test_a_new_time_decides_whether_it_recurs_and_what_it_waits_for(database: Database) -> None:
    request = await create("in 20 minutes tell me the disk usage")
    assert (await manager.update(request.id, person="alice", when="every hour")).kind == "periodic"
    assert (await manager.update(request.id, person="alice", when="in 3 hours")).kind == "automated"
    then = await create("tell me the load", after=request.id)
    freed = await manager.update(then.id, person="alice", when="every hour")
    assert (freed.after, freed.kind) == (None, "periodic")
    assert await store.dependents(request) == []
    assert await stored(database, then) is not None


async def test_a_new_time_does_not_wake_a_paused_request_but_a_completed_one(database: Database) -> None:
    request = await create("every hour tell me the disk usage")
    await manager.pause(request.id, person="alice")
    assert (await manager.update(request.id, person="alice", when="every 2 hours")).state == "paused"
    schedule = await stored(database, request)
    assert schedule is not None
    assert schedule.next_due is None
    await manager.complete(request.id, person="alice")
    assert (await manager.update(request.id, person="alice", when="every 3 hours")).state == "active"
    schedule = await stored(database, request)
    assert schedule is not None
    assert schedule.next_due is not None


async def test_due_times_follow_the_persons_clocks_into_summer_time() -> None:
    now = datetime(2027, 3, 25, 12, 0, tzinfo=UTC)  # clocks change on Sunday the 28th
    request = await create("every weekday at 8:00 tell me the disk usage", now=now)
    from hopyard import rules

    rows = await storage.fetch("SELECT rule FROM ai_request WHERE id = $1", request.id)
    upcoming = rules.upcoming(rules.from_json(json.loads(rows[0]["rule"])), now, 3)
    assert [at.isoformat() for at in upcoming] == [
        "2027-03-26T07:00:00+00:00",
        "2027-03-29T06:00:00+00:00",
        "2027-03-30T06:00:00+00:00",
    ]


async def test_requests_are_listed_newest_first_by_person_and_found_by_a_part_of_their_id() -> None:
    first = await create("every hour a")
    second = await create("every hour b", person="bob")
    assert [one.id for one in await store.requests()] == [second.id, first.id]
    assert [one.id for one in await store.requests(person="alice")] == [first.id]
    assert [one.id for one in await store.requests(limit=1)] == [second.id]
    with pytest.raises(InvalidInput, match="more than one"):
        await store.find_request(first.id[:1], None)
    with pytest.raises(InvalidInput, match="no request"):
        await store.get_request(new_id())


@pytest.mark.parametrize("part", ["", "%", "_", "x' OR 1=1"])
async def test_a_part_of_an_id_is_no_pattern(part: str) -> None:
    await create("every hour a")
    with pytest.raises(InvalidInput):
        await store.find_request(part, None)


async def test_the_task_creates_for_the_jobs_person(hopyard: Hopyard, floor: Any) -> None:
    created = hopyard.task("ai.create_ai_reminder").options(person="alice")
    handle = await created.submit(text="every hour tell me the disk usage")
    await floor.run(handle.id)
    reminder = await handle.result(5)
    assert reminder.request.person == "alice"
    assert reminder.sentence.startswith("All right")


async def test_a_second_attempt_of_the_task_stores_nothing_anew(
    hopyard: Hopyard, floor: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first one stored the request, and its answer was lost."""
    created = hopyard.task("ai.create_ai_reminder").options(person="alice")
    handle = await created.submit(text="in 20 minutes call Bob")
    insert = store.insert_request
    ids = []

    async def blip(tx: Any, request: Any, *values: Any) -> bool:
        ids.append(request.id)
        return await insert(tx, request, *values)

    async def away(*args: Any, **values: Any) -> Any:
        raise TransientError("the line was cut")

    monkeypatch.setattr(store, "insert_request", blip)
    with monkeypatch.context() as patch:
        patch.setattr(store, "get_request", away)
        assert await floor.run(handle.id) is None
    assert await floor.run(handle.id) is State.SUCCEEDED
    (request,) = await store.requests()
    assert [request.id] == ids
    assert (await handle.result(5)).request.id == request.id


async def test_a_whole_id_is_looked_up_and_a_part_is_none_to_programs() -> None:
    request = await create("every hour a")
    assert await store.get_request(request.id.upper()) == request
    with pytest.raises(InvalidInput):
        await store.get_request(request.id[:-1])
