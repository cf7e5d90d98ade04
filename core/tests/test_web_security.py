"""What no browser may be made to do, what no answer may tell: a test for each way in that others had."""

from __future__ import annotations

import json
import logging
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any, Final

import pytest
import websockets
from hopyard.ledger import access
from hopyard.redaction import register
from hopyard.specs import State

pytest.importorskip("fastapi")

if TYPE_CHECKING:
    from web_lab import Port, Web

ORIGIN: Final = "http://hopyard.test"


@pytest.fixture
async def cookie(web: Web) -> str:
    """What a browser sends that has logged in."""
    return "hopyard_session=" + await web.let_in("browser", "admin", "session", parent=web.ids["admin"])


# -- other sites' pages


SITES: Final[list[tuple[dict[str, str], int]]] = [
    ({"Origin": ORIGIN, "Sec-Fetch-Site": "same-origin"}, 200),
    ({"Origin": ORIGIN}, 200),
    ({"Sec-Fetch-Site": "same-origin"}, 200),
    ({"Origin": "http://evil.test", "Sec-Fetch-Site": "cross-site"}, 403),
    ({"Origin": ORIGIN, "Sec-Fetch-Site": "cross-site"}, 403),
    ({"Origin": ORIGIN, "Sec-Fetch-Site": "same-site"}, 403),
    ({"Origin": "http://evil.test"}, 403),
    ({"Origin": "https://hopyard.test"}, 403),
    ({"Origin": "http://hopyard.test:8080"}, 403),
    ({"Origin": "http://hopyard.test.evil.test"}, 403),
    ({"Origin": "null"}, 403),
    ({"Origin": ""}, 403),
    ({}, 403),
]


async def test_another_sites_page_acts_with_nobodys_cookie(web: Web, cookie: str) -> None:
    for headers, status in SITES:
        async with web.client(None, headers={"Cookie": cookie} | headers) as browser:
            for method, path, body in (
                ("POST", "/api/queues/site/pause", None),
                ("PATCH", "/api/schedules/x", {"enabled": True}),
            ):
                answer = await browser.request(method, path, json=body)
                expected = {200, 404} if status == 200 else {status}
                assert answer.status_code in expected, answer.text
        paused = await web.ledger.database.fetch("SELECT 1 AS yes FROM queue_state WHERE paused IS NOT NULL")
        assert bool(paused) is (status == 200)
        await web.ledger.database.execute("DELETE FROM queue_state")


async def test_a_form_of_another_site_submits_nothing(web: Web, cookie: str) -> None:
    # Browsers send these three types without asking first; none is JSON.
    for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"):
        headers = {"Cookie": cookie, "Origin": ORIGIN, "Content-Type": kind}
        async with web.client(None, headers=headers) as browser:
            answer = await browser.post("/api/background/site/add", content='{"a": 1}')
            assert answer.status_code == 415
    assert await web.ledger.count("job_live") == 0


async def test_a_cookie_is_no_token_and_a_token_no_cookie(web: Web, cookie: str) -> None:
    session = cookie.partition("=")[2]
    async with web.client(None, headers={"Authorization": f"Bearer {session}"}) as client:
        assert (await client.get("/api/me")).status_code == 401
    async with web.client(None, headers={"Cookie": f"hopyard_session={web.tokens['admin']}"}) as client:
        assert (await client.get("/api/me")).status_code == 401
    async with web.client(None) as client:
        for query in ("token", "access_token", "key", "hopyard_session"):
            assert (await client.get(f"/api/me?{query}={web.tokens['admin']}")).status_code == 401


async def test_no_other_origin_may_read_answers(web: Web) -> None:
    async with web.client("admin", headers={"Origin": "http://evil.test"}) as client:
        for method in ("GET", "OPTIONS"):
            answer = await client.request(method, "/api/jobs")
            assert not [name for name in answer.headers if name.startswith("access-control-")]


@pytest.mark.parametrize("origin", ["http://evil.test", "null", None])
async def test_a_socket_from_another_origin_is_refused(
    web: Web, port: Port, cookie: str, origin: str | None
) -> None:
    with pytest.raises((websockets.InvalidStatus, websockets.ConnectionClosed)) as refused:
        async with port.socket("/api/ws/jobs", None, headers={"Cookie": cookie}, origin=origin) as socket:
            await socket.recv()
    if isinstance(refused.value, websockets.InvalidStatus):
        assert refused.value.response.status_code == 403
    async with port.socket(
        "/api/ws/jobs", None, headers={"Cookie": cookie}, origin=f"http://127.0.0.1:{port.port}"
    ) as socket:
        assert json.loads(await socket.recv())["event"] == "ready"


async def test_a_socket_without_a_key_is_told_nothing(web: Web, port: Port) -> None:
    id_ = await web.job(person="bob")
    for path in ("jobs", f"jobs/{id_}", "overview"):
        with pytest.raises(websockets.ConnectionClosed) as closed:
            async with port.socket(f"/api/ws/{path}", None) as socket:
                await socket.recv()
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 1008
    for who, path in (("alice", f"jobs/{id_}"), ("alice", "overview"), ("of-nothing", f"jobs/{id_}")):
        async with port.socket(f"/api/ws/{path}", who) as socket:
            with pytest.raises(websockets.ConnectionClosed):
                await socket.recv()


# -- what a browser does with answers


async def test_answers_run_and_load_nothing(web: Web) -> None:
    for path, who in (("/api/jobs", "admin"), ("/api/jobs", None), ("/livez", None), ("/nonesuch", "admin")):
        headers = (await web.ask("GET", path, who)).headers
        policy = headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert "script-src 'self'" in policy
        assert "frame-ancestors" in policy
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["cache-control"] == "no-store"
        assert headers["referrer-policy"] == "same-origin"


MARKUP: Final = "<script>alert(1)</script>"


async def test_markup_in_job_data_stays_data(web: Web) -> None:
    id_ = await web.ended(
        body=json.dumps([[], {"n": MARKUP}, None]), result=MARKUP, person=MARKUP, task="site.echo"
    )
    for path in (f"/api/jobs/{id_}", "/api/jobs", f"/api/background/status/{id_}", f"/api/jobs/{MARKUP}"):
        answer = await web.ask("GET", path)
        assert answer.headers["content-type"] in ("application/json", "application/problem+json")
        assert "nosniff" in answer.headers["x-content-type-options"]


# -- too much


async def test_a_body_that_is_too_long_is_not_read(web: Web) -> None:
    answer = await web.ask("POST", "/api/background/site/add", content=b"x" * 2_000_001)
    assert answer.status_code == 413
    read = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal read
        while True:
            read += 65_536
            yield b" " * 65_536

    async with web.client("admin") as client:
        for path in ("/api/background/site/add", "/api/tokens"):
            answer = await client.post(path, content=endless(), headers={"Content-Type": "application/json"})
            assert answer.status_code == 413, answer.text
            assert read < 3_000_000
            read = 0


async def test_a_length_that_is_none_is_refused(web: Web) -> None:
    sent: list[Any] = []

    async def receive() -> Any:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Any) -> None:
        sent.append(message)

    for length in ("-1", "many", "1e9", "²", "9" * 30):
        scope = {
            "type": "http",
            "method": "POST",
            "path": "/api/tokens",
            "raw_path": b"/api/tokens",
            "query_string": b"",
            "headers": [(b"content-length", length.encode()), (b"authorization", b"Bearer x")],
            "scheme": "http",
            "client": ("127.0.0.1", 1),
            "server": ("x", 1),
            "root_path": "",
        }
        sent.clear()
        await web.app(scope, receive, send)
        assert sent[0]["status"] == 400


async def test_a_body_that_is_no_object_is_refused(web: Web) -> None:
    for body in ("[" * 100_000, '{"a":' * 50_000, "nul", '{"a": 1e999}', b"\xff\xfe", '"text"'):
        for path in ("/api/background/site/add", "/api/tokens", "/api/jobs/x/replay"):
            answer = await web.ask("POST", path, content=body, headers={"Content-Type": "application/json"})
            assert 400 <= answer.status_code < 500, answer.text
            assert answer.headers["content-type"] == "application/problem+json"


async def test_who_asks_too_often_waits(web: Web) -> None:
    from hopyard.web import create_app

    settings = web.lab.hopyard.settings
    few = settings.model_copy(update={"web": settings.web.model_copy(update={"requests_per_minute": 5})})
    web.lab.hopyard.settings = few
    web.app = create_app(web.lab.hopyard)
    async with web.client("viewer") as client:
        answers = [await client.get("/api/me") for _ in range(7)]
    web.lab.hopyard.settings = settings
    assert [one.status_code for one in answers] == [200] * 5 + [429] * 2
    assert int(answers[-1].headers["retry-after"]) > 0
    # Others are not made to wait for them.
    assert (await web.ask("GET", "/api/me", "admin")).status_code == 200
    async with web.client(None) as client:
        assert [(await client.get("/livez")).status_code for _ in range(6)][-1] == 429


async def test_who_tries_keys_is_stopped_and_nobody_else(web: Web) -> None:
    wrong = {"Authorization": "Bearer hop_AAAAAAAAAAAA_" + "A" * 43}
    async with web.client(None, headers=wrong, address="192.0.2.1") as thief:
        answers = [(await thief.get("/api/me")).status_code for _ in range(40)]
    assert answers[:30] == [401] * 30
    assert 429 in answers[30:]
    async with web.client("admin", address="192.0.2.1") as neighbour:
        assert (await neighbour.get("/api/me")).status_code == 200
    async with web.client(None, headers=wrong, address="192.0.2.2") as another:
        assert (await another.get("/api/me")).status_code == 401


async def test_keys_that_were_revoked_or_have_expired_open_nothing(
    web: Web, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hopyard.web.security._BELIEVED", 0.0)
    database = web.ledger.database
    await web.let_in("short", "admin", seconds=3600)
    session = await web.let_in("session", "admin", "session", parent=web.ids["short"], seconds=7200)
    cookie = {"Cookie": f"hopyard_session={session}"}

    async def opens() -> list[int]:
        async with web.client(None, headers=cookie) as browser:
            return [
                (await web.ask("GET", "/api/me", "short")).status_code,
                (await browser.get("/api/me")).status_code,
            ]

    assert await opens() == [200, 200]
    past = database.dialect.minus(database.dialect.now, "$2")
    await database.execute(f"UPDATE access_key SET expires = {past} WHERE id = $1", web.ids["short"], 1.0)
    assert await opens() == [401, 401]
    login = await web.let_in("login", "admin", "login", seconds=900)
    async with web.client(None, headers={"Authorization": f"Bearer {login}"}) as client:
        assert (await client.get("/api/me")).status_code == 401
    assert (await access.spend(database, login)) is not None
    assert (await access.spend(database, login)) is None


NO_KEYS: Final = (
    "",
    " ",
    "x",
    "hop_",
    "hop__",
    "hop_AAAAAAAAAAAA_",
    "hop_%_%",
    "hop_\x00",
    "é" * 60,
    "x" * 10_000,
)


async def test_what_is_no_key_opens_nothing(web: Web) -> None:
    for key in NO_KEYS:
        raw = f"Bearer {key}".encode()
        async with web.client(None) as client:
            for headers in ([(b"Authorization", raw)], [(b"Cookie", f"hopyard_session={key}".encode())]):
                answer = await client.get("/api/me", headers=headers)
                assert answer.status_code == 401, answer.text


async def test_a_page_has_bounds(web: Web) -> None:
    for limit in ("0", "1001", "-1", "1e3", "99999999999999999999"):
        for path in ("/api/jobs", "/api/background/tasks/active", "/api/audit", "/api/inbox"):
            assert (await web.ask("GET", f"{path}?limit={limit}")).status_code == 422, path


HOSTILE: Final = [
    "%00",
    "a%00b",
    "%ED%A0%80",
    "%FF",
    "x" * 201,
    "'; DROP TABLE job_live; --",
    "%25",
    "%F0%9F%92%A9",
    "..%2f..%2fetc%2fpasswd",
    "%E2%80%AE",
    "{{7*7}}",
    "%0d%0aSet-Cookie:%20a=b",
]


async def test_hostile_values_are_values(web: Web) -> None:
    for value in HOSTILE:
        job = await web.job()
        queries = [
            f"/api/jobs?{name}={value}"
            for name in (
                "task",
                "queue",
                "person",
                "schedule",
                "parent",
                "error",
                "plugin",
                "state",
                "cursor",
                "since",
            )
        ]
        paths = [
            f"/api/{name}/{value}"
            for name in ("jobs", "tasks", "schedules", "background/status", "stream/jobs")
        ]
        others = [f"/api/inbox?person={value}", f"/api/background/tasks/active?task={value}&cursor={value}"]
        async with web.client("admin", raises=False) as client:
            for path in (*queries, *paths, *others):
                answer = await client.get(path)
                assert answer.status_code in (200, 400, 404, 422), f"{path}: {answer.text}"
                assert "set-cookie" not in answer.headers
            for method, path in (
                ("DELETE", f"/api/background/tasks/{value}"),
                ("DELETE", f"/api/tokens/{value}"),
                ("POST", f"/api/queues/{value}/pause?reason={value}"),
                ("POST", f"/api/schedules/{value}/run"),
                ("POST", f"/api/jobs/{value}/replay"),
                ("POST", f"/api/jobs/discard?task={value}"),
                ("POST", f"/api/background/site/add?person={value}"),
            ):
                answer = await client.request(method, path, json={"a": 1} if "site/add" in path else {})
                assert answer.status_code in (200, 202, 400, 404, 422), f"{method} {path}: {answer.text}"
        assert await web.ledger.row(job)


async def test_hostile_texts_in_bodies_are_stored_or_refused(web: Web) -> None:
    for text in ("\0", "\ud800", "a" * 100_000, "\u202e", "\x1b[31m"):
        body = json.dumps({"about": text})
        answer = await web.ask(
            "POST", "/api/background/site/told", content=body, headers={"Content-Type": "application/json"}
        )
        assert answer.status_code in (202, 422), answer.text
        made = json.dumps({"name": text, "role": "viewer", "person": text})
        answer = await web.ask(
            "POST", "/api/tokens", content=made, headers={"Content-Type": "application/json"}
        )
        assert answer.status_code in (201, 422), answer.text
        key = {"Idempotency-Key": text.encode(errors="replace").decode("latin-1", "replace")[:300]}
        if text.isprintable():
            answer = await web.ask("POST", "/api/background/site/add", json={"a": 1}, headers=key)
            assert answer.status_code in (202, 422), answer.text


# -- secrets


CANARY: Final = "canary-7f3e/9b&secret+word"


async def test_a_secret_is_in_no_answer_event_or_record(
    web: Web, port: Port, caplog: pytest.LogCaptureFixture
) -> None:
    register(CANARY)
    caplog.set_level(logging.DEBUG)

    async def leaks(job: Any) -> Any:
        job.progress(1, 2, f"sending {CANARY}")
        logging.getLogger("site").warning("logged %s", CANARY)
        if job.attempt < 2:
            raise ConnectionError(f"failed with {CANARY}")
        return {"said": CANARY, "password": "hunter2-plain", "nested": [{"api_key": "another-plain"}]}

    result = "result-plain"  # not in the line that fails, which its traceback shows

    def repeats(about: Any) -> Any:
        logging.getLogger("site").warning("told to use %s", about["password"])
        if about.get("dies"):
            raise KeyError(f"{about['password']} opens nothing")
        return {"used": about["password"]}

    async def dies(job: Any) -> Any:
        raise KeyError(f"{CANARY} was wrong; token=plain-after-equals")

    web.lab.calls.update({"leaks": leaks, "dies": dies})
    web.lab.calls["told"] = lambda about: {"echo": about, "access_token": result, **repeats(about)}
    worker = await web.lab.worker()
    worker.fetch()
    texts: list[str] = []
    async with port.events("/api/stream/jobs") as stream, port.events("/api/stream/overview"):
        await stream.until("ready")
        arguments = {"about": {"password": "argument-plain", "text": CANARY}}
        told = await web.ask("POST", "/api/background/site/told", json=arguments)
        ids = [told.json()["task_id"], await web.lab.submit(name="leaks"), await web.lab.submit(name="dies")]
        arguments["about"]["dies"] = "yes"
        told = await web.ask("POST", "/api/background/site/told", json=arguments)
        ids.append(told.json()["task_id"])
        for id_, state in zip(ids, (State.SUCCEEDED, State.SUCCEEDED, State.DEAD, State.DEAD), strict=True):
            await web.lab.ends(id_, state)
        last = await web.job()
        while f"'id': '{last}'" not in "".join(texts[-1:]):
            texts.append(str(await stream.next()))
    for id_ in ids:
        for path in ("jobs/{}", "jobs/{}/log", "jobs/{}/explain", "background/status/{}"):
            texts.append((await web.ask("GET", "/api/" + path.format(id_))).text)
        async with port.events(f"/api/stream/jobs/{id_}") as stream:
            texts += [str(one) for one in await stream.until("ready")]
    await web.ask("POST", f"/api/jobs/{ids[2]}/replay", json={"arguments": {"name": CANARY, "n": "wrong"}})
    for query in (f"error={CANARY}", "error=canary-7f3e%2F9b%26secret%2Bword"):
        texts.append((await web.ask("POST", f"/api/jobs/cancel?task=x.y&{query}")).text)
    await web.ask("POST", "/api/queues/site/pause", params={"reason": CANARY})
    for path in ("jobs", "failures", "queues", "audit", "workers", "tokens", "inbox", "resources"):
        texts.append((await web.ask("GET", f"/api/{path}")).text)
    refused = await web.ask("GET", "/api/jobs", params={"cursor": CANARY})
    wrong = await web.ask("POST", "/api/background/site/add", json={"a": CANARY, CANARY: 1})
    texts += [refused.text, wrong.text, str([dict(row) for row in await _audit(web)])]
    whole = "\n".join(texts)
    for secret in (
        CANARY,
        "canary-7f3e%2F9b%26secret%2Bword",
        "hunter2-plain",
        "another-plain",
        "argument-plain",
        "result-plain",
        "plain-after-equals",
    ):
        assert secret not in whole, whole[max(0, whole.find(secret) - 300) : whole.find(secret) + 100]
    assert "***" in whole


async def _audit(web: Web) -> list[dict[str, Any]]:
    rows = await web.ledger.database.fetch("SELECT * FROM audit")
    return [{name: row[name] for name in row.keys()} for row in rows]  # noqa: SIM118 - a sqlite3.Row iterates values


async def test_keys_are_in_no_log(web: Web, port: Port, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    caplog.handler.setLevel(logging.DEBUG)
    async with port.client("admin") as client:
        await client.get("/api/me")
        await client.get("/api/jobs?cursor=nonesuch")
        await client.post("/api/tokens", json={"name": "x", "role": "viewer"})
    async with port.client("admin", Authorization="Bearer hop_AAAAAAAAAAAA_" + "B" * 43) as client:
        await client.get("/api/me")
    async with port.socket("/api/ws/jobs") as socket:
        await socket.recv()
    logged = "\n".join(
        record.getMessage() + str(record.exc_info) for record in caplog.records if not _of_clients(record)
    )
    assert web.tokens["admin"] not in logged
    assert web.tokens["admin"].split("_", 2)[2] not in logged
    assert "B" * 43 not in logged


def _of_clients(record: logging.LogRecord) -> bool:
    return record.name.startswith(("httpx2", "httpcore2", "websockets.client"))


async def test_only_hashes_of_keys_are_stored(web: Web) -> None:
    rows = await web.ledger.database.fetch("SELECT * FROM access_key")
    stored = str([[row[name] for name in row.keys()] for row in rows])  # noqa: SIM118
    assert all(token.split("_", 2)[2] not in stored for token in web.tokens.values())


async def test_a_fault_of_the_server_tells_nothing_of_it(web: Web, monkeypatch: pytest.MonkeyPatch) -> None:
    async def broken(*_: Any, **__: Any) -> None:
        raise RuntimeError("/secret/path and more")

    monkeypatch.setattr("hopyard.web.api.jobs.listing.page", broken)
    async with web.client("admin", raises=False) as client:
        answer = await client.get("/api/jobs")
    assert answer.status_code == 500
    assert "secret" not in answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["x-content-type-options"] == "nosniff"
