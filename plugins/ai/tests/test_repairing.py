"""The tick that repairs, on both databases."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from hopyard.ledger import cancelling
from hopyard.ledger.database import Database
from hopyard.ledger.values import utcnow
from hopyard.schedule import store as schedules
from hopyard.specs import State
from hopyard_ai import manager, store
from hopyard_ai.repairing import repair

pytestmark = pytest.mark.usefixtures("hopyard")

DUE = datetime(2027, 3, 28, 6, 0, tzinfo=UTC)


async def hourly() -> str:
    made = await manager.create("every hour tell me the weather", person="alice")
    return made.request.id


async def test_with_nothing_to_repair_nothing_changes(database: Database) -> None:
    await hourly()
    before = await database.fetch("SELECT * FROM schedule")
    found = await repair(100)
    assert (found.checked, found.schedules_repaired, found.submitted, found.failed) == (0, 0, 0, 0)
    assert [dict(row) for row in await database.fetch("SELECT * FROM schedule")] == [
        dict(row) for row in before
    ]


async def test_a_missing_schedule_is_put_back(database: Database) -> None:
    lost, paused = await hourly(), await hourly()
    await manager.pause(paused, person="alice")
    await database.execute("DELETE FROM schedule")
    found = await repair(100)
    assert (found.checked, found.schedules_repaired) == (1, 1)
    async with database.transaction() as tx:
        back = await schedules.get(tx, store.schedule_name(lost))
    assert (back.person, back.schedule.kwargs) == ("alice", {"request": lost})
    assert back.next_due is not None
    assert back.next_due > utcnow()
    assert (await repair(100)).checked == 0


async def test_at_most_so_many_are_looked_at(database: Database) -> None:
    for _ in range(3):
        await hourly()
    await database.execute("DELETE FROM schedule")
    assert [(await repair(2)).schedules_repaired for _ in range(3)] == [2, 1, 0]


async def test_a_one_off_that_passed_without_a_schedule_is_done_once(
    database: Database, floor: Any, script: Any
) -> None:
    request = (await manager.create("in 20 minutes call Bob", person="alice")).request
    await database.execute("DELETE FROM schedule")
    rule = '{"at": "2026-01-01T00:00:00+00:00", "zone": "UTC"}'
    await database.execute("UPDATE ai_request SET rule = $1", rule)
    assert (await repair(100)).submitted == 1
    await repair(100)
    (job,) = await floor.waiting()
    script.then(script.ACT, "Called.")
    assert await floor.run(job["id"]) is State.SUCCEEDED
    (run,) = await store.runs(request.id)
    assert (run.state, run.due.isoformat()) == ("done", "2026-01-01T00:00:00+00:00")
    assert (await store.get_request(request.id)).state == "completed"
    assert (await repair(100)).submitted == 0


async def test_a_run_whose_job_ended_without_a_word_is_ended_and_told(
    database: Database, floor: Any, script: Any
) -> None:
    request = await hourly()
    script.then(script.ACT, script.dies)
    job = await floor.fire(request, DUE)
    await floor.crash(job)
    assert (await repair(100)).failed == 0  # it may be tried again
    error = '{"kind": "WorkerLost", "category": "resource", "message": "its worker died 3 times"}'
    async with database.transaction() as tx:
        rows = await tx.fetch("SELECT * FROM job_live WHERE id = $1", job)
        await tx.execute(
            "INSERT INTO job_history (id, task, queue, priority, body, headers, attempt, crashes, created, "
            "state, error, finished) SELECT id, task, queue, priority, body, headers, attempt, crashes, "
            f"created, {State.DEAD:d}, $2, {database.dialect.now} FROM job_live WHERE id = $1",
            job,
            error,
        )
        await tx.execute("DELETE FROM job_live WHERE id = $1", job)
    assert len(rows) == 1
    assert (await repair(100)).failed == 1
    (run,) = await store.runs(request)
    assert (run.state, run.answer) == ("failed", "its worker died 3 times")
    (told,) = await floor.told()
    assert told["body"] == "its worker died 3 times"
    assert (await repair(100)).failed == 0
    assert len(await floor.told()) == 1


async def test_a_run_whose_job_was_cancelled_is_ended(database: Database, floor: Any, script: Any) -> None:
    request = await hourly()
    script.then(script.ACT, script.dies)
    job = await floor.fire(request, DUE)
    await floor.crash(job)
    await database.execute(f"UPDATE job_live SET state = {State.QUEUED:d} WHERE id = $1", job)
    await cancelling.cancel(database, [job], "not wanted")
    assert (await repair(100)).failed == 1
    (run,) = await store.runs(request)
    assert run.state == "failed"
    assert "cancelled" in (run.answer or "")
