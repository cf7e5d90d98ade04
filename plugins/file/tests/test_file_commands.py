"""`hopyard file …` for documents: what it prints for people, and for programs with `--json`."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import file_samples as samples
import packed_samples as packed
import pytest
from click.testing import CliRunner, Result
from hopyard import current
from hopyard.cli import main
from sites import site_in

SETTINGS = """
[plugins]
allow = ["file"]
[plugins.file.settings.roots.in]
path = "{folder}"
writable = true
[plugins.file.settings.cleanup]
places = [{{ root = "in", under = "temp", patterns = ["*"], hours = 1 }}]
"""


def run(*arguments: str) -> Result:
    try:
        return CliRunner().invoke(main, ["file", *arguments], env={"COLUMNS": "250"})
    finally:
        current.set_instance(None)


def ask(*arguments: str, status: int = 0) -> Any:
    result = run(*arguments, "--json")
    assert result.exit_code == status, result.output
    return json.loads(result.stdout)


async def test_with_a_worker(tmp_path: Path, valkey_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "in"
    (folder / "temp").mkdir(parents=True)
    (folder / "a.pdf").write_bytes(samples.pdf([["Hello Oslo"], ["Page two"]]))
    (folder / "a.zip").write_bytes(packed.zipped({"x.txt": b"x"}))
    (folder / "bad.pdf").write_bytes(samples.looping_pdf())
    database = f"sqlite:///{tmp_path / 'hopyard.db'}"
    extra = SETTINGS.format(folder=folder)
    with site_in(tmp_path / "site", broker=valkey_url, database=database, extra=extra) as site:
        monkeypatch.setenv("HOPYARD_CONFIG", str(site.folder / "hopyard.toml"))
        try:
            await site.hopyard.upgrade()
            await site.worker("--queues", "file,file.batch,file.cleanup", stock=False)
            await asyncio.to_thread(_documents, folder)
            await asyncio.to_thread(_batches)
        finally:
            await asyncio.to_thread(site.stop)
            await site.hopyard.close()


def _documents(folder: Path) -> None:
    assert ask("process", "in", "a.pdf")["pages"] == 2
    assert "of text" in run("process", "in", "a.pdf").stdout
    refused = run("process", "in", "a.pdf", "--uploaded-as", "a.png")
    assert refused.exit_code == 1
    assert "is named .png, but its content is pdf" in refused.output
    found = run("extract", "in", "a.pdf", "--first", "2")
    assert (found.exit_code, found.stdout.strip()) == (0, "Page two")
    assert ask("unpack", "in", "a.zip", "out")["files"] == 1
    assert (folder / "out" / "x.txt").read_bytes() == b"x"
    assert run("analyze", "in", "a.pdf").exit_code == 1, "there is no ai plugin"
    assert ask("show", "in", "a.pdf")["metadata"]["author"] == "Ada Lovelace"
    assert run("show", "in", "a.pdf", "--text").stdout == "Hello Oslo\n\nPage two\n"
    assert "was never looked at" in run("show", "in", "b.pdf").output


def _batches() -> None:
    report = ask("batch", "in", "--pattern", "*.pdf", status=1)
    assert (report["done"], report["refused"]) == (1, 1)
    again = ask("batch", report["job"], status=1)
    assert again["errors"][0]["way"] == "bad.pdf"
    assert [one["way"] for one in ask("list", "in", "--state", "refused")] == ["bad.pdf"]
    assert "its page tree is broken" in run("list").stdout
    assert ask("clean", "--dry-run")["dry_run"]
    assert "0 temporary files" in run("clean").stdout
