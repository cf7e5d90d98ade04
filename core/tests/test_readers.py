"""What people and programs read: live jobs and history as one list."""

from __future__ import annotations

import json
from random import Random
from typing import Any

import pytest
from hopyard.errors import SpecError
from hopyard.ledger.read import listing
from hopyard.ledger.read.listing import JobFilter
from hopyard.ledger.values import Done, new_id
from hopyard.specs import State


async def ended(ledger: Any, state: State, worker: int, **values: Any) -> str:
    claim = await ledger.running(worker, **values)
    error = json.dumps({"kind": "ValueError"}) if state is State.DEAD else None
    done = Done(claim.id, claim.claim, state, "[1]" if error is None else None, error, None)
    await ledger.database.finish([done], worker)
    return str(claim.id)


async def test_live_jobs_come_first_then_those_that_ended_last(ledger: Any) -> None:
    worker = await ledger.worker()
    first, second = await ledger.job(id=new_id()), await ledger.job(id=new_id())
    third, fourth = [await ended(ledger, State.SUCCEEDED, worker) for _ in range(2)]
    found = await listing.jobs(ledger.database, JobFilter())
    assert [job["id"] for job in found] == [second, first, fourth, third]
    assert {job["id"]: job["state"] for job in found} == {
        first: "queued",
        second: "queued",
        third: "succeeded",
        fourth: "succeeded",
    }


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
        assert [job["id"] for job in await listing.jobs(ledger.database, JobFilter(**wanted))] == [id_], (
            wanted
        )
    assert await listing.jobs(ledger.database, JobFilter(task="site.a", person="bob")) == []
    assert len(await listing.jobs(ledger.database, JobFilter(), limit=1)) == 1


async def walked(database: Any, wanted: JobFilter, limit: int) -> list[str]:
    """Return the ids of all pages of a list, one page after the other."""
    ids: list[str] = []
    cursor: str | None = None
    while True:
        found = await listing.page(database, wanted, limit=limit, cursor=cursor)
        assert len(found.jobs) <= limit
        ids += [job.id for job in found.jobs]
        cursor = found.cursor
        if cursor is None:
            return ids


TASKS = ("site.a", "site.b", "sites.a", "other.a")
PEOPLE = (None, "ada", "bob")


async def planted(ledger: Any, worker: int, seed: Random) -> list[dict[str, Any]]:
    """Store some jobs of all kinds; return what they are."""
    made = []
    for _ in range(40):
        what: dict[str, Any] = {"task": seed.choice(TASKS), "queue": seed.choice("qr")}
        what["person"] = seed.choice(PEOPLE)
        state = seed.choice([State.QUEUED, State.SUCCEEDED, State.DEAD, State.CANCELLED])
        error = None
        if state is State.QUEUED:
            id_ = await ledger.job(**what)
        else:
            claim = await ledger.running(worker, **what)
            error = seed.choice(["busy", 'a "quote"', "50 %"]) if state is State.DEAD else None
            told = json.dumps({"kind": "E", "message": error}) if error else None
            await ledger.database.finish([Done(claim.id, claim.claim, state, None, told, None)], worker)
            id_ = claim.id
        made.append({"id": id_, "state": state, "error": error, **what})
    return made


async def test_every_page_size_and_window_walks_the_same_jobs(
    ledger: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    seed = Random(20261130)
    made = await planted(ledger, await ledger.worker(), seed)
    for _ in range(60):
        wanted = JobFilter(
            seed.choice([(), (State.DEAD,), (State.QUEUED, State.SUCCEEDED), (State.CANCELLED,)]),
            task=seed.choice([None, None, *TASKS]),
            plugins=seed.choice([None, None, ["site"], ["other", "site"], []]),
            queue=seed.choice([None, None, "q"]),
            person=seed.choice([None, *PEOPLE]),
            error=seed.choice([None, None, None, "busy", 'a "quote"', "%"]),
        )
        expected = {
            job["id"]
            for job in made
            if (not wanted.states or job["state"] in wanted.states)
            and wanted.task in (None, job["task"])
            and (wanted.plugins is None or job["task"].split(".")[0] in wanted.plugins)
            and wanted.queue in (None, job["queue"])
            and wanted.person in (None, job["person"])
            and (wanted.error is None or wanted.error in (job["error"] or ""))
        }
        monkeypatch.setattr(listing, "WINDOW", seed.choice([1, 3, 10, 1000]))
        found = await walked(ledger.database, wanted, seed.choice([1, 2, 7, 100]))
        assert len(found) == len({*found})
        assert {*found} == expected, wanted
        monkeypatch.setattr(listing, "WINDOW", 1000)
        assert await listing.count(ledger.database, wanted) == (len(expected), True)
    assert await listing.count(ledger.database, JobFilter(), most=10) == (10, False)


@pytest.mark.parametrize(
    "cursor", ["", "live", "live.x", "over.1.x", "live.9.x", "a.b.c", "over." + "9" * 18 + ".x"]
)
async def test_what_is_no_cursor_is_refused(ledger: Any, cursor: str) -> None:
    with pytest.raises(SpecError, match="cursor"):
        await listing.page(ledger.database, JobFilter(), cursor=cursor)


async def test_a_page_that_is_short_says_how_far_back_it_looked(
    ledger: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker = await ledger.worker()
    old = await ended(ledger, State.DEAD, worker, queue="rare")
    for _ in range(5):
        await ended(ledger, State.SUCCEEDED, worker)
    monkeypatch.setattr(listing, "WINDOW", 2)
    found = await listing.page(ledger.database, JobFilter(queue="rare"))
    assert found.jobs == []
    assert found.cursor is not None
    assert found.looked_back_to is not None
    assert await walked(ledger.database, JobFilter(queue="rare"), 50) == [old]
