"""What people and programs read: live jobs and history as one list."""

from __future__ import annotations

import json
from typing import Any

from hopyard.ledger import readers
from hopyard.ledger.values import Done, new_id
from hopyard.specs import State


async def ended(ledger: Any, state: State, worker: int, **values: Any) -> str:
    claim = await ledger.running(worker, **values)
    error = json.dumps({"kind": "ValueError"}) if state is State.DEAD else None
    done = Done(claim.id, claim.claim, state, "[1]" if error is None else None, error, None)
    await ledger.database.finish([done], worker)
    return str(claim.id)


async def test_live_and_history_are_one_list_newest_first(ledger: Any) -> None:
    worker = await ledger.worker()
    first = await ledger.job(id=new_id())
    second = await ended(ledger, State.SUCCEEDED, worker)
    found = await readers.jobs(ledger.database)
    assert {job["id"] for job in found} == {first, second}
    assert [job["id"] for job in found] == [second, first]
    assert {job["id"]: job["state"] for job in found} == {first: "queued", second: "succeeded"}


async def test_jobs_are_found_by_what_they_are(ledger: Any) -> None:
    worker, parent = await ledger.worker(), new_id()
    live = await ledger.job(task="site.a", queue="one", person="ada", schedule="s", parent=parent)
    over = await ended(ledger, State.DEAD, worker, task="site.b", queue="two", person="bob")
    for wanted, id_ in (
        ({"task": "site.a"}, live),
        ({"queue": "two"}, over),
        ({"person": "ada"}, live),
        ({"schedule": "s"}, live),
        ({"parent": parent}, live),
        ({"states": [State.DEAD]}, over),
        ({"states": [State.DEAD, State.QUEUED], "person": "ada"}, live),
    ):
        assert [job["id"] for job in await readers.jobs(ledger.database, **wanted)] == [id_], wanted
    assert await readers.jobs(ledger.database, task="site.a", person="bob") == []
    assert len(await readers.jobs(ledger.database, limit=1)) == 1
