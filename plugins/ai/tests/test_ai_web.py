"""People's requests over HTTP: everybody deals with their own."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx2
import pytest
from hopyard import Hopyard
from hopyard.ledger import access

pytest.importorskip("fastapi")

DAILY = "every weekday at 8 tell me the disk usage"


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
            assert refused.status_code == 422
        for way in ("pause", "resume", "complete", "run"):
            refused = await bob.post(f"/api/plugins/ai/requests/{id_}/{way}")
            assert "there is no request" in refused.json()["detail"]
        for path, body in (("confirm", {"yes": True}), ("answer", {"text": "yes"})):
            assert (await bob.post(f"/api/plugins/ai/requests/{id_}/{path}", json=body)).status_code == 422
        assert (await bob.delete(f"/api/plugins/ai/requests/{id_}")).status_code == 422
        assert (await bob.get(f"/api/plugins/ai/requests/{id_}")).status_code == 422
        assert (await bob.get(f"/api/background/status/{job}")).status_code == 404
        told = await bob.post("/api/plugins/ai/requests", json={"text": DAILY, "person": "ada"})
        assert told.status_code == 422


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
