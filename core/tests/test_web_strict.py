"""What a request says and nobody understands is refused, whatever the endpoint: nothing is done."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any, Final

import pytest

pytest.importorskip("fastapi")

from hopyard.ledger.values import new_id

if TYPE_CHECKING:
    from web_lab import Web

#: Filters that are none, and would mean every job if they were left out.
MISTAKEN = (
    "tsk=site.add",
    "State=dead",
    "task=",
    "person=",
    "fingerprint=",
    "task=a.b&task=c.d",
    "",
    "all=false",
)


@pytest.mark.parametrize("act", ["cancel", "replay", "discard"])
async def test_a_mistaken_filter_changes_no_job(web: Web, act: str) -> None:
    live, dead = await web.job(), await web.ended(error={"kind": "Boom"})
    for query in MISTAKEN:
        answer = await web.ask("POST", f"/api/jobs/{act}?{query}")
        assert answer.status_code == 422, query
    for body in ({"task": "none.such"}, {}, {"all": True}):
        answer = await web.ask("POST", f"/api/jobs/{act}?task=site.echo", json=body)
        assert (answer.status_code, "body" in answer.text) == (422, True)
    assert (await web.ask("POST", f"/api/jobs/{act}?all=true&task=site.echo")).status_code == 422
    assert await web.ledger.row(live)
    assert await web.ledger.past(dead)


async def test_no_endpoint_takes_a_parameter_that_it_does_not_ask_for(web: Web) -> None:
    document = (await web.ask("GET", "/api/openapi.json")).json()
    tried = 0
    for path, methods in document["paths"].items():
        if not path.startswith("/api/") or "stream" in path:
            continue
        for method in methods:
            where = path.replace("{", "").replace("}", "")
            answer = await web.ask(method.upper(), f"{where}?sesame=1", json=None if method == "get" else {})
            assert answer.status_code == 422, f"{method} {path}: {answer.text}"
            assert "sesame" in answer.text
            tried += 1
    assert tried > 40


async def test_no_body_says_one_thing_twice(web: Web) -> None:
    document = (await web.ask("GET", "/api/openapi.json")).json()
    tried = 0
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            if "requestBody" not in operation:
                continue
            answer = await web.ask(
                method.upper(),
                path.replace("{", "").replace("}", ""),
                content='{"a": 1, "b": {"c": 1, "c": 1}, "d": 2}',
                headers={"Content-Type": "application/json"},
            )
            assert answer.status_code in (404, 422), f"{method} {path}: {answer.text}"
            tried += answer.status_code == 422
            if path == "/api/background/site/add":
                assert "says `c` 2 times" in answer.text
    assert tried > 10
    twice = '{"name": "x", "role": "viewer", "role": "admin"}'
    answer = await web.ask("POST", "/api/tokens", content=twice, headers={"Content-Type": "application/json"})
    assert (answer.status_code, "says `role` 2 times" in answer.text) == (422, True)


#: Bodies that are no JSON for one reason or another, by what they say they are.
NO_JSON: Final = [
    (kind, body)
    for kind in ("text/plain", "application/x-www-form-urlencoded", "application/vnd.api+json", "x", "")
    for body in (b"x", b"{}", b"\xff", b"[" * 5000, b"a=1")
]


async def test_a_body_is_json_or_refused(web: Web) -> None:
    document = (await web.ask("GET", "/api/openapi.json")).json()
    with_body = [
        (method, path.replace("{", "").replace("}", ""))
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
        if "requestBody" in operation
    ]
    assert len(with_body) > 10
    for n, (method, path) in enumerate(with_body * 3):
        kind, body = NO_JSON[n % len(NO_JSON)]
        answer = await web.ask(method.upper(), path, content=body, headers={"Content-Type": kind})
        assert answer.status_code in (400, 404, 415, 422), (
            f"{method} {path} {kind} {body[:9]!r}: {answer.text}"
        )
        assert answer.headers["content-type"] == "application/problem+json"


async def test_names_have_no_character_that_nobody_sees(web: Web) -> None:
    for hidden in ("a\0b", "a\nb", "a\x1b[31mb", "a\u202eb", "a\u200bb", " ", "a\u2028b", "\ud800"):
        for field in ("name", "person"):
            asked = json.dumps({"name": "x", "role": "viewer"} | {field: hidden})
            answer = await web.ask(
                "POST", "/api/tokens", content=asked, headers={"Content-Type": "application/json"}
            )
            assert (answer.status_code, field in answer.text) == (422, True), ascii(hidden)
    for name in ("Åse Ø", "علی\u200cرضا", "李 雷", "ops@example.com"):
        made = await web.ask("POST", "/api/tokens", json={"name": name, "role": "viewer", "person": name})
        assert made.status_code == 201, made.text


async def test_who_asks_by_a_method_that_there_is_not_is_told_which_there_are(web: Web) -> None:
    for path, there in (
        ("/api/tokens", "GET, HEAD, POST"),
        (f"/api/schedules/{new_id()}", "GET, HEAD, PATCH"),
        ("/api/jobs/cancel", "GET, HEAD, POST"),
    ):
        answer = await web.ask("OPTIONS", path)
        assert (answer.status_code, answer.headers["allow"]) == (405, there)


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/api/tokens", {"name": "x", "role": "admin", "plugin": ["site"]}),
        ("/api/tokens", {"name": "x", "role": "viewer", "expires": "2026-12-01"}),
        ("/api/tokens", {"name": "x", "role": "admin", "plugins": []}),
        ("/api/tokens", {"name": "x", "role": "admin", "plugins": ["nope"]}),
        ("/api/tokens", {"name": "x", "role": "admin", "days": 1e-9}),
    ],
)
async def test_a_token_of_another_kind_than_meant_is_not_made(web: Web, path: str, body: Any) -> None:
    before = (await web.ask("GET", "/api/tokens")).json()
    assert (await web.ask("POST", path, json=body)).status_code == 422
    assert (await web.ask("GET", "/api/tokens")).json()["keys"] == before["keys"]


async def test_of_requests_with_one_key_at_the_same_time_one_set_of_arguments_is_accepted(web: Web) -> None:
    headers = {"Idempotency-Key": "race"}
    answers = await asyncio.gather(
        *(
            web.ask("POST", "/api/background/site/add", json={"a": n}, headers=headers)
            for n in (*range(6), *range(6))
        )
    )
    accepted = [n % 6 for n, answer in enumerate(answers) if answer.status_code == 202]
    assert len({*accepted}) == 1
    assert {answer.status_code for answer in answers} <= {202, 409}
    for query in ("person=zed", "priority=9"):
        again = await web.ask(
            "POST", f"/api/background/site/add?{query}", json={"a": accepted[0]}, headers=headers
        )
        assert again.status_code == 409, query
    empty = await web.ask("POST", "/api/background/site/add", json={"a": 1}, headers={"Idempotency-Key": ""})
    assert empty.status_code == 422


async def test_heads_are_answered_as_gets_without_what_they_show(web: Web) -> None:
    for path, status in (("/livez", 200), ("/api/me", 200), ("/api/nowhere", 404)):
        answer = await web.ask("HEAD", path)
        assert (answer.status_code, answer.content) == (status, b"")
