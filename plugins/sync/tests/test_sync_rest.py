"""REST APIs: a real one (json-server) read with kills and faults, and odd ones that are made up here.

`HOPYARD_INTERNAL_SYNC_PAGES` (20) is how many pages of a hundred rows the real one has.
"""

from __future__ import annotations

import json
import os
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from hopyard import storage
from hopyard.errors import AuthenticationError, InvalidInput, RateLimited, TransientError
from hopyard.storage import new_id
from hopyard_sync.errors import TooManyDeletions
from hopyard_sync.panels import connections
from paged_api import PagedApi, Scripted, running_proxy
from servers import fresh_database
from sync_servers import running_json_server
from sync_sites import sync_site

PAGES = int(os.environ.get("HOPYARD_INTERNAL_SYNC_PAGES", "20"))
SIZE = 100
Answer = tuple[int, dict[str, str], Any]


def rows_of(count: int) -> list[dict[str, Any]]:
    return [{"id": n, "name": f"thing {n}", "price": {"amount": n / 2}} for n in range(1, count + 1)]


def stream(**more: Any) -> dict[str, Any]:
    return {"path": "/things", **more}


async def records(name: str = "shop") -> dict[str, Any]:
    rows = await storage.fetch("SELECT key, data FROM sync_record WHERE connection = $1", name)
    found = {row["key"]: json.loads(row["data"]) for row in rows}
    assert len(found) == len(rows)
    return found


REFUSALS: list[list[tuple[int, dict[str, str]]]] = [[(429, {"Retry-After": "0"})], [(503, {}), (500, {})]]


def faults(rng: random.Random) -> Callable[[str, int], tuple[int, dict[str, str]] | None]:
    """Refuse every tenth page once, or twice: with 429 and how long to wait, or with 503."""
    kinds: dict[str, list[tuple[int, dict[str, str]]]] = {}

    def fault(page: str, before: int) -> tuple[int, dict[str, str]] | None:
        if page not in kinds:
            kinds[page] = rng.choice(REFUSALS) if rng.random() < 0.1 else []
        return kinds[page][before] if before < len(kinds[page]) else None

    return fault


@pytest.mark.timeout(1800)
@pytest.mark.parametrize("database", ["sqlite", "postgresql"])
@pytest.mark.parametrize("how", ["page", "link"])
async def test_every_row_once_and_only_interrupted_pages_again(
    tmp_path: Path, postgres_url: str, database: str, how: str
) -> None:
    rng = random.Random(f"{database} {how}")
    pagination = {"kind": "link", "size": SIZE, "size_parameter": "_limit"}
    if how == "page":
        pagination |= {"kind": "page", "parameter": "_page"}
    url = fresh_database(postgres_url) if database == "postgresql" else None
    first = {"_page": "1"} if how == "link" else {}
    with (
        running_json_server({"things": rows_of(PAGES * SIZE)}) as real,
        running_proxy(real) as api,
    ):
        api.fault = faults(rng)
        shop = {"url": api.url, "streams": {"things": stream(pagination=pagination, query=first)}}
        async with sync_site(tmp_path, {"apis": {"shop": shop}}, database=url) as site:
            job, kills = new_id(), 0
            for _ in range(4):
                kill_at = rng.randint(2, PAGES)
                kills += site.child("shop", job, kill_at=kill_at) is None
            last = site.child("shop", job)
            assert last is not None
            assert last["report"]["state"] == "ok"
            found = await records()
    assert found == {str(row["id"]): row for row in rows_of(PAGES * SIZE)}
    assert kills == 4
    _check_served(api, kills)


def _check_served(api: PagedApi, kills: int) -> None:
    """Each kill costs the page that was being read, and no other."""
    pages = {page: count for page, count in api.served.items() if int(page) <= PAGES}
    assert set(pages) == {str(n) for n in range(1, PAGES + 1)}
    assert sum(count - 1 for count in pages.values()) <= kills


def items(path: str) -> dict[str, str]:
    return {name: values[0] for name, values in parse_qs(urlsplit(path).query).items()}


def part(first: int, count: int = 4) -> list[dict[str, Any]]:
    return rows_of(10)[first : first + count]


def by_page(path: str) -> Answer:
    return 200, {}, part((int(items(path)["page"]) - 1) * 4)


def by_offset(path: str) -> Answer:
    return 200, {}, part(int(items(path)["offset"]))


def by_cursor(path: str) -> Answer:
    first = int(items(path).get("after", "x0")[1:])
    following = f"x{first + 4}" if first + 4 < 10 else None
    return 200, {}, {"data": {"items": part(first)}, "meta": {"next": following}}


def by_link(path: str) -> Answer:
    first = int(items(path).get("from", "0"))
    link = {"Link": f'</other>; rel="prev", </things?from={first + 4}>; rel="next"'} if first + 4 < 10 else {}
    return 200, link, part(first)


def by_url(path: str) -> Answer:
    first = int(items(path).get("from", "0"))
    return 200, {}, {"rows": part(first), "next": f"/things?from={first + 4}" if first + 4 < 10 else ""}


def at_once(path: str) -> Answer:
    return 200, {}, rows_of(10)


@pytest.mark.parametrize(
    ("answer", "settings"),
    [
        (by_page, {"pagination": {"kind": "page", "size": 4}}),
        (by_offset, {"pagination": {"kind": "offset", "size": 4}}),
        (
            by_cursor,
            {
                "pagination": {"kind": "cursor", "path": "meta.next", "parameter": "after"},
                "rows": "data.items",
            },
        ),
        (by_link, {"pagination": {"kind": "link"}}),
        (by_url, {"pagination": {"kind": "next_url", "path": "next"}, "rows": "rows"}),
        (at_once, {}),
    ],
    ids=["page", "offset", "cursor", "link", "next_url", "none"],
)
async def test_each_kind_of_pages(
    tmp_path: Path, answer: Callable[[str], Answer], settings: dict[str, Any]
) -> None:
    with Scripted(lambda method, path, headers, body: answer(path)) as api:
        shop = {"url": api.url, "streams": {"things": stream(**settings)}}
        async with sync_site(tmp_path, {"apis": {"shop": shop}}) as site:
            preview = await site.sync("shop", dry_run=True)
            assert (preview.added, await records()) == (10, {})
            assert (await site.sync("shop")).added == 10
            again = await site.sync("shop")
            assert (again.added, again.changed) == (0, 0)
            assert [*await records()] == [str(row["id"]) for row in rows_of(10)] or len(await records()) == 10


@pytest.mark.parametrize(
    ("auth", "expected"),
    [
        ({"kind": "bearer", "token": "tok-123456"}, ("authorization", "Bearer tok-123456")),
        (
            {"kind": "basic", "user": "ada", "password": "päss-12"},
            ("authorization", "Basic YWRhOnDDpHNzLTEy"),
        ),
        ({"kind": "header", "name": "X-API-Key", "key": "key-123456"}, ("x-api-key", "key-123456")),
    ],
)
async def test_ways_in(tmp_path: Path, auth: dict[str, str], expected: tuple[str, str]) -> None:
    def answer(method: str, path: str, headers: dict[str, str], body: bytes) -> Answer:
        return (200, {}, rows_of(1)) if headers.get(expected[0]) == expected[1] else (401, {}, {})

    with Scripted(answer) as api:
        shop = {"url": api.url, "auth": auth, "streams": {"things": stream()}}
        async with sync_site(tmp_path, {"apis": {"shop": shop}}) as site:
            assert (await site.sync("shop")).added == 1


async def test_a_key_in_the_address(tmp_path: Path) -> None:
    def answer(method: str, path: str, headers: dict[str, str], body: bytes) -> Answer:
        return (200, {}, rows_of(1)) if items(path) == {"api_key": "k-9&=", "a": "b"} else (401, {}, {})

    auth = {"kind": "query", "name": "api_key", "key": "k-9&="}
    with Scripted(answer) as api:
        shop = {"url": api.url, "auth": auth, "streams": {"things": stream(query={"a": "b"})}}
        async with sync_site(tmp_path, {"apis": {"shop": shop}}) as site:
            assert (await site.sync("shop")).added == 1


class Tokens:
    """An OAuth2 server whose refresh tokens are good once, and the API behind it."""

    def __init__(self) -> None:
        self.refresh = "refresh-token-0"
        self.access = "none yet"
        self.count = 0

    def answer(self, method: str, path: str, headers: dict[str, str], body: bytes) -> Answer:
        if path == "/token":
            form = {name: values[0] for name, values in parse_qs(body.decode()).items()}
            if form.get("grant_type") == "refresh_token" and form["refresh_token"] != self.refresh:
                return 400, {}, {"error": "invalid_grant"}
            self.count += 1
            self.access, self.refresh = f"access-{self.count}", f"refresh-token-{self.count}"
            return 200, {}, {"access_token": self.access, "refresh_token": self.refresh}
        good = headers.get("authorization") == f"Bearer {self.access}"
        return (200, {}, rows_of(2)) if good else (401, {}, {})


def oauth(url: str, **more: Any) -> dict[str, Any]:
    return {
        "kind": "oauth2",
        "token_url": f"{url}/token",
        "client_id": "us",
        "client_secret": "hush-hush",
        **more,
    }


async def test_refresh_tokens_that_change_are_kept_sealed(tmp_path: Path) -> None:
    tokens = Tokens()
    with Scripted(tokens.answer) as api:
        auth = oauth(api.url, refresh_token="refresh-token-0")
        shop = {"url": api.url, "auth": auth, "streams": {"things": stream()}}
        async with sync_site(tmp_path, {"apis": {"shop": shop}}) as site:
            assert [(await site.sync("shop")).state for _ in range(3)] == ["ok"] * 3
            (kept,) = await storage.fetch("SELECT sealed FROM sync_token")
            assert "refresh-token" not in kept["sealed"]
    assert tokens.count == 3


async def test_client_credentials(tmp_path: Path) -> None:
    tokens = Tokens()
    with Scripted(tokens.answer) as api:
        shop = {"url": api.url, "auth": oauth(api.url), "streams": {"things": stream()}}
        async with sync_site(tmp_path, {"apis": {"shop": shop}}) as site:
            assert (await site.sync("shop")).added == 2


async def test_only_what_changed_is_read_again(tmp_path: Path) -> None:
    rows: list[dict[str, Any]] = [{"id": n, "at": f"2026-01-0{n}T10:00:00Z"} for n in range(1, 6)]

    def answer(method: str, path: str, headers: dict[str, str], body: bytes) -> Answer:
        return 200, {}, [row for row in rows if row["at"] >= items(path).get("since", "")]

    increment = {"field": "at", "parameter": "since", "overlap": 60}
    with Scripted(answer) as api:
        shop = {"url": api.url, "streams": {"things": stream(increment=increment)}}
        async with sync_site(tmp_path, {"apis": {"shop": shop}}) as site:
            assert (await site.sync("shop")).added == 5
            rows.append({"id": 6, "at": "2026-01-05T09:59:30Z"})  # came late
            assert (await site.sync("shop")).added == 1
            assert items(api.requests[-1][1]) == {"since": "2026-01-05T09:59:00Z"}


@pytest.mark.parametrize("database", ["sqlite", "postgresql"])
async def test_columns_and_rows_that_do_not_fit(tmp_path: Path, postgres_url: str, database: str) -> None:
    url = fresh_database(postgres_url) if database == "postgresql" else None
    rows = [
        {"id": 1, "name": "one", "price": {"amount": 5}},
        {"name": "without a key"},
        "no object",
        {"id": {"a": 1}},
        {"id": 5, "price": {}},
        {"id": True, "name": "half \ud800 and \0 nul"},
        {"id": "six\0", "name": "nul", "price": {"amount": 1}},
        {"id": 7, "name": "half \ud800 and \0 nul", "price": {"amount": 1}},
    ]
    wanted = {"title": "name", "amount": "price.amount"}
    with Scripted(lambda *_: (200, {}, rows)) as api:
        shop = {"url": api.url, "streams": {"things": stream(columns=wanted, required=["amount"])}}
        async with sync_site(tmp_path, {"apis": {"shop": shop}}, database=url) as site:
            report = await site.sync("shop")
            assert (report.added, report.set_aside) == (2, 6)
            assert (await site.sync("shop")).set_aside == 6
            found = await records()
            assert found["1"] == {"title": "one", "amount": 5}
            assert found["7"]["amount"] == 1
            aside = await storage.fetch("SELECT what, reason FROM sync_set_aside")
            reasons = {row["what"]: row["reason"] for row in aside}
            assert len(aside) == 6  # each is kept once, however often it was set aside
            assert "expected the key" in reasons["page 1, row 1"]
            assert "expected an object" in reasons["page 1, row 2"]
            assert "expected a value" in reasons["5"]


async def test_rows_that_a_complete_run_has_not_seen_are_removed_but_not_all(tmp_path: Path) -> None:
    rows = rows_of(20)
    with Scripted(lambda *_: (200, {}, rows)) as api:
        shop = {"url": api.url, "streams": {"things": stream(removes=True)}}
        async with sync_site(tmp_path, {"apis": {"shop": shop}}) as site:
            await site.sync("shop")
            del rows[18:]
            assert (await site.sync("shop")).removed == 2
            del rows[2:]
            with pytest.raises(TooManyDeletions, match="16 of 18 would be deleted"):
                await site.sync("shop")
            assert len(await records()) == 18
            assert (await site.sync("shop", force=True)).removed == 16


@pytest.mark.parametrize(
    ("answer", "error", "match"),
    [
        ((200, {}, {"rows": 1}), InvalidInput, "expected a list of rows"),
        ((200, {}, b"<html>"), InvalidInput, "expected JSON"),
        ((200, {}, b"[" * 150_000), InvalidInput, "expected JSON"),
        ((200, {}, b"[NaN]"), InvalidInput, "expected JSON"),
        ((200, {}, b" " * 300_000), InvalidInput, "longer than 200000 bytes"),
        ((302, {"Location": "http://169.254.169.254/"}, b""), InvalidInput, "nothing was asked there"),
        ((302, {"Location": "/things"}, b""), InvalidInput, "redirects"),
        ((429, {"Retry-After": "3600"}, {}), RateLimited, "429"),
        ((503, {"Retry-After": "3600"}, {}), RateLimited, "503"),
        ((418, {}, {}), InvalidInput, "418"),
    ],
)
async def test_odd_answers_are_told(
    tmp_path: Path, answer: Answer, error: type[Exception], match: str
) -> None:
    with Scripted(lambda *_: answer) as api:
        shop = {"url": api.url, "max_bytes": 200_000, "streams": {"things": stream()}}
        async with sync_site(tmp_path, {"apis": {"shop": shop}}) as site:
            with pytest.raises(error, match=match):
                await site.sync("shop")


async def test_a_server_that_is_away_is_transient(tmp_path: Path) -> None:
    shop = {"url": "http://127.0.0.1:9", "streams": {"things": stream()}}
    async with sync_site(tmp_path, {"apis": {"shop": shop}}) as site:
        with pytest.raises(TransientError):
            await site.sync("shop")


@pytest.mark.parametrize(
    ("following", "match"),
    [
        (lambda path: "/things", "leads back to itself"),
        (lambda path: f"{path}x" if "?" in path else "/things?a=", "more than 5 pages"),
        (lambda path: "http://127.0.0.1:1/things", "nothing was asked there"),
        (lambda path: {"a": 1}, "expected text"),
    ],
)
async def test_pages_end(tmp_path: Path, following: Callable[[str], Any], match: str) -> None:
    def answer(method: str, path: str, headers: dict[str, str], body: bytes) -> Answer:
        return 200, {}, {"rows": rows_of(1), "next": following(path)}

    pages = {"kind": "next_url", "path": "next"}
    with Scripted(answer) as api:
        things = stream(pagination=pages, rows="rows", max_pages=5)
        async with sync_site(
            tmp_path, {"apis": {"shop": {"url": api.url, "streams": {"things": things}}}}
        ) as site:
            with pytest.raises(InvalidInput, match=match):
                await site.sync("shop")


async def test_refused_credentials_are_told_once_and_not_tried_again(tmp_path: Path) -> None:
    good = [False]
    with Scripted(lambda *_: (200, {}, rows_of(1)) if good[0] else (401, {}, {})) as api:
        shop = {"url": api.url, "person": "alice", "streams": {"things": stream()}}
        async with sync_site(tmp_path, {"apis": {"shop": shop}}) as site:
            from hopyard import people
            from hopyard_sync.engine import runner, state
            from hopyard_sync.errors import ReconnectNeeded

            with pytest.raises(AuthenticationError):
                await site.sync("shop")
            asked = len(api.requests)
            assert (await site.sync("shop")).state == "reconnect"
            assert len(api.requests) == asked
            (told,) = await people.inbox("alice")
            assert told["title"] == "shop needs to be reconnected"
            with pytest.raises(ReconnectNeeded):
                await runner.reconnect("shop")
            assert (await state.standing("shop")).state == "reconnect"
            good[0] = True
            await runner.reconnect("shop")
            assert (await site.sync("shop")).added == 1


async def test_one_job_at_a_time(tmp_path: Path) -> None:
    from hopyard_sync.engine import state

    with Scripted(lambda *_: (200, {}, rows_of(1))) as api:
        shop = {"url": api.url, "streams": {"things": stream()}}
        async with sync_site(tmp_path, {"apis": {"shop": shop}}) as site:
            assert await state.LEASE.take("shop", "holder", "another job")
            busy = site.child("shop", new_id())
            assert busy is not None
            assert busy["report"]["state"] == "busy"
            assert api.requests == []
            taken_over = site.child("shop", "another job")
            assert taken_over is not None
            assert taken_over["report"]["state"] == "ok"


async def test_who_lost_the_connection_stores_nothing_more(tmp_path: Path) -> None:
    """A worker that was given up goes on: what it writes then is refused."""
    from hopyard.errors import LeaseLost
    from hopyard_sync.engine import state
    from hopyard_sync.records import Record

    async def taken(run: Any) -> None:
        assert await state.LEASE.take("shop", "a later run", run._job.id)
        await run.store(await run.stream("things"), [Record("1", {})])

    shop = {"url": "http://127.0.0.1:9", "streams": {"things": stream()}}
    async with sync_site(tmp_path, {"apis": {"shop": shop}}) as site:
        from hopyard_sync.rest import connector

        before, connector.sync = connector.sync, taken
        try:
            with pytest.raises(LeaseLost):
                await site.sync("shop")
        finally:
            connector.sync = before
        assert await records() == {}
        (row,) = await storage.fetch("SELECT holder, state FROM sync_connection")
        assert (row["holder"], row["state"]) == ("a later run", "never")


@pytest.mark.parametrize("database", ["sqlite", "postgresql"])
async def test_a_limit_is_kept_by_all_workers_together(
    tmp_path: Path, postgres_url: str, database: str
) -> None:
    """One request in a thousand seconds: whoever comes next, in whichever process, is told to come back."""
    url = fresh_database(postgres_url) if database == "postgresql" else None
    with Scripted(lambda *_: (200, {}, rows_of(1))) as api:
        shop = {"url": api.url, "requests_per_second": 0.001, "streams": {"things": stream()}}
        async with sync_site(tmp_path, {"apis": {"shop": shop}}, database=url) as site:
            assert (await site.sync("shop")).added == 1
            with pytest.raises(RateLimited) as limited:
                await site.sync("shop")
            assert limited.value.retry_after is not None
            assert 800 < limited.value.retry_after <= 1000
            told = site.child("shop", new_id())
            assert told is not None
            assert told["error"].startswith("RateLimited")
            assert len(api.requests) == 1
            panel = await connections()
            assert panel.figures["Need somebody"] == 1
            assert "failed" in panel.rows[0]


async def test_a_pause_that_one_is_told_holds_for_all(tmp_path: Path) -> None:
    with Scripted(lambda *_: (429, {"Retry-After": "5000"}, {})) as api:
        shop = {"url": api.url, "requests_per_second": 50, "streams": {"things": stream()}}
        async with sync_site(tmp_path, {"apis": {"shop": shop}}) as site:
            with pytest.raises(RateLimited):
                await site.sync("shop")
            told = site.child("shop", new_id())
            assert told is not None
            assert told["error"].startswith("RateLimited")
            assert len(api.requests) == 1


@pytest.mark.parametrize("database", ["sqlite", "postgresql"])
async def test_limits_that_the_api_tells_are_shown(tmp_path: Path, postgres_url: str, database: str) -> None:
    from hopyard_sync.health import connections_well
    from hopyard_sync.overview import statuses

    url = fresh_database(postgres_url) if database == "postgresql" else None

    with Scripted(lambda *_: (200, {"X-RateLimit-Remaining": "42"}, rows_of(3))) as api:
        shop = {"url": api.url, "streams": {"things": stream()}}
        async with sync_site(tmp_path, {"apis": {"shop": shop}}, database=url) as site:
            await site.sync("shop")
            (status,) = await statuses()
            assert (await connections_well()).ok
            assert (status.rows, status.state) == (3, "ok")
            panel = await connections()
            assert panel.figures["Connections"] == 1
            assert panel.figures["Need somebody"] == 0
            (row,) = [dict(zip(panel.columns, one, strict=True)) for one in panel.rows]
            assert (row["Connection"], row["State"], row["Rows"], row["Error"]) == ("shop", "ok", 3, None)
            assert row["Last succeeded"] == status.succeeded
            assert status.last is not None
            assert status.last.quota == {"x-ratelimit-remaining": "42"}
