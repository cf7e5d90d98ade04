"""Notion: a small workspace behind Prism, which judges requests and answers by Notion's OpenAPI document."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hopyard import storage
from hopyard.errors import AuthenticationError, InvalidInput, RateLimited
from hopyard.storage import new_id
from hopyard_sync.errors import TooManyDeletions
from notion_workspace import Workspace
from servers import fresh_database
from sync_servers import running_prism
from sync_sites import sync_site


@pytest.fixture
def workspace() -> Iterator[Workspace]:
    with Workspace() as made:
        yield made


@pytest.fixture(scope="module")
def judged() -> Iterator[tuple[Workspace, str]]:
    """A workspace, and its address behind Prism; each test empties it."""
    with Workspace() as made, running_prism(made.url) as url:
        yield made, url


def minutes_ago(minutes: float) -> str:
    moment = datetime.now(UTC) - timedelta(minutes=minutes)
    return moment.strftime("%Y-%m-%dT%H:%M:00.000Z")


def notion(url: str, **more: Any) -> dict[str, Any]:
    return {"notion": {"wiki": {"token": "ntn-secret-token", "url": url, "requests_per_second": 50, **more}}}


async def pages() -> dict[str, dict[str, Any]]:
    rows = await storage.fetch("SELECT id, title, content, cut, gone, blocks, object FROM sync_notion_page")
    return {row["id"]: dict(row) for row in rows}


def fill(workspace: Workspace, age: float = 1000) -> str:
    """Twelve pages with blocks, and a database with seven rows; edited about so many minutes ago."""
    workspace.objects.clear()
    workspace.children.clear()
    for n in range(12):
        page = workspace.page(n, f"Page {n}", minutes_ago(age - n / 1000 * age))
        workspace.blocks(page, *(f"line {k} of {n}" for k in range(7)))
    source = workspace.source(1, "Tasks", minutes_ago(2 * age))
    for n in range(100, 107):
        workspace.page(n, f"Row {n}", minutes_ago(age - n / 1000 * age), source=source)
    return source


@pytest.mark.parametrize("database", ["sqlite", "postgresql"])
async def test_pages_rows_and_blocks_by_notions_own_document(
    tmp_path: Path, judged: tuple[Workspace, str], postgres_url: str, database: str
) -> None:
    workspace, url = judged
    fill(workspace)
    first = workspace.page(0, "Page 0", minutes_ago(999))
    workspace.blocks(workspace.children[first][0]["id"], "within")
    place = fresh_database(postgres_url) if database == "postgresql" else None
    async with sync_site(tmp_path, notion(url), database=place) as site:
        preview = await site.sync("wiki", dry_run=True)
        assert (preview.added, await pages()) == (13, {})  # rows of databases are known once these are
        report = await site.sync("wiki")
        assert (report.added, report.set_aside) == (20, 0)
        found = await pages()
        assert len(found) == 20
        assert found[first]["content"].startswith("line 0 of 0\n  within\nline 1")
        assert sum(one["title"].startswith("Row") for one in found.values()) == 7
        again = await site.sync("wiki")
        assert (again.added, again.changed, again.removed) == (0, 0, 0)
        assert again.requests == 3


async def test_only_what_was_edited_is_read_again(tmp_path: Path, workspace: Workspace) -> None:
    source = fill(workspace)
    async with sync_site(tmp_path, notion(workspace.url)) as site:
        await site.sync("wiki")
        workspace.asked.clear()
        page = workspace.page(3, "Page 3, edited", minutes_ago(1))
        row = workspace.page(103, "Row 103, edited", minutes_ago(1), source=source)
        report = await site.sync("wiki")
        assert (report.added, report.changed) == (0, 2)
        read = {one.split("/")[-2] for one in workspace.asked if one.endswith("/children")}
        assert read == {page, row}
        assert (await pages())[row]["title"] == "Row 103, edited"


async def test_a_killed_run_goes_on(tmp_path: Path, workspace: Workspace) -> None:
    fill(workspace, age=2)  # so young that another pass would read all of it again
    async with sync_site(tmp_path, notion(workspace.url)) as site:
        job = new_id()
        kills = sum(site.child("wiki", job, kill_at=at) is None for at in (20, 25, 30))
        assert kills == 3
        last = site.child("wiki", job)
        assert last is not None
        assert last["report"]["state"] == "ok"
        assert len(await pages()) == 20
    reads = [one for one in workspace.asked if one.endswith("/children")]
    # Nothing that was stored is read again: a kill costs one page's blocks, which come in two parts.
    assert len(reads) <= 12 * 2 + 7 + 2 * kills


async def test_what_is_gone_is_seen_when_everything_is_read(tmp_path: Path, workspace: Workspace) -> None:
    fill(workspace)
    async with sync_site(tmp_path, notion(workspace.url)) as site:
        await site.sync("wiki")
        gone = [*workspace.objects][2]
        del workspace.objects[gone]
        assert (await site.sync("wiki")).removed == 0
        assert (await site.sync("wiki", full=True)).removed == 1
        assert (await pages())[gone]["gone"] is not None
        workspace.listed = False
        with pytest.raises(TooManyDeletions):
            await site.sync("wiki", full=True)
        assert sum(one["gone"] is None for one in (await pages()).values()) == 19


async def test_busy_times_are_waited_for(tmp_path: Path, workspace: Workspace) -> None:
    fill(workspace)
    workspace.refuse = 3
    async with sync_site(tmp_path, notion(workspace.url)) as site:
        assert (await site.sync("wiki")).added == 20


async def test_blocks_have_bounds(tmp_path: Path, workspace: Workspace) -> None:
    page = workspace.page(1, "Long", minutes_ago(100))
    workspace.blocks(page, *(f"line {n}" for n in range(30)))
    deep = workspace.page(2, "Deep", minutes_ago(100))
    (below,) = workspace.blocks(deep, "level")
    for _ in range(3):
        parent = below
        below = f"{below[:-1]}{(int(below[-1]) + 1) % 10}"
        (made,) = workspace.blocks(parent, "deeper")
        workspace.children[parent][0]["id"] = below
        del made
    workspace.children[below] = []
    for blocks in workspace.children.values():
        for block in blocks:
            block["has_children"] = True
    for block in workspace.children[page]:
        block["has_children"] = False
    async with sync_site(tmp_path, notion(workspace.url, max_blocks=12, max_depth=2)) as site:
        await site.sync("wiki")
        found = await pages()
    assert found[page]["cut"]
    assert len(json.loads(found[page]["blocks"])) == 12
    assert found[deep]["cut"]


async def test_a_refused_token_needs_a_person(tmp_path: Path, workspace: Workspace) -> None:
    workspace.token = "another"
    async with sync_site(tmp_path, notion(workspace.url)) as site:
        with pytest.raises(AuthenticationError):
            await site.sync("wiki")
        assert (await site.sync("wiki")).state == "reconnect"


async def test_the_limit_is_kept(tmp_path: Path, workspace: Workspace) -> None:
    fill(workspace)
    async with sync_site(tmp_path, notion(workspace.url, requests_per_second=0.001)) as site:
        with pytest.raises(RateLimited):
            await site.sync("wiki")
    assert len(workspace.asked) == 1


async def test_odd_answers_are_told(tmp_path: Path, workspace: Workspace) -> None:
    page = workspace.page(1, "One", minutes_ago(100))
    workspace.objects[page]["last_edited_time"] = "yesterday"
    workspace.page(2, "Two", minutes_ago(100))
    async with sync_site(tmp_path, notion(workspace.url)) as site:
        report = await site.sync("wiki")
        assert (report.added, report.set_aside) == (1, 1)
        workspace.answer = lambda *_: (200, {"results": "no list"})  # type: ignore[method-assign]
        with pytest.raises(InvalidInput, match="expected a list"):
            await site.sync("wiki")
