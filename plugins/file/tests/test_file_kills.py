"""Workers that are killed in the midst: a batch and a scan go on where they were, and no child is left."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import file_samples as samples
import psutil
import pytest
from hopyard import current
from hopyard_file.documents import store
from servers import fresh_database
from sites import Site, site_in

SETTINGS = """
[plugins]
allow = ["file"]
[tasks."file.batch_process_files".retry]
backoff = 0.1
[plugins.file.settings.documents]
at_once = 1
[plugins.file.settings.roots.in]
path = "{folder}"
"""
QUEUES = ("--queues", "file,file.batch,file.cleanup")


async def killed_in_the_midst(site: Site, worker: Any, begun: str) -> None:
    """Kill a worker once `begun`, a question to the database, has an answer; its children die with it."""

    async def there() -> Any:
        return await site.rows(begun)

    await site.until(there, begun)
    process = psutil.Process(worker.pid)
    below = process.children(recursive=True)
    process.kill()
    worker.wait()

    async def gone() -> bool:
        return not any(one.is_running() and one.status() != psutil.STATUS_ZOMBIE for one in below)

    await site.until(gone, "its children die with it")


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
async def test_a_batch_goes_on(
    kind: str, request: pytest.FixtureRequest, tmp_path: Path, valkey_url: str
) -> None:
    database = f"sqlite:///{tmp_path / 'hopyard.db'}"
    if kind == "postgresql":
        database = fresh_database(request.getfixturevalue("postgres_url"))
    folder = tmp_path / "in"
    folder.mkdir()
    for n in range(25):
        (folder / f"{n:02}.pdf").write_bytes(samples.pdf([[f"page of {n}"]]))
    extra = SETTINGS.format(folder=folder)
    with site_in(tmp_path / "site", broker=valkey_url, database=database, extra=extra, lease=1) as site:
        try:
            await site.hopyard.upgrade()
            worker = await site.worker(*QUEUES, stock=False)
            job = await site.submit("file.batch_process_files", root="in")
            await killed_in_the_midst(site, worker, "SELECT way FROM file_batch_item WHERE state = 'done'")
            before = await site.rows("SELECT way, sha256, seconds FROM file_batch_item WHERE state = 'done'")
            assert 0 < len(before) < 25
            await site.worker(*QUEUES, stock=False)
            report = await site.result(job)
            assert (report.files, report.done, report.errors) == (25, 25, [])
            after = {row["way"]: row for row in await site.rows("SELECT * FROM file_batch_item")}
            assert all(after[row["way"]]["seconds"] == row["seconds"] for row in before), "read once"
            contents = await site.rows("SELECT text FROM file_content")
            assert sorted(row["text"] for row in contents) == sorted(f"page of {n}" for n in range(25))
            listed = await site.result(
                await site.submit("file.list_documents", root="in", under="1", limit=50)
            )
            assert sorted(one.way for one in listed) == [f"{n}.pdf" for n in range(10, 20)]
            await site.result(await site.submit("file.cleanup_temp_files"))
            assert len(await site.rows("SELECT 1 FROM file_document")) == 25
            await _said(site)
        finally:
            await asyncio.to_thread(site.stop)
            await site.hopyard.close()


async def _said(site: Site) -> None:
    """What a model says is kept with the content that it says it of; another content has nothing of it."""
    current.set_instance(site.hopyard)
    try:
        await store.say("in", "01.pdf", summary="short", categories='["a"]', analysis=None)
        found = await store.document("in", "01.pdf")
        assert found is not None
        assert (found["summary"], found["categories"], found["kind"]) == ("short", ["a"], "pdf")
        content = await store.latest(found["sha256"])
        assert content is not None
        await store.place("in", "01.pdf", "read", content=content, reading=found["reading"])
        assert (await store.document("in", "01.pdf") or {})["summary"] == "short"
        await store.place("in", "01.pdf", "refused", sha256="other", size=1, problem="it is bad")
        changed = await store.document("in", "01.pdf")
        assert changed is not None
        assert (changed["summary"], changed["problem"], changed["kind"]) == (None, "it is bad", None)
        assert len(await store.documents(None, state="refused")) == 1
    finally:
        current.set_instance(None)


@pytest.mark.usefixtures("ocr")
async def test_pages_that_ocr_has_read_are_not_read_again(tmp_path: Path, valkey_url: str) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    pages = [samples.lines(2, seed) for seed in range(3)]
    (folder / "scan.pdf").write_bytes(samples.scan(samples.pdf(pages)))
    database = f"sqlite:///{tmp_path / 'hopyard.db'}"
    extra = SETTINGS.format(folder=folder)
    with site_in(tmp_path / "site", broker=valkey_url, database=database, extra=extra, lease=1) as site:
        try:
            await site.hopyard.upgrade()
            worker = await site.worker(*QUEUES, stock=False)
            job = await site.submit("file.process_document", root="in", way="scan.pdf")
            await killed_in_the_midst(site, worker, "SELECT page FROM file_page")
            before = await site.rows("SELECT page, at FROM file_page")
            assert 0 < len(before) < 3
            await site.worker(*QUEUES, stock=False)
            found = await site.result(job)
            assert found.pages_by_ocr == [1, 2, 3]
            after = {row["page"]: row["at"] for row in await site.rows("SELECT page, at FROM file_page")}
            assert all(after[row["page"]] == row["at"] for row in before)
        finally:
            await asyncio.to_thread(site.stop)
            await site.hopyard.close()
