"""People's requests over HTTP: everybody deals with their own."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import httpx2
import pytest
from hopyard import Hopyard
from hopyard.ledger import access
from hopyard_ai import approving, manager, store

pytest.importorskip("fastapi")

DAILY = "every weekday at 8 tell me the disk usage"
HOURLY = "every hour open the door"
DUE = datetime(2027, 3, 28, 6, 0, tzinfo=UTC)
ALICE = {"person": "alice"}


@asynccontextmanager
async def client(hopyard: Hopyard, role: str, person: str | None = None) -> AsyncIterator[httpx2.AsyncClient]:
    """A program with a token of its own, talking to the application that serves `hopyard`."""
    from hopyard.web import create_app

    database = hopyard.client().database
    _, token = await access.make(database, "token", person or role, role, person=person)
    transport = httpx2.ASGITransport(create_app(hopyard))
    headers = {"Authorization": f"Bearer {token}"}
    async with httpx2.AsyncClient(transport=transport, base_url="http://here", headers=headers) as made:
        yield made


async def asked(one: httpx2.AsyncClient, text: str = DAILY, **more: Any) -> str:
    """Ask for something; return the request's id."""
    answer = await one.post("/api/plugins/ai/requests", json={"text": text, **more})
    assert answer.status_code == 201, answer.text
    return str(answer.json()["request"]["id"])


async def test_a_person_asks_looks_and_changes(hopyard: Hopyard) -> None:
    async with client(hopyard, "submitter", "ada") as ada:
        reading = (await ada.post("/api/plugins/ai/preview", json={"text": DAILY})).json()
        assert reading["kind"] == "periodic task"
        assert len(reading["next"]) == 5
        id_ = await asked(ada)
        listed = (await ada.get("/api/plugins/ai/requests")).json()["requests"]
        assert [one["id"] for one in listed] == [id_]
        paused = await ada.post(f"/api/plugins/ai/requests/{id_}/pause")
        assert paused.json()["request"]["state"] == "paused"
        begun = await ada.post(f"/api/plugins/ai/requests/{id_}/resume")
        assert begun.json()["request"]["state"] == "active"
        job = (await ada.post(f"/api/plugins/ai/requests/{id_}/run")).json()["task_id"]
        status = (await ada.get(f"/api/background/status/{job}")).json()
        assert status["status"] == "queued"
        assert (await ada.delete(f"/api/plugins/ai/requests/{id_}")).status_code == 200
        assert (await ada.get("/api/plugins/ai/requests")).json()["requests"] == []


async def test_nobody_sees_or_changes_anothers(hopyard: Hopyard) -> None:
    async with client(hopyard, "admin", "ada") as ada, client(hopyard, "admin", "bob") as bob:
        id_ = await asked(ada)
        job = (await ada.post(f"/api/plugins/ai/requests/{id_}/run")).json()["task_id"]
        for path in ("requests", "approvals"):
            assert not (await bob.get(f"/api/plugins/ai/{path}")).json()[path]
            refused = await bob.get(f"/api/plugins/ai/{path}", params={"person": "ada"})
            assert refused.status_code == 403
        for way in ("pause", "resume", "complete", "run"):
            refused = await bob.post(f"/api/plugins/ai/requests/{id_}/{way}")
            assert "there is no request" in refused.json()["detail"]
        for path, body in (("confirm", {"yes": True}), ("answer", {"text": "yes"})):
            assert (await bob.post(f"/api/plugins/ai/requests/{id_}/{path}", json=body)).status_code == 404
        assert (await bob.delete(f"/api/plugins/ai/requests/{id_}")).status_code == 404
        assert (await bob.get(f"/api/plugins/ai/requests/{id_}")).status_code == 404
        assert (await bob.get(f"/api/background/status/{job}")).status_code == 404
        told = await bob.post("/api/plugins/ai/requests", json={"text": DAILY, "person": "ada"})
        assert told.status_code == 403


async def test_roles(hopyard: Hopyard) -> None:
    async with client(hopyard, "viewer") as viewer, client(hopyard, "submitter") as submitter:
        assert (await viewer.get("/api/plugins/ai/requests")).status_code == 200
        assert (await viewer.post("/api/plugins/ai/requests", json={"text": DAILY})).status_code == 403
        nobody = await submitter.post("/api/plugins/ai/requests", json={"text": DAILY})
        assert "for whom?" in nobody.json()["detail"]
        await asked(submitter, person="ada")


async def test_what_is_not_understood_is_said(hopyard: Hopyard) -> None:
    async with client(hopyard, "submitter", "ada") as ada:
        reading = (await ada.post("/api/plugins/ai/preview", json={"text": "xyzzy"})).json()
        assert reading["refused"]
        assert reading["next"] == []
        answer = await ada.post("/api/plugins/ai/requests", json={"text": "yesterday at 5 tell me"})
        assert answer.status_code == 422
        assert answer.headers["content-type"] == "application/problem+json"


async def refused_and_done(
    hopyard: Hopyard, verb: str, path: str, body: dict[str, Any] | None = None
) -> dict[str, Any]:
    """Do something with a key for nobody alone: without `person` it is refused, with it done and kept."""
    database = hopyard.client().database
    async with client(hopyard, "submitter") as program:
        options: dict[str, Any] = {"json": body} if body is not None else {}
        nobody = await program.request(verb, f"/api/plugins/ai/{path}", **options)
        assert nobody.status_code == 422
        assert "for whom?" in nobody.json()["detail"]
        assert await access.acts(database, limit=10) == []
        bob = await program.request(verb, f"/api/plugins/ai/{path}", params={"person": "bob"}, **options)
        assert bob.status_code == 404
        done = await program.request(verb, f"/api/plugins/ai/{path}", params=ALICE, **options)
        assert done.status_code == 200, done.text
    act = (await access.acts(database, limit=10))[0]
    assert act.target == path.split("/")[1]
    assert act.data == {"person": "alice", **(body or {})}
    found: dict[str, Any] = done.json()
    return found


async def state(id_: str) -> str:
    return (await store.get_request(id_, deleted=True)).state


@pytest.mark.parametrize(
    ("act", "before", "after"),
    [
        ("pause", "active", "paused"),
        ("resume", "paused", "active"),
        ("complete", "active", "completed"),
        ("run", "active", "active"),
        ("delete", "active", "deleted"),
    ],
)
async def test_a_key_for_nobody_alone_says_whose_request_it_changes(
    hopyard: Hopyard, floor: Any, script: Any, act: str, before: str, after: str
) -> None:
    request = (await manager.create(DAILY, person="alice")).request
    if before == "paused":
        await manager.pause(request.id, person="alice")
    verb, path = ("DELETE", "") if act == "delete" else ("POST", f"/{act}")
    found = await refused_and_done(hopyard, verb, f"requests/{request.id}{path}")
    assert await state(request.id) == after
    assert (found["task_id"] is not None) is (act == "run")
    if act == "run":
        script.then(script.ACT, "Half full.")
        await floor.run(found["task_id"])
        assert [run.answer for run in await store.runs(request.id)] == ["Half full."]


@pytest.mark.parametrize("yes", [True, False])
async def test_what_a_model_has_read_is_confirmed_or_not(
    hopyard: Hopyard, script: Any, setting: Callable[..., None], yes: bool
) -> None:
    setting(model="compatible:tiny", base_url="http://127.0.0.1:9/v1")
    rule = "FREQ=YEARLY;BYMONTH=3;BYMONTHDAY=3;BYHOUR=11;BYMINUTE=0;BYSECOND=0"
    script.then({"rrule": rule, "when": "on my birthday", "instruction": "Hmm ring Bob"})
    request = (await manager.create("Hmm, on my birthday ring Bob", person="alice")).request
    assert request.state == "unconfirmed"
    found = await refused_and_done(hopyard, "POST", f"requests/{request.id}/confirm", {"yes": yes})
    assert found["request"]["state"] == await state(request.id) == ("active" if yes else "deleted")


async def test_a_question_is_answered_and_acted_on(hopyard: Hopyard, floor: Any, script: Any) -> None:
    request = (await manager.create(HOURLY, person="alice")).request
    script.then({"action": "ask", "question": "Which door?"})
    await floor.run(await floor.fire(request.id, DUE))
    async with client(hopyard, "viewer", "alice") as alice:
        [question] = (await alice.get("/api/plugins/ai/requests")).json()["questions"]
    assert (question["request"], question["text"]) == (request.id, "Which door?")
    found = await refused_and_done(
        hopyard, "POST", f"requests/{question['run']}/answer", {"text": "the north"}
    )
    script.then(script.ACT, "It is open.")
    await floor.run(found["job"])
    assert "The person answered: the north" in script.prompts[-1]
    assert [run.answer for run in await store.runs(request.id)] == ["It is open."]


@pytest.mark.parametrize("yes", [True, False])
async def test_a_call_is_approved_or_not(
    hopyard: Hopyard, floor: Any, script: Any, done: list[str], yes: bool
) -> None:
    request = (await manager.create(HOURLY, person="alice")).request
    script.then(script.ACT, script.calls(("site.open_door", "d1", {"which": "north"})))
    await floor.run(await floor.fire(request.id, DUE))
    async with client(hopyard, "viewer", "alice") as alice:
        [call] = (await alice.get("/api/plugins/ai/approvals")).json()["approvals"]
    assert (call["tool"], call["args"]) == ("site.open_door", {"which": "north"})
    found = await refused_and_done(hopyard, "POST", f"approvals/{call['id']}", {"yes": yes})
    script.then(script.results)
    await floor.run(found["job"])
    assert done == (["open north"] if yes else [])
    assert await approving.open_approvals("alice") == []
