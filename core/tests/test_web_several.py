"""Several installations in one process, each below a path of its own."""

from __future__ import annotations

from pathlib import Path

import httpx2
from hopyard import Hopyard, current
from hopyard.ledger import access, migrations
from hopyard.ledger.read.counting import live
from hopyard.web import create_app
from ledgers import migrated
from starlette.applications import Starlette
from starlette.routing import Mount

CORE = {migrations.CORE: migrations.CORE_PACKAGE}
HOPFILE = """
from hopyard import Plugin, hookimpl, task

@task("site.{name}")
async def own(n: int = 1) -> int:
    return n

class Site(Plugin):
    @hookimpl
    def register_tasks(self):
        return [own]
"""


async def installed(folder: Path, name: str) -> Hopyard:
    """Return an installation with one task of its own."""
    folder.mkdir()
    (folder / "hopfile.py").write_text(HOPFILE.format(name=name))
    (folder / "hopyard.toml").write_text('broker_url = "memory://localhost/"\n[plugins]\nallow = ["site"]\n')
    url = await migrated(CORE, file=folder / "ledger.db")
    return Hopyard.load(config=folder / "hopyard.toml", data=folder, overrides={"database_url": url})


async def test_each_serves_its_own(tmp_path: Path) -> None:
    served = {name: await installed(tmp_path / name, name) for name in ("bakery", "dairy")}
    current.set_instance(None)  # nobody's: each request says whose it is
    apps = [Mount(f"/{name}", create_app(made, prefix=f"/{name}")) for name, made in served.items()]
    transport = httpx2.ASGITransport(Starlette(routes=apps))
    async with httpx2.AsyncClient(transport=transport, base_url="http://here") as client:
        for name, made in served.items():
            _, token = await access.make(made.client().database, "token", name, "submitter")
            headers = {"Authorization": f"Bearer {token}"}
            other = next(one for one in served if one != name)
            answer = await client.post(f"/{name}/api/background/site/{name}", json={"n": 2}, headers=headers)
            assert answer.status_code == 202
            status = await client.get(answer.json()["monitor_url"], headers=headers)
            assert status.json()["status"] == "queued"
            assert (await client.get(f"/{other}/api/me", headers=headers)).status_code == 401
            unknown = await client.post(f"/{name}/api/background/site/{other}", headers=headers)
            assert unknown.status_code in (404, 405)
    for name, made in served.items():
        assert [(one.task, one.jobs) for one in await live(made.client().database)] == [(f"site.{name}", 1)]
        await made.close()
