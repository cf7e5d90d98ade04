"""What hostile and hasty senders have found: of each kind one, over a real server where it takes one."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import pytest
import websockets

pytest.importorskip("fastapi")

from hopyard.ledger import queues
from hopyard.web.live.overview import LiveCounts
from hopyard.web.security import Keys

if TYPE_CHECKING:
    from web_lab import Port, Web

JSON = {"Content-Type": "application/json"}
BOOM = {"kind": "Boom", "message": 'it said "no", twice', "traceback": 'File "message.py"'}


@pytest.mark.parametrize(
    "edits", ['{"x\\ud800": 1}', '{"a": "\\ud800"}', '{"a": NaN}', '{"a": 1e999}', '{"b": []}']
)
async def test_a_refused_replay_tells_no_secret_of_the_job(web: Web, edits: str) -> None:
    body = json.dumps([[], {"a": 1, "password": "An0therSecret"}, None])
    dead = await web.ended(task="site.add", body=body, error=BOOM)
    answer = await web.ask(
        "POST", f"/api/jobs/{dead}/replay", content=f'{{"arguments": {edits}}}', headers=JSON
    )
    assert answer.status_code == 422
    assert "An0therSecret" not in answer.text


async def test_a_replay_counts_what_is_new_and_drops_no_edit(web: Web) -> None:
    dead = [await web.ended(task="site.add", body=f'[[], {{"a": {n}}}, null]', error=BOOM) for n in range(3)]
    for done in (3, 0):
        answer = await web.ask("POST", "/api/jobs/replay?task=site.add")
        assert answer.json() == {"done": done, "more": False}
    again = await web.ask("POST", f"/api/jobs/{dead[0]}/replay")
    assert list(again.json()["jobs"]) == [dead[0]]
    edited = await web.ask("POST", f"/api/jobs/{dead[0]}/replay", json={"arguments": {"a": 7}})
    assert (edited.status_code, "was replayed before" in edited.text) == (422, True)


async def test_a_filter_looks_at_what_the_error_says_and_at_nothing_around_it(web: Web) -> None:
    dead = await web.ended(error=BOOM)
    assert await web.ended(error={"kind": "Other", "message": "another"})
    for text in ("Boom", "Boom: it said", '"no", twice', "twice"):
        found = (await web.ask("GET", "/api/jobs", params={"error": text})).json()["jobs"]
        assert [job["id"] for job in found] == [dead], text
        counted = (await web.ask("GET", "/api/jobs/count", params={"error": text})).json()
        assert counted == {"jobs": 1, "exact": True}
    for text in ("message", "kind", "traceback", "message.py", "boom"):
        assert not (await web.ask("GET", "/api/jobs", params={"error": text})).json()["jobs"], text
        answer = await web.ask("POST", "/api/jobs/discard", params={"error": text})
        assert answer.json()["done"] == 0


@pytest.mark.parametrize("who", ["admin", "of-site", "alice"])
async def test_everybody_is_told_that_jobs_are_gone(web: Web, port: Port, who: str) -> None:
    dead = await web.ended(task="site.add", person="alice", error=BOOM)
    async with port.events("/api/stream/jobs?state=dead", who) as stream:
        await stream.until("ready")
        assert (await web.ask("POST", "/api/jobs/discard?task=site.add")).json()["done"] == 1
        event = await stream.next()
    assert event == (("jobs", {"jobs": [], "gone": [dead]}) if who == "admin" else ("reset", {}))


async def test_keys_that_are_none_are_not_kept(web: Web) -> None:
    keys = Keys(lambda: web.ledger.database)
    for n in range(50):
        assert await keys.viewer(f"{n}" * 60_000, ["token", "session"]) is None
    assert not keys._known


async def test_counts_are_not_older_than_they_may_be(web: Web) -> None:
    counts = LiveCounts(lambda: web.ledger.database)
    assert await counts.get() == []
    await web.job()
    counts._until -= 3600  # nobody has asked for an hour
    assert [one.jobs for one in await counts.get()] == [1]


@pytest.mark.parametrize(
    ("path", "why"),
    [
        ("/api/ws/jobs?bogus=1", "bogus: there is no such parameter"),
        ("/api/ws/jobs?task=a&task=b", "task: given 2 times"),
        ("/api/ws/jobs?state=bogus", "state"),
        ("/api/ws/overview?last=" + "1" * 40, "last"),
    ],
)
async def test_a_socket_that_asks_for_what_there_is_not_is_told_why(port: Port, path: str, why: str) -> None:
    async with port.socket(path) as socket:
        with pytest.raises(websockets.ConnectionClosed) as closed:
            await socket.recv()
    assert closed.value.rcvd is not None
    assert (closed.value.rcvd.code, why in closed.value.rcvd.reason) == (1008, True), closed.value.rcvd


async def test_a_stream_goes_on_where_it_is_told_to_by_either_way(web: Web, port: Port) -> None:
    async with port.events("/api/stream/jobs") as stream:
        await stream.until("ready")
    place, id_ = stream.place, await web.job()
    async with port.events(f"/api/stream/jobs?last={place}") as stream:
        assert await stream.job(id_, "queued")
    async with port.socket(f"/api/ws/jobs?last={place}") as socket:
        assert json.loads(await socket.recv())["data"]["jobs"][0]["id"] == id_
    document = (await web.ask("GET", "/api/openapi.json")).json()
    names = {one["name"] for one in document["paths"]["/api/stream/jobs"]["get"]["parameters"]}
    assert {"last", "last-event-id"} <= names


async def test_the_head_of_a_stream_ends(port: Port) -> None:
    async with port.client() as client, asyncio.timeout(20):
        for path in ("/api/stream/jobs", "/api/stream/overview", "/livez"):
            assert (await client.head(path)).status_code == 200


@pytest.mark.parametrize(
    "body",
    [
        '{"name": "a", "role": "viewer", "plugins": ["\\ud800"]}',
        '{"name": "a", "role": "viewer", "days": true}',
        '{"name": " a", "role": "viewer"}',
    ],
)
async def test_an_odd_token_is_refused(web: Web, body: str) -> None:
    answer = await web.ask("POST", "/api/tokens", content=body, headers=JSON)
    assert answer.status_code == 422, answer.text


async def test_yes_is_no_number_of_seconds(web: Web) -> None:
    for every, status in ((True, 422), (60, 404), (0.5, 404)):  # there is no such schedule
        answer = await web.ask("PATCH", "/api/schedules/site.none", json={"every": every})
        assert answer.status_code == status, answer.text


async def test_of_those_who_let_a_queue_go_on_one_has(web: Web) -> None:
    await queues.pause(web.ledger.database, "site", "ops")
    answers = await asyncio.gather(*(web.ask("POST", "/api/queues/site/resume") for _ in range(8)))
    assert sorted(answer.json()["changed"] for answer in answers) == [False] * 7 + [True]


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/api/background/tasks/active?task="),
        ("GET", "/api/background/tasks/active?queue="),
        ("GET", "/api/jobs?plugin="),
        ("POST", "/api/jobs/discard?plugin="),
    ],
)
async def test_an_empty_filter_is_refused(web: Web, method: str, path: str) -> None:
    assert (await web.ask(method, path)).status_code == 422


async def test_two_keys_of_one_request_are_refused(web: Web) -> None:
    headers: Any = [("Idempotency-Key", "a"), ("Idempotency-Key", "b")]
    answer = await web.ask("POST", "/api/background/site/add", json={"a": 1}, headers=headers)
    assert answer.status_code == 422


async def test_an_object_that_would_be_read_as_something_else_is_refused(web: Web) -> None:
    for kind in ("bytes", "datetime", "hopyard.error", "hopyard.request", "unknown"):
        value = {"k": [{"__type__": kind, "__value__": "zzz"}]}
        answer = await web.ask("POST", "/api/background/site/told", json={"about": value})
        assert (answer.status_code, "__type__" in answer.text) == (422, True)
    kept = {"__type__": "bytes", "__value__": "zzz", "more": 1}
    answer = await web.ask("POST", "/api/background/site/told", json={"about": kept})
    assert answer.status_code == 202
