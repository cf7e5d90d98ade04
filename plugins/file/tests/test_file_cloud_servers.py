"""Directories and real stores: S3, Azure, WebDAV."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from file_store import content, hop_with, make_tree
from hopyard.testing import Hop
from hopyard_file.cloud.models import CloudReport
from object_servers import ROOT, running_azurite, running_moto, running_webdav


@pytest.fixture(scope="module")
def new_remote() -> Iterator[Callable[[str], dict[str, Any]]]:
    """Gives an empty place in a store, by kind; each store is started when it is first needed."""
    started: dict[str, Any] = {}
    running = {"s3": running_moto, "azure": running_azurite, "webdav": running_webdav}

    def make(kind: str) -> dict[str, Any]:
        if kind not in started:
            context = running[kind]()
            started[kind] = (context, context.__enter__())
        server = started[kind][1]
        if kind == "webdav":
            return {**server.settings, "prefix": f"place {random.randrange(10**9)}"}
        return server.bucket() if kind == "s3" else server.container()

    yield make
    for context, _ in started.values():
        context.__exit__(None, None, None)


@pytest.fixture(autouse=True)
def rclone_on_the_path(monkeypatch: pytest.MonkeyPatch) -> None:
    """The extra is not installed where the tests run: its program lies with the servers."""
    monkeypatch.setenv("PATH", f"{ROOT / '.servers' / 'bin'}:{os.environ['PATH']}")


def synced(hop: Hop, name: str, **arguments: Any) -> CloudReport:
    """Sync a connection; return what it did."""
    outcome = hop.run("file.sync_cloud_storage", connection=name, **arguments)
    reports: list[CloudReport] = outcome.result()
    return CloudReport.model_validate(reports[0])


@pytest.mark.parametrize("kind", ["s3", "azure", "webdav"])
def test_two_directories_become_equal_by_way_of_a_store(
    kind: str, new_remote: Callable[[str], dict[str, Any]], tmp_path: Path
) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    two.mkdir()
    make_tree(one, 30)
    (one / "large.bin").write_bytes(random.Random(3).randbytes(9_000_000))
    remote = new_remote(kind)
    cloud = {
        "connections": {name: {"root": name, "remote": remote, "max_delete": 1} for name in ("one", "two")}
    }
    with hop_with(tmp_path / "hop", roots={"one": one, "two": two}, cloud=cloud) as hop:
        assert synced(hop, "one", dry_run=True).uploaded == 31
        assert synced(hop, "one").uploaded == 31
        assert synced(hop, "one").unchanged == 31
        assert synced(hop, "two").downloaded == 31
        assert content(one) == content(two)

        (two / "folder 0/inner 0/file 0.txt").write_text("changed at two")
        (two / "folder 1/inner 1/file 1.txt").unlink()
        (two / "new.txt").write_text("new at two")
        report = synced(hop, "two")
        assert (report.uploaded, report.deleted_there, report.unchanged) == (2, 1, 29)
        report = synced(hop, "one")
        assert (report.downloaded, report.deleted_here, report.unchanged) == (2, 1, 29)
        assert content(one) == content(two)
        assert str(synced(hop, "two").summary) == "two is synced: nothing to do; 31 unchanged, 0.0 MB"


CHILD = """
import asyncio, sys
from hopyard_file.cloud import rclone
from hopyard_file.cloud.settings import WebDav

async def allowed(address):
    pass

async def main():
    rclone.judge = allowed
    own = WebDav(kind="webdav", url=sys.argv[1], user="alice", password="secret-of-alice")
    side = await rclone.RcloneSide.opened(own, 30.0, None)
    print(side._process.pid, flush=True)
    await asyncio.sleep(600)

asyncio.run(main())
"""


def test_rclone_ends_with_a_worker_that_is_killed_and_shows_no_secret() -> None:
    with running_webdav() as server:
        child = subprocess.Popen([sys.executable, "-c", CHILD, server.url], stdout=subprocess.PIPE)
        try:
            assert child.stdout is not None
            group = int(child.stdout.readline())
            leader = psutil.Process(group)
            started = [leader, *leader.children(recursive=True)]
            assert any("rclone" in one.name() for one in started)
            assert not [one for one in started if "secret" in " ".join(one.cmdline())]
        finally:
            child.kill()
            child.wait(30)
            child.stdout.close()  # type: ignore[union-attr]
        _, living = psutil.wait_procs(started, 30)
        assert living == []


def test_without_rclone_it_is_said_what_is_missing(
    new_remote: Callable[[str], dict[str, Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    remote = new_remote("webdav")
    monkeypatch.setenv("PATH", str(tmp_path))
    (tmp_path / "docs").mkdir()
    cloud = {"connections": {"docs": {"root": "docs", "remote": remote}}}
    with hop_with(tmp_path / "hop", roots={"docs": tmp_path / "docs"}, cloud=cloud) as hop:
        outcome = hop.run("file.sync_cloud_storage", connection="docs")
        assert "pip install 'hopyard-file[rclone]'" in str(outcome.error)


def test_a_wrong_password_is_told(new_remote: Callable[[str], dict[str, Any]], tmp_path: Path) -> None:
    remote = {**new_remote("webdav"), "password": "CANARY-wrong"}
    (tmp_path / "docs").mkdir()
    cloud = {"connections": {"docs": {"root": "docs", "remote": remote}}}
    with hop_with(tmp_path / "hop", roots={"docs": tmp_path / "docs"}, cloud=cloud) as hop:
        outcome = hop.run("file.sync_cloud_storage", connection="docs")
        assert outcome.state == "dead"
        assert outcome.error is not None
        assert outcome.error["kind"] == "AuthenticationError"
        assert len(hop.notifications) == 1
        assert "CANARY" not in str(hop.jobs()) + str(hop.notifications)
