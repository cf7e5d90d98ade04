"""Who may do what over HTTP: each endpoint by each role and scope, and nobody without a key."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest
from fastapi import APIRouter
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute, APIWebSocketRoute, iter_route_contexts
from hopyard.errors import LedgerUnavailable
from hopyard.ledger import access
from hopyard.ledger.values import new_id
from hopyard.schedule import store
from hopyard.specs import Rule, Schedule
from hopyard.testing import Hop
from hopyard.web import create_app
from starlette.routing import BaseRoute, Mount, Route

if TYPE_CHECKING:
    from web_lab import Web

#: What anybody may have: probes, and what a browser needs to log in.
#: `/logout` ends the session that comes with it; without one it ends nothing.
OPEN: Final = {"/livez", "/readyz", "/login", "/logout", "/login/oidc", "/login/oidc/callback"}
_OUR_FILES: Final = re.compile("/static/[0-9a-f]+").fullmatch
VIEWER, SUBMITTER, OPERATOR, ADMIN = range(1, 5)
ROLES: Final = ("viewer", "submitter", "operator", "admin")
JOB: Final = "{job}"

#: Each endpoint: method, path, body, the least role, and whether a key for one person may use it.
ENDPOINTS: Final[list[tuple[str, str, Any, int, bool]]] = [
    ("GET", "/api/me", None, VIEWER, True),
    ("GET", "/api/openapi.json", None, VIEWER, True),
    ("GET", "/api/jobs", None, VIEWER, True),
    ("GET", "/api/jobs/count", None, VIEWER, True),
    ("GET", "/api/jobs/{job}", None, VIEWER, True),
    ("GET", "/api/jobs/{job}/log", None, VIEWER, True),
    ("GET", "/api/jobs/{job}/explain", None, VIEWER, True),
    ("POST", "/api/jobs/{job}/replay", {}, OPERATOR, False),
    ("POST", "/api/jobs/cancel?task=none.such", None, OPERATOR, False),
    ("POST", "/api/jobs/replay?task=none.such", None, OPERATOR, False),
    ("POST", "/api/jobs/discard?task=none.such", None, OPERATOR, False),
    ("GET", "/api/queues", None, VIEWER, False),
    ("POST", "/api/queues/site/pause", None, OPERATOR, False),
    ("POST", "/api/queues/site/resume", None, OPERATOR, False),
    ("GET", "/api/resources", None, VIEWER, False),
    ("GET", "/api/workers", None, VIEWER, False),
    ("GET", "/api/failures", None, VIEWER, False),
    ("GET", "/api/plugins", None, VIEWER, False),
    ("GET", "/api/plugins/site/panels", None, VIEWER, False),
    ("POST", "/api/plugins/site/disable", None, ADMIN, False),
    ("POST", "/api/plugins/site/enable", None, ADMIN, False),
    ("GET", "/api/tasks", None, VIEWER, False),
    ("GET", "/api/tasks/site.add", None, VIEWER, False),
    ("GET", "/api/schedules", None, VIEWER, False),
    ("GET", "/api/schedules/none.such", None, VIEWER, False),
    ("GET", "/api/schedules/none.such/fires", None, VIEWER, False),
    ("POST", "/api/schedules/none.such/run", None, OPERATOR, False),
    ("PATCH", "/api/schedules/none.such", {"enabled": True}, OPERATOR, False),
    ("GET", "/api/healthz/deep", None, VIEWER, False),
    ("GET", "/api/inbox", None, VIEWER, True),
    ("GET", "/api/tokens", None, ADMIN, False),
    ("POST", "/api/tokens", {"name": "new", "role": "viewer"}, ADMIN, False),
    ("DELETE", "/api/tokens/nonesuch", None, ADMIN, False),
    ("GET", "/api/audit", None, ADMIN, False),
    ("GET", "/api/background/status/{job}", None, VIEWER, True),
    ("GET", "/api/background/tasks/active", None, VIEWER, True),
    ("GET", "/api/background/performance/overview", None, VIEWER, False),
    ("DELETE", "/api/background/tasks/{job}", None, OPERATOR, True),
    ("POST", "/api/background/site/add", {"a": 1}, SUBMITTER, True),
]
#: Answers that say that the role is enough: done, not there, or wrong for another reason.
ENOUGH: Final = {200, 201, 202, 404, 409, 422}


def _asks_for_a_role(dependant: Dependant) -> bool:
    if getattr(dependant.call, "__qualname__", "").startswith("needs.<locals>"):
        return True
    return any(_asks_for_a_role(one) for one in dependant.dependencies)


def unguarded(routes: Sequence[BaseRoute]) -> list[str]:
    """Return the routes that let in whoever asks."""
    return [
        str(found.path)
        for found in iter_route_contexts(routes)
        if found.path not in OPEN
        and not _OUR_FILES(str(found.path))
        and not isinstance(found.original_route, APIWebSocketRoute)
        and not (isinstance(found.original_route, APIRoute) and _asks_for_a_role(found.dependant))
    ]


async def test_no_route_is_without_a_role(web: Web) -> None:
    assert unguarded(web.app.routes) == []


def test_no_route_is_without_a_role_where_people_log_in_by_a_provider(tmp_path: Path) -> None:
    pytest.importorskip("joserfc")
    oidc = {"issuer": "https://id.test", "client_id": "x", "default_role": "viewer"}
    with Hop({}, folder=tmp_path / "data", settings={"web": {"oidc": oidc}}) as hop:
        routes = create_app(hop.hopyard).routes
    assert unguarded(routes) == []
    assert {"/login/oidc", "/login/oidc/callback"} <= {found.path for found in iter_route_contexts(routes)}


def test_a_route_without_a_role_is_found() -> None:
    router = APIRouter()
    router.get("/bare")(lambda: 1)
    assert unguarded([*router.routes, Route("/plain", lambda _: None), Mount("/files", routes=[])]) == [
        "/bare",
        "/plain",
        "/files",
    ]


async def test_every_endpoint_stands_in_the_table(web: Web) -> None:
    def shape(path: str) -> str:
        return path.partition("?")[0]

    tabled = {(method, shape(path)) for method, path, *_ in ENDPOINTS}
    concrete = {
        "/api/jobs/{id}": "/api/jobs/{job}",
        "/api/queues/{queue}": "/api/queues/site",
        "/api/tasks/{name}": "/api/tasks/site.add",
        "/api/plugins/{name}": "/api/plugins/site",
        "/api/schedules/{name:path}": "/api/schedules/none.such",
        "/api/tokens/{id}": "/api/tokens/nonesuch",
        "{task_id}": "{job}",
    }
    missing = []
    for found in iter_route_contexts(web.app.routes):
        path, methods = str(found.path), found.methods or set()
        if not isinstance(found.original_route, APIRoute) or path in OPEN or "/stream/" in path:
            continue
        if path.startswith("/api/background/") and "POST" in methods:
            continue  # one for each task: all alike
        for general, example in concrete.items():
            path = path.replace(general, example)
        missing += [(m, path) for m in methods if path.startswith("/api") and (m, path) not in tabled]
    assert missing == []


async def test_each_role_may_do_what_it_says(web: Web) -> None:
    for method, path, body, least, _ in ENDPOINTS:
        for role, name in enumerate(ROLES, 1):
            job = await web.job()
            answer = await web.ask(method, path.format(job=job), name, json=body)
            allowed = answer.status_code in ENOUGH
            assert allowed is (role >= least), f"{name}: {method} {path}: {answer.status_code} {answer.text}"
            if not allowed:
                assert answer.status_code == 403


async def test_nobody_comes_in_without_a_key(web: Web) -> None:
    job = await web.job()
    for method, path, body, *_ in ENDPOINTS:
        answer = await web.ask(method, path.format(job=job), None, json=body)
        assert answer.status_code == 401, f"{method} {path}: {answer.status_code}"
        assert answer.headers["content-type"] == "application/problem+json"
        assert job not in answer.text
    for path in ("/livez", "/readyz"):
        answer = await web.ask("GET", path, None)
        assert answer.json() == {"ok": True}


async def test_a_key_for_one_person_sees_nothing_of_the_machinery(web: Web) -> None:
    for method, path, body, _, personal in ENDPOINTS:
        job = await web.job(person="alice")
        answer = await web.ask(method, path.format(job=job), "alice", json=body)
        allowed = answer.status_code in ENOUGH
        assert allowed is personal, f"{method} {path}: {answer.status_code} {answer.text}"


OTHERS: Final = [
    ("GET", "/api/jobs/{job}", None),
    ("GET", "/api/jobs/{job}/log", None),
    ("GET", "/api/jobs/{job}/explain", None),
    ("GET", "/api/background/status/{job}", None),
    ("DELETE", "/api/background/tasks/{job}", None),
    ("GET", "/api/stream/jobs/{job}", None),
]


@pytest.mark.parametrize(
    ("who", "own", "others"),
    [
        ("alice", {"person": "alice"}, {"person": "bob"}),
        ("alice", {"person": "alice"}, {"person": None}),
        ("bob", {"person": "bob"}, {"person": "alice"}),
        ("of-site", {"task": "site.add"}, {"task": "sited.add"}),
        ("of-site", {"task": "site.add"}, {"task": "other.add"}),
        ("of-nothing", None, {"task": "site.add"}),
    ],
)
async def test_others_jobs_are_not_there(
    web: Web, who: str, own: dict[str, Any] | None, others: dict[str, Any]
) -> None:
    mine = await web.job(**own) if own is not None else None
    theirs, ended = await web.job(**others), await web.ended(**others)
    nonesuch = new_id()
    for id_ in (theirs, ended):
        for method, path, body in OTHERS:
            answer = await web.ask(method, path.format(job=id_), who, json=body)
            none = await web.ask(method, path.format(job=nonesuch), who, json=body)
            assert answer.status_code == none.status_code == 404, f"{method} {path}: {answer.text}"
            assert answer.json()["detail"].replace(id_, nonesuch) == none.json()["detail"]
    async with web.client(who) as client:
        for path in ("/api/jobs", "/api/background/tasks/active"):
            found = (await client.get(path)).json()
            ids = [one["id"] for one in found.get("jobs", found.get("tasks", []))]
            assert ids == ([mine] if mine else []), path
        for narrower in ("plugin=other", "person=bob", "person=alice", "task=other.add"):
            assert theirs not in (await client.get(f"/api/jobs?{narrower}")).text
        assert (await client.get("/api/jobs/count")).json() == {"jobs": int(bool(mine)), "exact": True}


async def test_acts_on_many_leave_other_plugins_alone(web: Web) -> None:
    mine, theirs = await web.job(task="site.add"), await web.job(task="other.add")
    answer = await web.ask("POST", "/api/jobs/cancel?all=true", "of-site")
    assert answer.json() == {"done": 1, "more": False}
    assert await web.ledger.row(theirs)
    assert await web.ledger.past(mine)
    dead = await web.ended(task="other.add", error={"kind": "Boom"})
    for act in ("replay", "discard"):
        assert (await web.ask("POST", f"/api/jobs/{act}?all=true", "of-site")).json()["done"] == 0
    assert await web.ledger.past(dead)
    assert (await web.ask("POST", f"/api/jobs/{dead}/replay", "of-site", json={})).status_code == 404


async def test_a_key_for_some_plugins_learns_nothing_of_others(web: Web) -> None:
    await web.ended(task="other.add", error={"kind": "OtherBoom"}, queue="other")
    await web.job(task="other.add", queue="other")
    async with web.client("of-site") as client:
        for path in (
            "/api/queues",
            "/api/failures",
            "/api/plugins",
            "/api/tasks",
            "/api/schedules",
            "/api/resources",
            "/api/background/performance/overview",
        ):
            answer = await client.get(path)
            assert answer.status_code == 200
            assert "other" not in answer.text.lower().replace("other_", ""), f"{path}: {answer.text}"
        assert (await client.post("/api/queues/other/pause")).status_code == 404
        # Each of these would let it have, or make, a key for all.
        for method, path in (("GET", "tokens"), ("POST", "tokens"), ("DELETE", "tokens/x"), ("GET", "audit")):
            body = {"name": "n", "role": "admin"} if method == "POST" else None
            answer = await client.request(method, f"/api/{path}", json=body)
            assert answer.status_code == 403, path
        assert (await client.get("/api/inbox")).status_code == 403
    assert (
        "/api/background/site/add" in (await web.ask("GET", "/api/openapi.json", "of-site")).json()["paths"]
    )
    none = (await web.ask("GET", "/api/openapi.json", "of-nothing")).json()
    assert not [path for path in none["paths"] if "site" in path]
    assert (await web.ask("POST", "/api/background/site/add", "of-nothing", json={"a": 1})).status_code == 403


async def test_a_part_of_an_id_names_no_others(web: Web) -> None:
    ids = [f"0190aaaa-0000-7000-8000-00000000000{n}" for n in range(3)]
    for id_, person in zip(ids, ("alice", "bob", "bob"), strict=True):
        await web.job(id=id_, person=person)
    for who in ("alice", "bob", "of-site"):
        answer = await web.ask("GET", "/api/jobs/0190aaaa", who)
        assert answer.status_code == 404
        assert not any(id_ in answer.text for id_ in ids)
    assert ids[2] in (await web.ask("GET", "/api/jobs/0190aaaa", "viewer")).text


async def test_a_person_submits_for_themselves_only(web: Web) -> None:
    own = await web.ask("POST", "/api/background/site/add", "bob", json={"a": 1})
    assert (await web.ledger.row(own.json()["task_id"]))["person"] == "bob"
    for_alice = await web.ask("POST", "/api/background/site/add?person=alice", "bob", json={"a": 1})
    assert for_alice.status_code == 403
    assert (
        await web.ask("DELETE", f"/api/background/tasks/{own.json()['task_id']}", "bob")
    ).status_code == 202


async def test_a_token_that_was_made_opens_until_it_is_revoked(web: Web) -> None:
    wanted = {"name": "ci", "role": "submitter", "plugins": ["site"], "days": 1}
    made = await web.ask("POST", "/api/tokens", json=wanted)
    assert made.status_code == 201
    web.tokens["ci"] = made.json()["token"]
    me = (await web.ask("GET", "/api/me", "ci")).json()
    assert me == {"name": "ci", "role": "submitter", "plugins": ["site"], "person": None}
    listed = (await web.ask("GET", "/api/tokens")).json()["keys"]
    assert made.json()["id"] in {one["id"] for one in listed}
    assert web.tokens["ci"].split("_", 2)[2] not in str(listed)
    assert (await web.ask("DELETE", f"/api/tokens/{made.json()['id']}")).status_code == 200
    assert (await web.ask("GET", "/api/me", "ci")).status_code == 401
    assert (await web.ask("DELETE", f"/api/tokens/{made.json()['id']}")).status_code == 404


async def test_what_was_done_is_on_record(web: Web) -> None:
    job = await web.job()
    await web.ask("DELETE", f"/api/background/tasks/{job}", "operator")
    await web.ask("POST", "/api/queues/site/pause?reason=tests", "operator")
    await web.ask("POST", "/api/jobs/cancel?task=site.echo", "admin")
    acts = (await web.ask("GET", "/api/audit")).json()["acts"]
    assert [(one["who"], one["act"], one["target"]) for one in acts] == [
        ("admin", "cancel many", "jobs"),
        ("operator", "pause queue", "site"),
        ("operator", "cancel", job),
    ]
    assert acts[0]["data"] == {"task": "site.echo"}
    earlier = (await web.ask("GET", f"/api/audit?before={acts[0]['n']}&limit=1")).json()["acts"]
    assert earlier == acts[1:2]


async def test_every_act_is_on_record(web: Web) -> None:
    """Whatever changes something, and was done, stands in the record once."""
    error = {"kind": "ValueError", "message": "no"}
    dead = [await web.ended(error=error, task="site.add", body='[[], {"a": 1}, {}]') for _ in range(3)]
    async with web.ledger.database.transaction() as tx:
        rule = Rule(every=3600.0)
        await store.put(
            tx, web.ledger.database.dialect, Schedule("site.hourly", "site.add", rule, kwargs={"a": 1})
        )
    token = (await web.ask("POST", "/api/tokens", json={"name": "new", "role": "viewer"})).json()["id"]
    acts = [
        ("POST", "/api/background/site/add", {"a": 1}),
        ("DELETE", f"/api/background/tasks/{await web.job()}", None),
        ("POST", f"/api/jobs/{dead[0]}/replay", {}),
        ("POST", "/api/jobs/replay?task=site.add", None),
        ("POST", "/api/jobs/discard?task=site.add", None),
        ("POST", "/api/jobs/cancel?task=site.add", None),
        ("POST", "/api/queues/site/pause", None),
        ("POST", "/api/queues/site/resume", None),
        ("POST", "/api/plugins/site/disable", None),
        ("POST", "/api/plugins/site/enable", None),
        ("PATCH", "/api/schedules/site.hourly", {"enabled": False}),
        ("POST", "/api/schedules/site.hourly/run", None),
        ("DELETE", f"/api/tokens/{token}", None),
        ("POST", "/api/tokens", {"name": "other", "role": "viewer"}),
    ]
    changing = {(method, path.partition("?")[0]) for method, path, *_ in ENDPOINTS if method != "GET"}
    assert len(acts) == len(changing)
    for method, path, body in acts:
        before = await web.ledger.count("audit")
        answer = await web.ask(method, path, json=body)
        assert answer.status_code < 300, (path, answer.text)
        assert await web.ledger.count("audit") == before + 1, path
    before = await web.ledger.count("audit")
    for method, path, body in (
        ("POST", "/api/background/site/add", {"a": "many"}),
        ("PATCH", "/api/schedules/site.hourly", {}),
        ("PATCH", "/api/schedules/site.hourly", {"cron": "never"}),
        ("DELETE", "/api/tokens/nonesuch", None),
        ("POST", "/api/queues/nowhere/pause", None),
    ):
        assert (await web.ask(method, path, json=body)).status_code in (404, 422)
    assert await web.ledger.count("audit") == before, "what was refused was not done"


async def test_acts_at_the_same_time_share_a_commit_and_what_cannot_be_kept_is_not_done(
    web: Web, monkeypatch: pytest.MonkeyPatch
) -> None:
    commits: list[int] = []
    write = access.write

    async def counting(database: Any, acts: Any) -> None:
        commits.append(len(acts))
        await write(database, acts)

    monkeypatch.setattr(access, "write", counting)
    async with web.client("submitter") as client:
        path = "/api/background/site/add"
        answers = await asyncio.gather(*(client.post(path, json={"a": n}) for n in range(50)))
        assert {answer.status_code for answer in answers} == {202}
        assert sum(commits) == 50
        assert len(commits) < 25

        async def away(database: Any, acts: Any) -> None:
            raise LedgerUnavailable("it is away")

        monkeypatch.setattr(access, "write", away)
        before = await web.ledger.count("job_live")
        assert (await client.post(path, json={"a": 1})).status_code == 503
        assert await web.ledger.count("job_live") == before


async def test_of_what_stands_around_a_job_each_sees_their_own(web: Web) -> None:
    parent = await web.ended(task="site.echo", person="alice")
    children = {
        name: await web.job(task=task, person=person, parent=parent)
        for name, task, person in (
            ("mine", "site.add", "alice"),
            ("other", "other.add", "alice"),
            ("bobs", "site.add", "bob"),
        )
    }
    seen = {"admin": {"mine", "other", "bobs"}, "of-site": {"mine", "bobs"}, "alice": {"mine", "other"}}
    for who, names in seen.items():
        found = (await web.ask("GET", f"/api/jobs/{parent}", who)).json()
        assert {one["id"] for one in found["children"]} == {children[name] for name in names}, who
        page = (await web.ask("GET", f"/jobs/{parent}", who)).text
        assert {name for name, id_ in children.items() if f"/jobs/{id_}" in page} == names, who
    for who, told in (("admin", True), ("alice", False)):  # one person's key learns nothing of the machinery
        for path in (f"/api/jobs/{parent}", f"/api/jobs/{parent}/explain", f"/jobs/{parent}"):
            text = (await web.ask("GET", path, who)).text
            assert ("worker@here" in text) is (told and "explain" not in path), (who, path)


async def test_what_people_were_told_is_of_all_plugins(web: Web) -> None:
    now = web.ledger.database.dialect.now
    await web.ledger.database.execute(
        "INSERT INTO notification (id, person, title, body, data, created) "
        f"VALUES ('0197e2c4-0000-7000-8000-000000000001', 'bob', 'sesame', 'sesame', '{{}}', {now})"
    )
    for who, seen in (("admin", True), ("bob", True), ("alice", False), ("of-site", False)):
        for path in ("/people", "/people?person=bob", "/api/inbox"):
            assert ("sesame" in (await web.ask("GET", path, who)).text) is seen, (who, path)
