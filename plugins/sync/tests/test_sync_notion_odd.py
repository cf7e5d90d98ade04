"""Notion on a bad day: what cannot be read costs itself, stays as it is stored, and is tried again."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hopyard import storage
from hopyard.errors import InvalidInput
from notion_workspace import Workspace
from paged_api import Scripted
from sync_sites import sync_site

COUNT = 8


@pytest.fixture
def workspace() -> Iterator[Workspace]:
    with Workspace() as made:
        for n in range(COUNT):
            made.blocks(made.page(n, f"Page {n}", ago(1000 + n)), f"text {n}")
        yield made


def ago(minutes: float) -> str:
    moment = datetime.now(UTC) - timedelta(minutes=minutes)
    return moment.strftime("%Y-%m-%dT%H:%M:00.000Z")


def notion(url: str, **more: Any) -> dict[str, Any]:
    return {"notion": {"wiki": {"token": "ntn-secret-token", "url": url, "requests_per_second": 50, **more}}}


def id_of(n: int) -> str:
    return f"00000000-0000-4000-8000-{n:012}"


async def gone() -> set[str]:
    rows = await storage.fetch("SELECT id FROM sync_notion_page WHERE gone IS NOT NULL")
    return {row["id"] for row in rows}


async def aside() -> set[str]:
    return {row["what"] for row in await storage.fetch("SELECT what FROM sync_set_aside")}


async def content(n: int) -> str:
    [row] = await storage.fetch("SELECT content FROM sync_notion_page WHERE id = $1", id_of(n))
    return str(row["content"])


@pytest.mark.parametrize("status", [400, 403, 404])
async def test_a_page_that_cannot_be_read_stays_and_is_tried_again(
    tmp_path: Path, workspace: Workspace, status: int
) -> None:
    async with sync_site(tmp_path, notion(workspace.url)) as site:
        await site.sync("wiki")
        workspace.blocks(workspace.page(3, "Page 3", ago(2)), "new text")
        workspace.faults[f"/v1/blocks/{id_of(3)}/children"] = status
        report = await site.sync("wiki", full=True)
        assert (report.state, report.removed, report.set_aside) == ("ok", 0, 1)
        assert await gone() == set()
        assert await content(3) == "text 3"
        workspace.faults.clear()
        await site.sync("wiki")  # nobody has edited it since
        assert await content(3) == "new text"
        assert await aside() == set()


async def test_full_reads_what_is_known_again(tmp_path: Path, workspace: Workspace) -> None:
    workspace.blocks(id_of(1), "one", "two", "three")
    async with sync_site(tmp_path / "a", notion(workspace.url, max_blocks=1)) as site:
        await site.sync("wiki")
        assert await content(1) == "one"
    async with sync_site(tmp_path / "a", notion(workspace.url)) as site:
        await site.sync("wiki", full=True)
        assert await content(1) == "one\ntwo\nthree"


async def test_another_workspace_is_read_from_the_beginning(tmp_path: Path, workspace: Workspace) -> None:
    async with sync_site(tmp_path / "a", notion(workspace.url)) as site:
        await site.sync("wiki")
    with Workspace() as other:
        other.token = "ntn-other-token"
        other.page(100, "Other", ago(5000))
        async with sync_site(tmp_path / "a", notion(other.url, token=other.token)) as site:
            report = await site.sync("wiki", force=True)
            assert report.added == 1


async def test_a_dry_run_tells_what_is_gone(tmp_path: Path, workspace: Workspace) -> None:
    async with sync_site(tmp_path, notion(workspace.url)) as site:
        await site.sync("wiki")
        workspace.objects.clear()
        report = await site.sync("wiki", dry_run=True, full=True)
        assert report.removed == COUNT
        assert f"{COUNT} of {COUNT} would be deleted" in report.notes[0]
        assert await gone() == set()


async def test_a_time_that_lies_ahead_hides_no_later_edit(tmp_path: Path, workspace: Workspace) -> None:
    workspace.page(50, "Future", "9999-01-01T00:00:00.000Z")
    async with sync_site(tmp_path, notion(workspace.url)) as site:
        await site.sync("wiki")
        workspace.blocks(workspace.page(3, "Page 3", ago(0)), "new text")
        await site.sync("wiki")
        assert await content(3) == "new text"


@pytest.mark.parametrize(
    "block",
    [
        {"children": 7},
        {"type": 5},
        {"type": "table_row", "table_row": {"cells": 7}},
        {"type": "paragraph", "paragraph": {"rich_text": [7, {"plain_text": {"a": 1}}]}},
    ],
)
async def test_odd_blocks_cost_their_page_at_most(
    tmp_path: Path, workspace: Workspace, block: dict[str, Any]
) -> None:
    workspace.children[id_of(2)] = [{"object": "block", "id": "b", "type": "paragraph", **block}]
    async with sync_site(tmp_path, notion(workspace.url)) as site:
        report = await site.sync("wiki")
        assert report.state == "ok"
        rows = await storage.fetch("SELECT id FROM sync_notion_page")
        assert {id_of(n) for n in range(COUNT)} - {row["id"] for row in rows} == await aside()


@pytest.mark.parametrize("status", [200, 400])
async def test_lists_that_go_round_end(tmp_path: Path, status: int) -> None:
    def answer(method: str, path: str, headers: Any, body: bytes) -> tuple[int, dict[str, str], Any]:
        if b"start_cursor" in body and status == 400:
            return 400, {}, {"message": "400"}
        cursor = "B" if b'"A"' in body else "A"
        return 200, {}, {"results": [], "has_more": True, "next_cursor": cursor}

    with Scripted(answer) as api:
        async with sync_site(tmp_path, notion(api.url)) as site:
            with pytest.raises(InvalidInput):
                await site.sync("wiki")
    assert len(api.requests) < 10
