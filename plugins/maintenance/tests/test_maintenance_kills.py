"""A real worker, killed at each step of a rotation, makes no key too many: the service is a directory."""

from __future__ import annotations

import asyncio
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from servers import fresh_database
from sites import Site, site_in

HOPFILE = """
import os, secrets, signal
from pathlib import Path
from hopyard import Plugin, hookimpl
from hopyard_maintenance import ApiKey, KeyProvider
from pydantic import SecretStr

HERE = Path(__file__).parent
KEYS = HERE / "keys"

def die(moment):
    if (HERE / "die").exists() and (HERE / "die").read_text() == moment:
        (HERE / "die").unlink()
        os.kill(os.getpid(), signal.SIGKILL)

async def create(request):
    die("create")
    secret = "CANARY-" + secrets.token_hex(8)
    (KEYS / request.label).write_text(secret)
    with (HERE / "made").open("a") as made:
        made.write(request.label + "\\n")
    die("created")
    return ApiKey(request.label, SecretStr(secret))

async def verify(request, key):
    die("verify")
    assert (KEYS / key.id).read_text() == key.secret.get_secret_value()

async def publish(request, key):
    die("publish")
    (HERE / "published").write_text(key.id)
    die("published")

async def revoke(request, id_):
    die("revoke")
    (KEYS / id_).unlink(missing_ok=True)
    die("revoked")

async def find(request):
    return request.label if (KEYS / request.label).exists() else None

class Files(Plugin):
    @hookimpl
    def register_key_providers(self):
        return [KeyProvider("files", create, verify, revoke, find=find, publish=publish)]
"""
SETTINGS = f"""
[plugins]
allow = ["maintenance", "site"]
[tasks."maintenance.rotate_api_keys".retry]
backoff = 0.1
[plugins.maintenance.settings]
master_keys = ["{"A" * 43}="]
[plugins.maintenance.settings.keys.acme]
provider = "files"
overlap_hours = 0
"""
MOMENTS = ("create", "created", "verify", "publish", "published", "revoke", "revoked")


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
async def test_a_worker_that_is_killed_at_each_step_makes_no_key_too_many(
    kind: str, request: pytest.FixtureRequest, tmp_path: Path, valkey_url: str
) -> None:
    database = f"sqlite:///{tmp_path / 'hopyard.db'}"
    if kind == "postgresql":
        database = fresh_database(request.getfixturevalue("postgres_url"))
    (tmp_path / "keys").mkdir()
    with site_in(
        tmp_path, broker=valkey_url, database=database, hopfile=HOPFILE, extra=SETTINGS, lease=1
    ) as site:
        try:
            await site.hopyard.upgrade()
            worker = await site.worker("--queues", "maintenance", stock=False)
            assert (await rotated(site)).done == {"acme": "the first key is in use"}
            for moment in MOMENTS:
                (tmp_path / "die").write_text(moment)
                job = await site.submit("maintenance.rotate_api_keys", names=["acme"], force=True)
                await site.until(partial(ended, worker), f"the worker dies: {moment}")
                worker = await site.worker("--queues", "maintenance", stock=False)
                assert (await site.result(job)).done == {"acme": "the old key is revoked"}
                kept = [file.name for file in (tmp_path / "keys").iterdir()]
                assert kept == [(tmp_path / "published").read_text()], moment
            made = (tmp_path / "made").read_text().split()
            # One for each rotation, and one more for that whose secret was lost.
            assert len(made) == 1 + len(MOMENTS) + 1
            rows = await site.rows("SELECT version FROM maintenance_secret")
            assert len(rows) == 1
            assert "CANARY" not in site.logs()
        finally:
            await asyncio.to_thread(site.stop)
            await site.hopyard.close()


async def rotated(site: Site) -> Any:
    return await site.result(await site.submit("maintenance.rotate_api_keys"))


async def ended(worker: Any) -> bool:
    return worker.poll() is not None
