"""REST APIs as they are: they cap pages, end in their own ways, forget cursors and are pointed elsewhere."""

from __future__ import annotations

import asyncio
import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from hopyard import storage
from hopyard.errors import InvalidInput
from hopyard_sync.rest import cursors, pages
from hopyard_sync.settings.apis import Increment, LinkHeader
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from paged_api import Scripted
from sync_sites import sync_site

Answer = tuple[int, dict[str, str], Any]


def query_of(path: str) -> dict[str, str]:
    return {name: values[0] for name, values in parse_qs(urlsplit(path).query).items()}


def shop(url: str, **things: Any) -> dict[str, Any]:
    return {"apis": {"shop": {"url": url, "streams": {"things": {"path": "/things", **things}}}}}


async def stored() -> dict[str, Any]:
    rows = await storage.fetch("SELECT key, data FROM sync_record WHERE connection = 'shop'")
    return {row["key"]: json.loads(row["data"]) for row in rows}


async def aside() -> list[str]:
    rows = await storage.fetch("SELECT what FROM sync_set_aside ORDER BY what")
    return [row["what"] for row in rows]


class Shop:
    """An API with pages of at most `cap` rows, whatever it is asked for, that ends in one of several ways."""

    def __init__(self, kind: str, cap: int, end: str) -> None:
        self.kind, self.cap, self.end = kind, cap, end
        self.rows: list[Any] = []

    def __call__(self, method: str, path: str, headers: dict[str, str], body: bytes) -> Answer:
        asked = query_of(path)
        size = min(self.cap, int(asked.get("limit", "100")))
        first = int(asked["offset"]) if self.kind == "offset" else (int(asked["page"]) - 1) * size
        if first >= len(self.rows) and first > 0:
            if self.end == "404":
                return 404, {}, {"detail": "Invalid page."}
            if self.end == "last":
                first = (len(self.rows) - 1) // size * size
        return 200, {}, self.rows[first : first + size]


ROW = st.fixed_dictionaries(
    {"name": st.text(max_size=3), "fault": st.sampled_from(["", "", "", "name", "id", "row"])}
)


def shown(id_: int, row: dict[str, Any]) -> Any:
    """Return a row as the API shows it, with its fault."""
    if row["fault"] == "row":
        return f"no object {id_}"
    made = {"id": id_, "name": row["name"]}
    return {name: value for name, value in made.items() if name != row["fault"]}


@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    kind=st.sampled_from(["page", "offset"]),
    cap=st.integers(1, 7),
    size=st.integers(1, 9),
    end=st.sampled_from(["empty", "404", "last"]),
    before=st.dictionaries(st.integers(1, 40), ROW, max_size=25),
    after=st.dictionaries(st.integers(1, 40), ROW, max_size=25),
)
def test_each_row_is_read_and_none_is_removed_that_is_still_there(
    kind: str, cap: int, size: int, end: str, before: dict[int, Any], after: dict[int, Any]
) -> None:
    async def play() -> None:
        answers = Shop(kind, cap, end)
        how = {"kind": kind, "size": size}
        with tempfile.TemporaryDirectory() as folder, Scripted(answers) as api:
            given = shop(api.url, pagination=how, removes=True, required=["name"], columns={"name": "name"})
            async with sync_site(Path(folder), given) as site:
                for rows in (before, after):
                    known = await stored()
                    answers.rows = [shown(id_, row) for id_, row in rows.items()]
                    await site.sync("shop", force=True)
                    found = await stored()
                    for id_, row in rows.items():
                        if not row["fault"]:
                            assert found[str(id_)] == {"name": row["name"]}
                        else:  # whatever is wrong with a row, what was stored of it stays
                            assert found.get(str(id_)) == known.get(str(id_))
                    # Behind the last page some APIs do not say where they end; an empty first page is clear.
                    ends = end == "empty" or not rows
                    if ends and not any(row["fault"] in ("id", "row") for row in rows.values()):
                        assert found.keys() <= {str(id_) for id_ in rows}
                    else:
                        assert known.keys() <= found.keys()

    asyncio.run(play())


async def test_a_page_that_is_short_is_the_last_one_only_where_that_is_said(tmp_path: Path) -> None:
    answers = Shop("page", 30, "empty")
    answers.rows = [{"id": n} for n in range(95)]
    with Scripted(answers) as api:
        how = {"kind": "page", "size": 30, "short_is_last": True}
        async with sync_site(tmp_path, shop(api.url, pagination=how)) as site:
            assert (await site.sync("shop")).added == 95
    assert len(api.requests) == 4


async def test_what_is_good_again_is_set_aside_no_more(tmp_path: Path) -> None:
    rows: list[Any] = [{"id": 1, "name": "one"}, {"id": 2}, "nothing"]
    with Scripted(lambda *_: (200, {}, rows)) as api:
        async with sync_site(tmp_path, shop(api.url, required=["name"])) as site:
            await site.sync("shop")
            assert await aside() == ["2", "page 1, row 2"]
            rows[1] = {"id": 2, "name": "two"}
            await site.sync("shop")
            assert await aside() == ["page 1, row 2"]


async def test_a_stream_that_is_pointed_elsewhere_begins_anew(tmp_path: Path) -> None:
    def answer(method: str, path: str, headers: dict[str, str], body: bytes) -> Answer:
        since = int(query_of(path).get("since", "0"))
        return 200, {}, [{"id": n, "n": n} for n in range(1, 11) if n > since]

    grows = {"field": "n", "parameter": "since"}
    with Scripted(answer) as one, Scripted(answer) as other:
        async with sync_site(tmp_path / "a", shop(one.url, increment=grows)) as site:
            assert (await site.sync("shop")).added == 10
            assert (await site.sync("shop")).added == 0
        assert query_of(one.requests[-1][1]) == {"since": "10"}
        async with sync_site(tmp_path / "a", shop(other.url, increment=grows)) as site:
            report = await site.sync("shop")
            assert "read from the beginning" in report.notes[0]
        assert query_of(other.requests[0][1]) == {}


@pytest.mark.parametrize("kind", ["bearer", "header", "query", "basic"])
async def test_a_stream_of_another_account_begins_anew(tmp_path: Path, kind: str) -> None:
    def auth(who: str) -> dict[str, str]:
        named = {"bearer": {"token": who}, "basic": {"user": who, "password": "p"}}
        return {"kind": kind, **named.get(kind, {"name": "key", "key": who})}

    grows = {"field": "n", "parameter": "since"}
    with Scripted(lambda *_: (200, {}, [{"id": 1, "n": 5}])) as api:
        given = shop(api.url, increment=grows)
        for who, asked in (("ada-123", False), ("ada-123", True), ("bob-123", False)):
            given["apis"]["shop"]["auth"] = auth(who)
            async with sync_site(tmp_path / "a", given) as site:
                await site.sync("shop")
            assert ("since" in query_of(api.requests[-1][1])) is asked


async def test_a_position_that_is_not_known_any_more_is_given_up(tmp_path: Path) -> None:
    state = {"broken": True, "token": "a"}

    def answer(method: str, path: str, headers: dict[str, str], body: bytes) -> Answer:
        cursor = query_of(path).get("cursor")
        if cursor is None:
            return 200, {}, {"rows": [{"id": 1}], "next": state["token"]}
        if cursor != state["token"]:
            return 400, {}, {"error": "this cursor has expired"}
        return (503, {"Retry-After": "60"}, {}) if state["broken"] else (200, {}, {"rows": [{"id": 2}]})

    how = {"kind": "cursor", "path": "next"}
    with Scripted(answer) as api:
        async with sync_site(tmp_path, shop(api.url, pagination=how, rows="rows")) as site:
            with pytest.raises(Exception, match="503"):
                await site.sync("shop")
            state.update(broken=False, token="b")
            report = await site.sync("shop")
            assert report.state == "ok"
            assert "has expired" in " ".join(report.notes)
            assert sorted(await stored()) == ["1", "2"]


async def test_a_run_after_one_that_led_nowhere_begins_again(tmp_path: Path) -> None:
    following: list[str | None] = ["/things"]

    def answer(method: str, path: str, headers: dict[str, str], body: bytes) -> Answer:
        return 200, {}, {"rows": [{"id": 1}], "next": following[0]}

    with Scripted(answer) as api:
        given = shop(api.url, pagination={"kind": "next_url", "path": "next"}, rows="rows")
        async with sync_site(tmp_path, given) as site:
            with pytest.raises(InvalidInput, match="leads back"):
                await site.sync("shop")
            following[0] = None
            assert (await site.sync("shop")).state == "ok"


async def test_one_stream_that_fails_holds_up_no_other(tmp_path: Path) -> None:
    def answer(method: str, path: str, headers: dict[str, str], body: bytes) -> Answer:
        return (404, {}, {}) if path.startswith("/gone") else (200, {}, [{"id": 1}])

    with Scripted(answer) as api:
        streams = {"gone": {"path": "/gone"}, "things": {"path": "/things"}}
        async with sync_site(tmp_path, {"apis": {"shop": {"url": api.url, "streams": streams}}}) as site:
            with pytest.raises(InvalidInput, match="404"):
                await site.sync("shop")
            assert sorted(await stored()) == ["1"]


async def test_a_dry_run_tells_what_would_be_removed(tmp_path: Path) -> None:
    rows = [{"id": n} for n in range(20)]
    with Scripted(lambda *_: (200, {}, rows)) as api:
        async with sync_site(tmp_path, shop(api.url, removes=True)) as site:
            await site.sync("shop")
            del rows[2:]
            report = await site.sync("shop", dry_run=True)
            assert report.removed == 18
            assert "18 of 20 would be deleted" in report.notes[0]
            assert len(await stored()) == 20


async def test_a_key_in_a_next_link_is_not_stored(tmp_path: Path) -> None:
    broken = [True]

    def answer(method: str, path: str, headers: dict[str, str], body: bytes) -> Answer:
        asked = query_of(path)
        assert asked["key"] == "sesame+ open"
        if "page" not in asked:
            return 200, {}, {"rows": [{"id": 1}], "next": f"{path}&page=2"}
        return (503, {"Retry-After": "60"}, {"you": path}) if broken[0] else (200, {}, {"rows": []})

    with Scripted(answer) as api:
        given = shop(api.url, pagination={"kind": "next_url", "path": "next"}, rows="rows")
        given["apis"]["shop"]["auth"] = {"kind": "query", "name": "key", "key": "sesame+ open"}
        async with sync_site(tmp_path, given) as site:
            with pytest.raises(Exception, match="503"):
                await site.sync("shop")
            kept = str([dict(row) for row in await storage.fetch("SELECT * FROM sync_stream")])
            kept += str([dict(row) for row in await storage.fetch("SELECT * FROM sync_connection")])
            assert "sesame" not in kept
            assert "page=2" in kept
            broken[0] = False
            assert (await site.sync("shop")).state == "ok"


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ('<https://x/2>; rel="next"', "https://x/2"),
        ('<https://x/1>; rel=prev; title=next, </2>; rel="last next"', "https://x/2"),
        ("<https://x/1>; rel=prev; title=next", None),
        ("", None),
        (f"<https://x/{'a' * 5000}>; rel=next", "at most 4000"),
        (f"<https://x/{'a' * 30_000}>; rel=prev, </2>; rel=next", "at most 20000"),
        ("nonsense", "expected links"),
        ("<http://[::1>; rel=next", "no address"),
    ],
)
def test_link_headers_are_read_whole_or_refused(header: str, expected: str | None) -> None:
    def read() -> Any:
        return pages.following(LinkHeader(kind="link"), None, [], header, "https://x/things", 1)

    if expected is None or expected.startswith("http"):
        assert read() == expected
    else:
        with pytest.raises(InvalidInput, match=expected):
            read()


def increment(overlap: float = 60) -> Increment:
    return Increment(field="at", parameter="since", overlap=overlap)


@pytest.mark.parametrize(
    ("cursor", "expected"),
    [
        (100, "40"),
        (100.5, "40.5"),
        ("100", "40"),
        ("2026-01-05T10:00:00Z", "2026-01-05T09:59:00Z"),
        ("2026-01-05T10:00:00+02:00", "2026-01-05T09:59:00+02:00"),
        ("2026-01-05T10:00:00", "2026-01-05T09:59:00"),
        ("2026-01-05", "2026-01-04"),
        ("Mon, 05 Jan 2026 10:00:00 +0000", "Mon, 05 Jan 2026 09:59:00 +0000"),
        ("0001-01-01T00:00:00Z", "0001-01-01T00:00:00Z"),
    ],
)
def test_cursors_are_set_back_whatever_they_are(cursor: Any, expected: str) -> None:
    assert cursors.since(increment(), cursor) == expected


def test_a_cursor_that_cannot_be_set_back_is_refused() -> None:
    assert cursors.since(increment(0), "abc") == "abc"
    with pytest.raises(InvalidInput, match="which `overlap` sets back"):
        cursors.since(increment(), "abc")


@pytest.mark.parametrize(
    ("one", "other", "higher"),
    [
        (9, 10, 10),
        ("9", "10", "10"),
        ("2026-01-05T10:00:00+02:00", "2026-01-05T09:00:00Z", "2026-01-05T09:00:00Z"),
        ("a", "b", "b"),
    ],
)
def test_the_higher_cursor_is_kept(one: Any, other: Any, higher: Any) -> None:
    assert cursors.higher(one, other, increment()) == higher
    assert cursors.higher(other, one, increment()) == higher


@pytest.mark.parametrize("odd", ["9999-12-31T00:00:00Z", "2999-01-01", True, None, "", [], "x"])
async def test_a_row_whose_cursor_is_none_moves_nothing_and_is_stored(tmp_path: Path, odd: Any) -> None:
    rows = [
        {"id": 1, "at": "2026-01-05T10:00:00Z"},
        {"id": 2, "at": odd},
        {"id": 3, "at": "2026-01-05T11:00:00Z"},
    ]
    if odd == float("inf"):
        return
    with Scripted(lambda *_: (200, {}, rows)) as api:
        grows = {"field": "at", "parameter": "since"}
        async with sync_site(tmp_path, shop(api.url, increment=grows)) as site:
            report = await site.sync("shop")
            assert report.added == 3
            assert "do not move the cursor" in report.notes[0]
            await site.sync("shop")
            assert query_of(api.requests[-1][1]) == {"since": "2026-01-05T11:00:00Z"}


async def test_a_number_that_is_none_is_no_json(tmp_path: Path) -> None:
    with Scripted(lambda *_: (200, {}, b'[{"id": 1, "n": 1e999}]')) as api:
        async with sync_site(tmp_path, shop(api.url)) as site:
            with pytest.raises(InvalidInput, match="too large for a number"):
                await site.sync("shop")


async def test_rows_with_one_key_are_told_of(tmp_path: Path) -> None:
    rows = [{"id": 1, "n": 1}, {"id": "1", "n": 2}]
    with Scripted(lambda *_: (200, {}, rows)) as api:
        async with sync_site(tmp_path, shop(api.url)) as site:
            assert "have the key of another one" in (await site.sync("shop")).notes[0]


async def test_a_clock_that_was_set_back_stops_nothing(tmp_path: Path) -> None:
    with Scripted(lambda *_: (200, {}, [{"id": 1}])) as api:
        given = shop(api.url)
        given["apis"]["shop"]["requests_per_second"] = 50
        async with sync_site(tmp_path, given) as site:
            await site.sync("shop")
            words = storage.sql()
            day = words.plus(words.now, "86400")
            await storage.execute(f"UPDATE sync_limit SET free_at = {day}")
            await storage.execute(
                f"UPDATE sync_connection SET holder = 'x', job = 'y', held_until = {day} WHERE name = 'shop'"
            )
            report = await site.sync("shop")
            assert report.state == "ok"


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"key": []}, "key"),
    ({"key": ""}, "key"),
    ({"key": ["id", "id"]}, "each part of `key` once"),
    ({"required": ["x"], "columns": {"a": "b"}}, "expected some of `columns`"),
    ({"path": "/a#b"}, "without"),
    ({"path": "/a/../b"}, "without"),
    ({"body": {"a": 1}}, "`body` is for POST"),
    ({"pagination": {"kind": "page", "parameter": "limit"}}, "other than `size_parameter`"),
    ({"pagination": {"kind": "page"}, "query": {"page": "1"}}, "is said twice"),
    (
        {"pagination": {"kind": "page"}, "increment": {"field": "a", "parameter": "page"}},
        "is said twice",
    ),
    ({"pagination": {"kind": "cursor", "path": ""}}, "path"),
]


@pytest.mark.parametrize(("things", "match"), WRONG)
def test_streams_that_cannot_work_are_refused(things: dict[str, Any], match: str) -> None:
    from hopyard_sync import SyncSettings
    from pydantic import ValidationError

    with pytest.raises(ValidationError, match=match):
        SyncSettings.model_validate(shop("https://x", **things))


Change = Callable[[dict[str, Any]], object]
CHANGES: list[tuple[Change, str]] = [
    (lambda api: api.update(url="https://x?a=b"), "without \\? and #"),
    (lambda api: api.update(headers={"Content-Length": "1"}), "none of"),
    (lambda api: api.update(headers={"X-A": "a\nb"}), "without line breaks"),
    (lambda api: api.update(auth={"kind": "bearer", "token": ""}), "printable ASCII"),
    (lambda api: api.update(auth={"kind": "bearer", "token": "ü"}), "printable ASCII"),
    (lambda api: api.update(allow_origins=["https://y/path"]), "without a path"),
    (lambda api: api.update(requests_per_second=1e-300), "greater than"),
    (lambda api: api.update(streams={"": {"path": "/a"}}), "pattern"),
]


@pytest.mark.parametrize(("change", "match"), CHANGES)
def test_apis_that_cannot_work_are_refused(change: Change, match: str) -> None:
    from hopyard_sync import SyncSettings
    from pydantic import ValidationError

    given = shop("https://x")
    change(given["apis"]["shop"])
    with pytest.raises(ValidationError, match=match):
        SyncSettings.model_validate(given)
