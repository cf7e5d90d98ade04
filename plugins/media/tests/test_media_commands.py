"""`hopyard media …`: what it prints for people, and for programs with `--json`."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import media_samples as samples
import pytest
from click.testing import CliRunner, Result
from hopyard import current
from hopyard.cli import main
from sites import site_in

SETTINGS = """
[plugins]
allow = ["media", "ai"]
[plugins.media.settings]
output = "out"
[plugins.media.settings.roots]
in = {{ path = "{folder}" }}
out = {{ path = "{out}", writable = true }}
"""


def run(*arguments: str) -> Result:
    try:
        return CliRunner().invoke(main, ["media", *arguments], env={"COLUMNS": "250"})
    finally:
        current.set_instance(None)


def ask(*arguments: str, status: int = 0) -> Any:
    result = run(*arguments, "--json")
    assert result.exit_code == status, result.output
    return json.loads(result.stdout)


@pytest.mark.parametrize("database", ["sqlite", "postgresql"])
async def test_with_a_worker(
    tmp_path: Path,
    folder: Path,
    out: Path,
    speech: Path,
    valkey_url: str,
    request: pytest.FixtureRequest,
    monkeypatch: pytest.MonkeyPatch,
    database: str,
) -> None:
    samples.video(folder / "film.mp4", spoken=samples.read_wave(speech / "cards" / "005.wav"))
    (folder / "bad.mp4").write_bytes(samples.playlist("/etc/passwd"))
    url = f"sqlite:///{tmp_path / 'hopyard.db'}"
    if database == "postgresql":
        from servers import fresh_database

        url = fresh_database(request.getfixturevalue("postgres_url"))
    extra = SETTINGS.format(folder=folder, out=out)
    with site_in(tmp_path / "site", broker=valkey_url, database=url, extra=extra) as site:
        monkeypatch.setenv("HOPYARD_CONFIG", str(site.folder / "hopyard.toml"))
        try:
            await site.hopyard.upgrade()
            await site.worker("--queues", "media,media.batch,ai", stock=False)
            await asyncio.to_thread(_all_commands, out)
        finally:
            await asyncio.to_thread(site.stop)
            await site.hopyard.close()


def _all_commands(out: Path) -> None:
    printed = run("transcribe", "in", "film.mp4", "--format", "srt", "--write", "vtt")
    assert printed.exit_code == 0, printed.output
    assert printed.stdout.startswith("1\n00:00:00,")
    assert "eight of spades" in printed.stdout
    assert [one.suffix for one in out.iterdir()] == [".vtt"]
    assert ask("transcribe", "in", "film.mp4")["known"] == 1
    assert "0:00:00  eight of spades" in run("transcribe", "in", "film.mp4").stdout
    video = ask("process", "in", "film.mp4", "--sound")
    assert {one["name"]: one["state"] for one in video["stages"]}["insights"] == "done"
    shown = run("process", "in", "film.mp4").stdout
    assert "Scenes begin at 0:00:00, 0:00:04, 0:00:08" in shown
    assert "known" in shown
    assert ask("enhance", "in", "film.mp4")["offline"]
    assert "1 chapters" in run("enhance", "in", "film.mp4").stdout
    report = ask("batch", "in", status=1)
    assert (report["done"], report["failed"]) == (1, 1)
    assert ask("batch", report["job"], status=1)["items"][0]["way"] == "bad.mp4"
    assert "1 of 2 recordings transcribed, 1 failed" in run("batch", "in").stdout
    assert ask("batch", "in", "film.mp4", "--write", "txt")["done"] == 1
    assert "expected that of a batch" in run("batch", "nothing").output
    listed = {one["way"]: one["problem"] for one in ask("list")}
    assert listed["film.mp4"] is None
    assert "no audio or video file" in listed["bad.mp4"]
    assert "film.mp4" in run("list", "in").stdout
    known = ask("show", "in", "film.mp4")
    assert known["video"]["scenes"] == [0.0, 4.0, 8.0]
    assert run("show", "in", "film.mp4", "--format", "vtt").stdout.startswith("WEBVTT")
    assert "eight of spades" in run("show", "in", "film.mp4").stdout
    assert "there is no transcript of it" in run("show", "in", "bad.mp4", "--format", "txt").output
    assert "nothing is known of x.mp4" in run("show", "in", "x.mp4").output
