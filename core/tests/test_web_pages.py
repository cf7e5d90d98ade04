"""The pages: whatever stands in the ledger is text in them, each viewer sees what is theirs, all links lead
somewhere, below any prefix."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Callable, Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urljoin, urlsplit

import httpx2
import pytest
from fastapi import FastAPI
from hopyard import Job, Plugin, PluginSettings, Queue, RetryPolicy, Rule, Schedule, Task, hookimpl, task
from hopyard.ledger import access, queues, workers
from hopyard.ledger.access import NewAct
from hopyard.schedule import store
from hopyard.testing import Hop
from hopyard.web import create_app
from pydantic import BaseModel, SecretStr

#: What would run, break out of an attribute, or move a terminal's cursor.
HOSTILE = "<script>alert(1)</script>\"'><img src=x onerror=alert(2)>\x1b[31m\u202e{{7*7}}&lt;"
PREFIX = "/ops/hop"
ONCE = RetryPolicy(max_retries=0)


class Line(BaseModel):
    """A line of an order."""

    sku: str
    amount: int = 1


@task("shop.order", retry=ONCE)
async def order(
    job: Job,
    text: str,
    amount: int = 3,
    price: float | None = None,
    kind: Literal["new", 'o"ld'] = "new",
    fast: bool = False,
    tags: list[str] = [],  # noqa: B006 - a task's default is stored with each job
    line: Line | None = None,
) -> str:
    """Take an order."""
    job.log.warning("%s", text)
    job.progress(1, 2, text)

    async def done() -> str:
        return text

    return await job.effect(text[:50], done)


@task("shop.fail", retry=ONCE)
async def fail(text: str, password: str = "") -> None:
    """<script>alert('doc')</script>"""
    raise ValueError(text)


DAILY = Schedule("shop.daily", "shop.order", Rule(cron="30 2 * * *", zone="Europe/Oslo"), {"text": "x"})


class Settings(PluginSettings):
    """What the shop is told."""

    greeting: str = HOSTILE
    api_key: SecretStr = SecretStr("sesame-open-sesame")


class Shop(Plugin[Settings]):
    """<script>alert('shop')</script>"""

    @hookimpl
    def register_queues(self) -> list[Queue]:
        return [Queue("shop", slots=2)]

    @hookimpl
    def register_tasks(self) -> list[Task[..., Any]]:
        return [order, fail]


class Other(Plugin[PluginSettings]):
    """Another one, which does not concern everybody."""


@pytest.fixture
def hop(tmp_path: Path) -> Iterator[Hop]:
    with Hop(
        {"shop": Shop, "other": Other}, folder=tmp_path / "data", settings={"resources": {"gpu": 1}}
    ) as made:
        for person in ("ada", HOSTILE):
            made.run(order.options(person=person), text=HOSTILE)
            made.run(fail.options(person=person), text=f"{HOSTILE} {person}", password="hush-hush-hush")
        yield made


@pytest.fixture
async def app(hop: Hop) -> FastAPI:
    """A dashboard below a prefix, over a ledger whose every text was written by somebody hostile."""
    database = hop.hopyard.client().database
    await workers.register(
        database,
        name=HOSTILE,
        role="worker",
        queues=[HOSTILE],
        plugins={"shop": "1", HOSTILE: "2"},
        lease=60.0,
    )
    await workers.register(
        database, name="b", role="worker", queues=["shop"], plugins={"shop": "2"}, lease=60.0
    )
    await queues.pause(database, "shop", HOSTILE)
    async with database.transaction() as tx:
        schedule = Schedule("mine", "shop.order", Rule(every=60), {"text": HOSTILE})
        await store.put(tx, database.dialect, schedule, person="ada")
        await store.put(tx, database.dialect, DAILY)
    await database.execute("UPDATE schedule SET name = $1, person = $1 WHERE name = 'mine'", HOSTILE + "/..")
    rows = await database.fetch("SELECT id FROM job_history LIMIT 1")
    now = database.dialect.now
    await database.execute(
        f"INSERT INTO schedule_fire (schedule, due, job_id, fired) VALUES ($1, {now}, $2, {now})",
        HOSTILE + "/..",
        rows[0]["id"],
    )
    await database.execute(
        "INSERT INTO notification (id, person, title, body, data, created) "
        f"VALUES ($1, 'ada', $2, $2, '{{}}', {now})",
        rows[0]["id"],
        HOSTILE,
    )
    await access.make(database, "token", HOSTILE, "viewer", plugins=[HOSTILE], person=HOSTILE)
    await access.write(database, [NewAct(HOSTILE, "admin", HOSTILE, HOSTILE, {HOSTILE: HOSTILE}, HOSTILE)])
    return create_app(hop.hopyard, prefix=PREFIX)


Enter = Callable[..., Any]


@pytest.fixture
async def enter(app: FastAPI) -> AsyncIterator[Enter]:
    """Return a client who has come in with a role."""
    clients: list[httpx2.AsyncClient] = []

    async def come(role: str | None = None, **scope: Any) -> httpx2.AsyncClient:
        transport = httpx2.ASGITransport(app=app)
        client = httpx2.AsyncClient(
            transport=transport, base_url="http://hop", headers={"accept": "text/html"}
        )
        clients.append(client)
        if role is not None:
            database = app.state.served.database
            _, key = await access.make(database, "token", role, role, **scope)
            client.headers["authorization"] = f"Bearer {key}"
        return client

    yield come
    for client in clients:
        await client.aclose()


class Page(HTMLParser):
    """What a page links to and loads; fails for anything that is not ours."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: set[str] = set()
        self.acts: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        assert not [name for name in found if name.startswith("on") or name == "style"], (tag, attrs)
        assert tag not in ("style", "iframe", "object", "embed", "base"), tag
        if tag == "script":
            assert str(found.get("src")).startswith(f"{PREFIX}/static/"), attrs
        for name in ("href", "src"):
            if (link := found.get(name)) is not None and not link.startswith("#"):
                self.links.add(link)
        if tag == "form" and found.get("method") == "get":
            self.links.add(found["action"] or "")
        for name in ("data-url", "data-counted", "data-task", "data-schedule", "data-token", "data-replay"):
            if (link := found.get(name)) is not None:
                self.acts.add(link)
        if tag == "form" and found.get("method") == "post":
            self.acts.add(found["action"] or "")


def checked(answer: Any) -> Page:
    """Return a page, in which nothing hostile is left."""
    assert answer.headers["content-type"] == "text/html; charset=utf-8", answer.text
    assert answer.headers["content-security-policy"].startswith("default-src 'none'")
    for bad in ("<script>alert", "<img src=x", "hush-hush", "sesame"):
        assert bad not in answer.text, bad
    # Fields of the filter say what was looked for as it was, so that it is looked for again.
    outside = re.sub(r'<input [^>]*value="[^"]*"', "", answer.text)
    assert "\x1b" not in outside
    assert "\u202e" not in outside
    return Page(answer.text)


SCREENS = ("/", "/jobs", "/failures", "/queues", "/schedules", "/workers", "/plugins", "/people", "/access")


async def walk(client: httpx2.AsyncClient, start: str) -> dict[str, Page]:
    """Return all pages that links lead to from one on; each of them answers."""
    found: dict[str, Page] = {}
    waiting = [f"{PREFIX}{start}"]
    seen = {*waiting}
    while waiting:
        path = waiting.pop()
        answer = await client.get(path, follow_redirects=True)
        assert answer.status_code == 200, (path, answer.status_code, answer.text[:500])
        if not answer.headers["content-type"].startswith("text/html"):
            continue
        found[path] = checked(answer)
        for link in found[path].links:
            assert link.startswith(f"{PREFIX}/"), (path, link)
            target = urljoin(path, link)
            if target not in seen and len(seen) < 400:
                seen.add(target)
                waiting.append(target)
    return found


@pytest.mark.parametrize("role", access.ROLES)
async def test_every_link_leads_somewhere_and_nothing_hostile_is_markup(enter: Enter, role: str) -> None:
    client = await enter(role)
    pages = await walk(client, "/")
    paths = {urlsplit(path).path.removeprefix(PREFIX) for path in pages}
    wanted = {one for one in SCREENS if one not in ("/people", "/access")} | (
        {"/access"} if role == "admin" else set()
    )
    assert wanted <= paths
    assert {"/plugins/shop", "/tasks/shop.order", "/schedules/shop.daily"} <= paths
    assert any(path.startswith("/jobs/") for path in paths)
    acts = {act for page in pages.values() for act in page.acts}
    for act in acts:
        answer = await client.options(act)
        assert answer.status_code != 404, act
        assert act.startswith(f"{PREFIX}/")
    own = {urlsplit(act).path.removeprefix(PREFIX) for act in acts}
    assert ("/api/background/shop/order" in own) is (role != "viewer")
    assert ("/api/queues/shop/resume" in own) is (role in ("operator", "admin"))
    assert ("/api/tokens" in own) is (role == "admin")


async def test_one_persons_key_opens_what_is_theirs(enter: Enter) -> None:
    client = await enter("submitter", person="ada")
    pages = await walk(client, "/jobs")
    assert {urlsplit(path).path.removeprefix(PREFIX) for path in pages} >= {"/jobs", "/people"}
    for path in SCREENS:
        answer = await client.get(f"{PREFIX}{path}", follow_redirects=True)
        theirs = path in ("/", "/jobs", "/people")
        assert answer.status_code == (200 if theirs else 403), path
        checked(answer)
    inbox = (await client.get(f"{PREFIX}/people")).text
    assert "to ada" not in inbox
    assert "&lt;script&gt;alert(1)" in inbox
    listed = (await client.get(f"{PREFIX}/jobs?person=somebody")).text
    assert "data-key=" not in listed


async def test_keys_for_some_plugins_see_no_others(enter: Enter) -> None:
    client = await enter("operator", plugins=["other"])
    for path in ("/", "/jobs", "/failures", "/queues", "/schedules", "/plugins"):
        answer = await client.get(f"{PREFIX}{path}")
        checked(answer)
        assert "shop" not in answer.text, path
    for path in ("/plugins/shop", "/tasks/shop.order", "/schedules/shop.daily"):
        answer = await client.get(f"{PREFIX}{path}")
        assert answer.status_code == 404
        checked(answer)


async def test_settings_are_for_operators_and_secrets_for_nobody(enter: Enter) -> None:
    watching, operating = await enter("viewer"), await enter("operator")
    assert "settings.greeting" not in (await watching.get(f"{PREFIX}/plugins/shop")).text
    shown = (await operating.get(f"{PREFIX}/plugins/shop")).text
    assert "settings.greeting" in shown
    assert "settings.api_key" in shown


async def test_filters_live_in_the_address_and_odd_ones_are_told(enter: Enter, hop: Hop) -> None:
    client = await enter("operator")

    async def shown(query: str) -> str:
        answer = await client.get(f"{PREFIX}/jobs?{query}")
        assert answer.status_code == 200, query
        checked(answer)
        return str(answer.text)

    assert (await shown("state=dead")).count("<tr data-key=") == 2
    assert (await shown("state=dead&task=&queue=&error=onerror%3Dalert&since=&plugin=")).count(
        "<tr data-key="
    ) == 2
    assert (await shown("state=succeeded&task=shop.fail")).count("<tr data-key=") == 0
    assert (await shown("since=2020-01-01T00:00")).count("<tr data-key=") == 4
    assert "since: not a time" in await shown("since=yesterday&until=2020")
    assert "cursor" in await shown("cursor=nonsense")
    assert (await shown("state=nonsense&state=dead&parent=nonsense")).count("<tr data-key=") == 0
    text = await shown("error=%22%3E%3Cscript%3Ealert(3)%3C/script%3E&person=%22")
    assert 'value="&#34;&gt;&lt;script&gt;alert(3)' in text


async def test_bulk_acts_say_what_they_are_about(enter: Enter) -> None:
    client = await enter("operator")
    dead = Page((await client.get(f"{PREFIX}/jobs?state=dead&state=succeeded")).text).acts
    assert f"{PREFIX}/api/jobs/replay?state=dead" in dead
    assert not [act for act in dead if "cancel" in act]
    failures = Page((await client.get(f"{PREFIX}/failures")).text).acts
    groups = {act for act in failures if "/count?" in act}
    assert [(await client.get(counted)).json()["jobs"] for counted in groups] == [1, 1], (
        "two errors, two groups"
    )


async def test_pages_that_are_not_there_and_faults_are_pages_only_for_browsers(enter: Enter) -> None:
    client = await enter("viewer")
    for path in ("/nowhere", "/jobs/none-such", "/schedules/none", "/access", "/tasks/none.such"):
        answer = await client.get(f"{PREFIX}{path}")
        assert answer.status_code in (403, 404)
        checked(answer)
    answer = await client.get(f"{PREFIX}/nowhere", headers={"accept": "application/json"})
    assert answer.headers["content-type"] == "application/problem+json"
    answer = await client.get(f"{PREFIX}/api/nowhere")
    assert answer.headers["content-type"] == "application/problem+json"


async def test_who_has_not_come_in_is_sent_to_the_login_and_back(enter: Enter, app: FastAPI) -> None:
    client = await enter()
    answer = await client.get(f"{PREFIX}/jobs?state=dead&task=a b")
    assert answer.status_code == 303
    assert answer.headers["location"] == f"{PREFIX}/login?next=%2Fjobs%3Fstate%3Ddead%26task%3Da%2520b"
    assert (await client.get(f"{PREFIX}/api/jobs")).status_code == 401
    checked(await client.get(answer.headers["location"]))
    _, key = await access.make(app.state.served.database, "login", "ada", "operator", seconds=60.0)
    asked = {"key": key, "next": "/jobs?state=dead"}
    came = await client.post(f"{PREFIX}/login", json=asked, headers={"sec-fetch-site": "same-origin"})
    assert came.json() == {"to": f"{PREFIX}/jobs?state=dead"}
    cookie = came.headers["set-cookie"]
    assert all(
        one in cookie for one in ("HttpOnly", "SameSite=strict", f"Path={PREFIX}", "hopyard_session=hop_")
    )
    assert "Secure" not in cookie
    assert (await client.get(f"{PREFIX}/jobs")).status_code == 200
    again = await client.post(f"{PREFIX}/login", json=asked, headers={"sec-fetch-site": "same-origin"})
    assert again.status_code == 401
    assert (
        await client.post(f"{PREFIX}/logout", headers={"sec-fetch-site": "cross-site"})
    ).status_code == 403
    left = await client.post(f"{PREFIX}/logout", headers={"sec-fetch-site": "same-origin"})
    assert left.headers["location"] == f"{PREFIX}/login"
    assert (await client.get(f"{PREFIX}/jobs")).status_code == 303
    acts = [(one.who, one.act) for one in await access.acts(app.state.served.database)]
    assert acts[:2] == [("ada", "log out"), ("ada", "log in")]


async def test_a_token_makes_a_session_that_ends_with_it(enter: Enter, app: FastAPI) -> None:
    database = app.state.served.database
    id_, token = await access.make(database, "token", "ci", "viewer", plugins=["shop"])
    client = await enter()
    # As the form comes without its script.
    form = {"key": f" {token} ", "next": "//evil.example.com"}
    came = await client.post(f"{PREFIX}/login", data=form, headers={"sec-fetch-site": "same-origin"})
    assert came.status_code == 303
    assert came.headers["location"] == f"{PREFIX}/"
    assert (await client.get(f"{PREFIX}/")).status_code == 200
    assert [one.kind for one in await access.listed(database) if one.parent == id_] == ["session"]
    await access.revoke(database, id_)
    app.state.served.keys.forget()
    assert (await client.get(f"{PREFIX}/")).status_code == 303


@pytest.mark.parametrize(
    "to", ["//e.example", "/\\e.example", "https://e.example", "jobs", "/a b", "/\n/x", ""]
)
async def test_no_login_leads_to_another_site(enter: Enter, app: FastAPI, to: str) -> None:
    _, key = await access.make(app.state.served.database, "login", "ada", "viewer", seconds=60.0)
    client = await enter()
    came = await client.post(f"{PREFIX}/login", json={"key": key, "next": to})
    assert came.json() == {"to": f"{PREFIX}/"}


async def test_wrong_keys_are_counted(enter: Enter) -> None:
    client = await enter()
    for body in ("[]", "{", '"x"'):
        answer = await client.post(
            f"{PREFIX}/login", content=body, headers={"content-type": "application/json"}
        )
        assert answer.status_code == 400
    statuses = [
        (await client.post(f"{PREFIX}/login", json={"key": f"hop_{n:012}_{'x' * 43}"})).status_code
        for n in range(40)
    ]
    assert statuses[0] == 401
    assert statuses[-1] == 429
    page = await client.post(f"{PREFIX}/login", data={"key": "ä", "next": '"><script>alert(1)</script>'})
    assert page.status_code == 429


async def test_other_sites_pages_log_nobody_in(enter: Enter) -> None:
    client = await enter()
    for headers in ({"origin": "https://evil.example.com"}, {"sec-fetch-site": "cross-site"}):
        answer = await client.post(f"{PREFIX}/login", json={"key": "x"}, headers=headers)
        assert answer.status_code == 403


async def test_static_files_are_kept_by_browsers_and_nothing_else_is(enter: Enter) -> None:
    client = await enter()
    page = await client.get(f"{PREFIX}/login")
    assert page.headers["cache-control"] == "no-store"
    files = [link for link in Page(page.text).links if "/static/" in link]
    assert len(files) >= 4
    for link in files:
        answer = await client.get(link)
        assert "immutable" in answer.headers["cache-control"]
    outside = await client.get(f"{files[0].rsplit('/', 1)[0]}/../pages/routes.py")
    assert outside.status_code == 404
