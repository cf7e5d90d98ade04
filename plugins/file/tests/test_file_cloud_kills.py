"""A real worker is killed in the midst of syncs both ways: in the end both sides are equal.

The size of the acceptance test: HOPYARD_INTERNAL_CLOUD_FILES=2000.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
from functools import partial
from pathlib import Path
from typing import Any

import obstore
import pytest
from file_store import content, make_tree
from object_servers import running_moto
from obstore.store import S3Store
from servers import fresh_database
from sites import Site, site_in

FILES = int(os.environ.get("HOPYARD_INTERNAL_CLOUD_FILES", "160"))
STEPS = int(os.environ.get("HOPYARD_INTERNAL_CLOUD_STEPS", "1"))


@pytest.mark.timeout(1200)
@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
async def test_killed_syncs_end_equal(
    kind: str, request: pytest.FixtureRequest, tmp_path: Path, valkey_url: str
) -> None:
    database = f"sqlite:///{tmp_path / 'hopyard.db'}"
    if kind == "postgresql":
        database = fresh_database(request.getfixturevalue("postgres_url"))
    root = tmp_path / "docs"
    make_tree(root, FILES // 2)
    with running_moto() as moto:
        remote = moto.bucket()
        store = S3Store(
            remote["bucket"],
            endpoint=moto.url,
            access_key_id="a",
            secret_access_key="b",
            region="us-east-1",
            client_options={"allow_http": True},
            virtual_hosted_style_request=False,
        )
        some = random.Random(5)
        for n in range(FILES // 2):
            obstore.put(store, f"there {n % 5}/file {n}", some.randbytes(some.randrange(1, 4000)))
        with site_in(
            tmp_path, broker=valkey_url, database=database, extra=settings(root, remote), lease=1
        ) as site:
            try:
                await site.hopyard.upgrade()
                await synced_under_kills(site, store, root, some)
                for step in range(STEPS):  # and again more with changes and deletions on both sides
                    change(root, store, some, step)
                    await synced_under_kills(site, store, root, some)
                rows = await site.rows("SELECT count(*) AS n FROM file_cloud_entry")
                assert rows[0]["n"] == len(content(root))
            finally:
                await asyncio.to_thread(site.stop)
                await site.hopyard.close()


def settings(root: Path, remote: dict[str, Any]) -> str:
    """Return the settings of the connection `docs`."""
    lines = "\n".join(f"remote.{key} = {json.dumps(value)}" for key, value in remote.items())
    return (
        '[plugins]\nallow = ["file"]\n[egress]\nallow = ["127.0.0.1"]\n'
        '[tasks."file.sync_cloud_storage".retry]\nbackoff = 0.1\n'
        f'[plugins.file.settings.roots.docs]\npath = "{root}"\nwritable = true\n'
        "[plugins.file.settings.cloud.connections.docs]\n"
        f'root = "docs"\nmax_delete = 1\nenabled = false\n{lines}\n'
    )


async def synced_under_kills(site: Site, store: S3Store, root: Path, some: random.Random) -> None:
    """Have a job sync, kill its workers, and see that both sides are equal when it has ended."""
    job = await site.submit("file.sync_cloud_storage", connection="docs")
    begun = await recorded(site)
    for _ in range(2):  # the core ends a job dead whose third worker dies
        worker = await site.worker("--queues", "file.cloud", stock=False)
        before = state_of(root, store)
        more = some.randrange(1, max(2, FILES // 6))
        await site.until(partial(moved, site, job, root, store, before, more), "files have travelled")
        os.kill(worker.pid, signal.SIGKILL)
        worker.wait(30)
    await site.worker("--queues", "file.cloud", stock=False)
    (report,) = await site.result(job, within=600)
    assert (report.state, report.failed) == ("ok", 0), report
    assert content(root) == objects(store)
    assert begun <= await recorded(site) + FILES


async def recorded(site: Site) -> int:
    return int((await site.rows("SELECT count(*) AS n FROM file_cloud_entry"))[0]["n"])


async def moved(site: Site, job: Any, root: Path, store: S3Store, before: int, more: int) -> bool:
    """Say whether so many files have come or gone on the two sides, or the job is over."""
    if abs(state_of(root, store) - before) >= more:
        return True
    return bool((await job.status()).state.final)


def state_of(root: Path, store: S3Store) -> int:
    """Return how many files both sides have together."""
    here = sum(len(names) for _, _, names in os.walk(root))
    return here + sum(len(page) for page in obstore.list(store))


def objects(store: S3Store) -> dict[str, bytes]:
    keys = [one["path"] for page in obstore.list(store) for one in page]
    return {key: bytes(obstore.get(store, key).bytes()) for key in keys}


def change(root: Path, store: S3Store, some: random.Random, step: int) -> None:
    """Change, add and delete files on both sides, some of them on both."""
    files = sorted(path for path in root.rglob("*") if path.is_file())
    for path in some.sample(files, len(files) // 4):
        path.unlink()
    for path in some.sample([path for path in files if path.exists()], len(files) // 8):
        path.write_bytes(some.randbytes(700))
    keys = sorted(one["path"] for page in obstore.list(store) for one in page)
    for key in some.sample(keys, len(keys) // 8):
        obstore.put(store, key, some.randbytes(900))
    for n in range(FILES // 4):
        obstore.put(store, f"new {step}/file {n}", some.randbytes(some.randrange(1, 3000)))
