"""The HTTP API answers as its specification says, with all plugins, on both databases."""

from __future__ import annotations

import datetime
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Final

import httpx2
import pytest
from hopyard import Hopyard
from hopyard.ledger import access, cancelling, notes
from hopyard.ledger.values import Done, Progress, utcnow
from hopyard.ledger.workers import register
from hopyard.specs import State
from hopyard.web import create_app
from web_lab import everything

#: The specification's own examples of paths, and arguments that each of their tasks takes.
EXAMPLES: Final[dict[str, tuple[str, dict[str, Any]]]] = {
    "/api/background/ai/analyze-content": ("ai.analyze_content", {"content": "A text."}),
    "/api/background/ai/generate-embeddings-batch": ("ai.generate_embeddings_batch", {"items": ["a", "b"]}),
    "/api/background/ai/process-with-llm": ("ai.process_with_llm", {"content": "A text."}),
    "/api/background/ai/smart-categorization": ("ai.smart_categorization", {"items": ["a", "b"]}),
    "/api/background/files/process-document": (
        "file.process_document",
        {"root": "documents", "way": "a.pdf"},
    ),
    "/api/background/files/extract-pdf-text": (
        "file.extract_text_from_pdf",
        {"root": "documents", "way": "a.pdf"},
    ),
    "/api/background/media/transcribe-audio": (
        "media.transcribe_audio",
        {"root": "documents", "way": "a.wav"},
    ),
    "/api/background/media/process-video": ("media.process_video", {"root": "documents", "way": "a.mp4"}),
}


@pytest.fixture(params=["sqlite", "postgresql"])
async def hopyard(request: pytest.FixtureRequest, tmp_path: Path, valkey_url: str) -> AsyncIterator[Hopyard]:
    """An installation with all plugins and their tables."""
    server = request.getfixturevalue("postgres_url") if request.param == "postgresql" else None
    async with everything(tmp_path, valkey_url, server) as made:
        yield made


@pytest.fixture
async def client(hopyard: Hopyard) -> AsyncIterator[httpx2.AsyncClient]:
    """An operator's program."""
    app = create_app(hopyard)
    async with app.router.lifespan_context(app):
        _, token = await access.make(hopyard.client().database, "token", "tests", "operator")
        headers = {"Authorization": f"Bearer {token}"}
        transport = httpx2.ASGITransport(app)
        async with httpx2.AsyncClient(transport=transport, base_url="http://here", headers=headers) as made:
            yield made


async def test_each_typed_task_has_an_endpoint_of_its_own(
    client: httpx2.AsyncClient, hopyard: Hopyard
) -> None:
    for path, (task, arguments) in EXAMPLES.items():
        answer = await client.post(path, json=arguments)
        assert answer.status_code == 202, f"{path}: {answer.text}"
        id_ = answer.json()["task_id"]
        assert answer.json() == {
            "task_id": id_,
            "status": "started",
            "message": f"{task} was accepted",
            "monitor_url": f"/api/background/status/{id_}",
        }
        status = await client.get(answer.json()["monitor_url"])
        nothing = {"current": 0.0, "total": None, "percentage": None, "message": "", "updated_at": None}
        assert status.json() == {"task_id": id_, "status": "queued", "progress": nothing}
        known = (await client.get(f"/api/jobs/{id_}")).json()
        assert known["task"] == task
        assert arguments.items() <= known["arguments"].items()


async def test_wrong_arguments_are_refused_by_the_tasks_own_types(client: httpx2.AsyncClient) -> None:
    for path in EXAMPLES:
        answer = await client.post(path, json={"nonesuch": 1})
        assert answer.status_code == 422, path
        assert answer.headers["content-type"] == "application/problem+json"
    assert (await client.get("/api/background/tasks/active")).json()["tasks"] == []


async def test_no_two_tasks_share_a_path_and_the_files_tasks_have_theirs(
    client: httpx2.AsyncClient, hopyard: Hopyard
) -> None:
    paths = (await client.get("/api/openapi.json")).json()["paths"]
    submits = {
        operation["post"]["operationId"]: path
        for path, operation in paths.items()
        if path.startswith("/api/background/") and "post" in operation
    }
    assert {*submits} == {f"submit_{name}".replace(".", "_") for name in hopyard.tasks}
    assert len({*submits.values()}) == len(hopyard.tasks)
    assert all(
        path.startswith("/api/background/files/")
        for name, path in submits.items()
        if name.startswith("submit_file_")
    )


async def test_a_job_from_its_start_to_its_end(client: httpx2.AsyncClient, hopyard: Hopyard) -> None:
    database = hopyard.client().database
    worker = await register(database, name="w", role="worker", queues=["ai"], plugins={}, lease=60)
    path, (task, arguments) = next(iter(EXAMPLES.items()))
    id_ = (await client.post(path, json=arguments)).json()["task_id"]
    (claim,) = await database.claim([id_], worker, 1)
    await notes.write_progress(database, [Progress(id_, 3.0, 12.0, "page 3", utcnow())])
    told = (await client.get(f"/api/background/status/{id_}")).json()
    at = told["progress"].pop("updated_at")
    assert datetime.datetime.fromisoformat(at).tzinfo is not None
    assert told == {
        "task_id": id_,
        "status": "running",
        "progress": {"current": 3.0, "total": 12.0, "percentage": 25.0, "message": "page 3"},
    }
    active = (await client.get("/api/background/tasks/active")).json()
    assert [(one["id"], one["task"], one["state"]) for one in active["tasks"]] == [(id_, task, "running")]
    result = Done(id_, claim.claim, State.SUCCEEDED, '{"summary": "short"}', None, None)
    await database.finish([result], worker)
    told = (await client.get(f"/api/background/status/{id_}")).json()
    assert (told["status"], told["result"]) == ("succeeded", {"summary": "short"})
    assert "error" not in told
    assert (await client.get("/api/background/tasks/active")).json() == {"tasks": [], "cursor": None}
    overview = (await client.get("/api/background/performance/overview")).json()
    (one,) = overview["tasks"]
    assert (one["task"], one["succeeded"], one["dead"], one["success_rate"]) == (task, 1, 0, 100.0)
    assert one["average_wait"] is not None
    assert one["average_run"] is not None


async def test_a_job_that_fails_for_good_says_why(client: httpx2.AsyncClient, hopyard: Hopyard) -> None:
    database = hopyard.client().database
    worker = await register(database, name="w", role="worker", queues=["ai"], plugins={}, lease=60)
    path, (_, arguments) = next(iter(EXAMPLES.items()))
    id_ = (await client.post(path, json=arguments)).json()["task_id"]
    (claim,) = await database.claim([id_], worker, 1)
    error = '{"kind": "ModelDown", "category": "transient", "message": "no answer"}'
    await database.finish([Done(id_, claim.claim, State.DEAD, None, error, None)], worker)
    told = (await client.get(f"/api/background/status/{id_}")).json()
    assert (told["status"], told["error"]["kind"]) == ("dead", "ModelDown")
    assert "result" not in told


async def test_delete_cancels(client: httpx2.AsyncClient, hopyard: Hopyard) -> None:
    database = hopyard.client().database
    worker = await register(database, name="w", role="worker", queues=["ai"], plugins={}, lease=60)
    path, (_, arguments) = next(iter(EXAMPLES.items()))
    waits, runs = [(await client.post(path, json=arguments)).json()["task_id"] for _ in range(2)]
    await database.claim([runs], worker, 1)
    answer = await client.delete(f"/api/background/tasks/{waits}")
    assert answer.status_code == 202
    assert answer.json() == {"task_id": waits, "status": "cancelled", "message": "cancelled"}
    assert (await client.get(f"/api/background/status/{waits}")).json()["status"] == "cancelled"
    answer = await client.delete(f"/api/background/tasks/{runs}")
    assert answer.json()["status"] == "running"
    assert (await client.get(f"/api/jobs/{runs}")).json()["cancel"]["reason"] == (
        "cancelled over HTTP by tests"
    )
    assert (await client.delete(f"/api/background/tasks/{waits}")).status_code == 409
    assert not await cancelling.cancel(database, [waits], "again")


async def test_each_body_refuses_fields_that_it_does_not_have(client: httpx2.AsyncClient) -> None:
    document = (await client.get("/api/openapi.json")).json()
    looked = 0
    for path, operations in document["paths"].items():
        for operation in operations.values():
            schema = (
                operation.get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema")
            )
            if schema is None:
                continue
            for one in schema.get("anyOf", [schema]):
                name = one.get("$ref", "").removeprefix("#/components/schemas/")
                whole = document["components"]["schemas"][name] if name else one
                assert whole.get("type") == "null" or whole.get("additionalProperties") is False, path
            looked += 1
    assert looked > 50
