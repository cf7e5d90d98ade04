"""Pages by cursor, acts on many jobs, keys that make a request the same one, and many at the same time."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import pytest
from hopyard.errors import UnknownJob
from hopyard.specs import State
from hopyard.web.api import jobs

pytest.importorskip("fastapi")

if TYPE_CHECKING:
    from web_lab import Web


async def test_pages_have_each_job_once_whatever_comes_meanwhile(web: Web) -> None:
    ended = [await web.ended() for _ in range(3)]
    live = [await web.job() for _ in range(7)]
    seen: list[str] = []
    cursor: str | None = None
    while True:
        params = {"limit": "3"} | ({"cursor": cursor} if cursor else {})
        page = (await web.ask("GET", "/api/jobs", params=params)).json()
        seen += [job["id"] for job in page["jobs"]]
        await web.job()  # what is newer than the first page is on none of its followers
        cursor = page["cursor"]
        if cursor is None:
            break
    assert seen == [*reversed(live), *reversed(ended)]


NONE = "00000000-0000-0000-0000-000000000000"


@pytest.mark.parametrize("cursor", ["x", "live.1.2", "over.0.", f"live.-1.{NONE}"])
async def test_a_cursor_that_is_none_is_refused(web: Web, cursor: str) -> None:
    assert (await web.ask("GET", "/api/jobs", params={"cursor": cursor})).status_code == 422


async def test_many_are_counted_and_then_cancelled(web: Web) -> None:
    for n in range(5):
        await web.job(task="site.add", person=("ada", "bob")[n % 2])
    other = await web.job(task="site.total")
    over = await web.ended(task="site.add", person="ada")
    counted = await web.ask("GET", "/api/jobs/count?task=site.add&person=ada")
    assert counted.json() == {"jobs": 4, "exact": True}
    done = await web.ask("POST", "/api/jobs/cancel?task=site.add&person=ada")
    assert done.json() == {"done": 3, "more": False}
    assert await web.ledger.row(other)
    assert (await web.ledger.past(over))["state"] == State.SUCCEEDED
    again = await web.ask("POST", "/api/jobs/cancel?task=site.add&person=ada&state=succeeded")
    assert again.json() == {"done": 0, "more": False}


async def test_dead_ones_are_replayed_and_discarded_and_others_left(web: Web) -> None:
    body = json.dumps([[], {"a": 1}, None])
    dead = [await web.ended(task="site.add", body=body, error={"kind": kind}) for kind in ("Boom", "Quiet")]
    fine = await web.ended(task="site.add", body=body)
    assert (await web.ask("POST", "/api/jobs/replay?state=succeeded")).json()["done"] == 0
    assert (await web.ask("POST", "/api/jobs/replay?error=Boom")).json() == {"done": 1, "more": False}
    known = (await web.ask("GET", f"/api/jobs/{dead[0]}")).json()
    assert (await web.ledger.row(known["replayed_as"]))["state"] == State.QUEUED
    one = await web.ask("POST", f"/api/jobs/{dead[1]}/replay", json={"arguments": {"a": 5}})
    (new,) = one.json()["jobs"].values()
    assert json.loads((await web.ledger.row(new))["body"])[1]["a"] == 5
    wrong = await web.ask("POST", f"/api/jobs/{dead[1]}/replay", json={"arguments": {"a": "x"}})
    assert wrong.status_code in (200, 422)
    assert (await web.ask("POST", "/api/jobs/discard?all=true")).json() == {"done": 2, "more": False}
    assert await web.ledger.past(fine)
    assert not await web.ledger.past(dead[1])
    assert (await web.ask("POST", f"/api/jobs/{fine}/replay", json={})).status_code == 404


async def test_what_somebody_else_did_meanwhile_stops_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs.deadletters, "BATCH", 2)
    seen: list[list[str]] = []

    async def act(some: list[str]) -> int:
        seen.append(some)
        if "b" in some:
            raise UnknownJob("none of these jobs is dead")
        return len(some)

    assert await jobs._in_batches(["a", "b", "c", "d", "e"], act) == 3
    assert seen == [["a", "b"], ["c", "d"], ["e"]]


async def test_a_group_of_failures_is_dealt_with_alone(web: Web) -> None:
    def error(kind: str, message: str, traceback: str = "") -> dict[str, str]:
        return {"kind": kind, "category": "bug", "message": message, "traceback": traceback}

    ours = [await web.ended(error=error("KeyError", f"'x{n}'")) for n in range(3)]
    others = [
        await web.ended(error=error("ValueError", "no", "KeyError: 'x0' in a line")),
        await web.ended(error=error("E", "5")),
        await web.ended(error=error("", "")),
        await web.ended(error=error("KeyError", "'x1'"), task="site.other"),
    ]
    groups = (await web.ask("GET", "/api/failures")).json()["groups"]
    (group,) = [one for one in groups if one["task"] == "site.echo" and one["error"].startswith("KeyError")]
    assert group["jobs"] == 3
    query = {"task": group["task"], "fingerprint": group["fingerprint"], "state": "dead"}
    counted = await web.ask("GET", "/api/jobs/count", params=query)
    assert counted.json() == {"jobs": 3, "exact": True}
    listed = await web.ask("GET", "/api/jobs", params=query)
    assert {one["id"] for one in listed.json()["jobs"]} == {*ours}
    done = await web.ask("POST", "/api/jobs/discard", params=query)
    assert done.json() == {"done": 3, "more": False}
    assert all([await web.ledger.past(id_) for id_ in others])
    assert (await web.ask("GET", "/api/jobs", params={"fingerprint": "x"})).status_code == 422


async def submitted(web: Web, who: str, key: str, **arguments: Any) -> str:
    answer = await web.ask(
        "POST", "/api/background/site/add", who, json=arguments, headers={"Idempotency-Key": key}
    )
    assert answer.status_code == 202, answer.text
    return str(answer.json()["task_id"])


async def test_the_same_key_is_the_same_job_for_the_same_viewer(web: Web) -> None:
    await web.let_in("admin-too", "admin")
    await web.let_in("bob-too", "submitter", person="bob")
    first = await submitted(web, "admin", "k-1", a=1)
    assert await submitted(web, "admin", "k-1", a=1) == first
    assert await submitted(web, "admin", "k-2", a=1) != first
    other = await web.ask(
        "POST", "/api/background/site/total", json={"numbers": [1]}, headers={"Idempotency-Key": "k-1"}
    )
    bobs = await submitted(web, "bob", "k-1", a=1)
    ids = {first, other.json()["task_id"], bobs, await submitted(web, "alice", "k-1", a=1)}
    ids.add(await submitted(web, "admin-too", "k-1", a=1))
    assert len(ids) == 5
    # One person's token and login are one person.
    assert await submitted(web, "bob-too", "k-1", a=1) == bobs
    assert await web.ledger.count("job_live") == 6


async def test_a_key_that_comes_with_other_arguments_is_refused(web: Web) -> None:
    first = await submitted(web, "admin", "k-1", a=1)
    answer = await web.ask(
        "POST", "/api/background/site/add", json={"a": 2}, headers={"Idempotency-Key": "k-1"}
    )
    assert answer.status_code == 409
    assert first in answer.json()["detail"]
    assert await web.ledger.count("job_live") == 1


async def test_the_same_key_at_the_same_time_is_one_job(web: Web) -> None:
    ids = await asyncio.gather(*(submitted(web, "admin", "k", a=1) for _ in range(20)))
    assert len({*ids}) == 1
    assert await web.ledger.count("job_live") == 1


async def test_many_at_the_same_time_share_commits(web: Web, monkeypatch: pytest.MonkeyPatch) -> None:
    database = web.lab.hopyard.client().database
    stored: list[int] = []
    submit = database.submit

    async def counting(jobs: Any, *, fresh: bool = False) -> Any:
        stored.append(len(jobs))
        return await submit(jobs, fresh=fresh)

    monkeypatch.setattr(database, "submit", counting)
    async with web.client("submitter") as client:
        answers = await asyncio.gather(
            *(client.post("/api/background/site/add", json={"a": n}) for n in range(200))
        )
    assert {one.status_code for one in answers} == {202}
    assert len({one.json()["task_id"] for one in answers}) == sum(stored) == 200
    assert len(stored) < 100


async def test_options_of_a_call(web: Web) -> None:
    path = "/api/background/site/add"
    later = await web.ask("POST", f"{path}?delay=3600&priority=9&person=ada", "submitter", json={"a": 1})
    row = await web.ledger.row(later.json()["task_id"])
    assert (row["state"], row["priority"], row["person"]) == (State.SCHEDULED, 9, "ada")
    for query in ("delay=-1", "delay=nan", "delay=inf", "delay=1e12", "priority=10", "priority=x", "person="):
        answer = await web.ask("POST", f"{path}?{query}", "submitter", json={"a": 1})
        assert answer.status_code in (202, 422), f"{query}: {answer.text}"


async def test_an_application_below_a_prefix_says_so(web: Web) -> None:
    from hopyard.web import create_app

    web.app = create_app(web.lab.hopyard, prefix="/jobs")
    answer = await web.ask("POST", "/jobs/api/background/site/add", json={"a": 1})
    assert answer.status_code == 202, answer.text
    assert answer.json()["monitor_url"] == f"/jobs/api/background/status/{answer.json()['task_id']}"
    assert (await web.ask("GET", answer.json()["monitor_url"])).status_code == 200
    for above in ("/api/me", "/livez", "/jobsx/api/me", "/"):
        assert (await web.ask("GET", above)).status_code == 404, above
