"""An installation with the sync plugin, whose syncs run here or in a child that may be killed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from hopyard import Hopyard, current, storage
from hopyard.ledger import migrations
from hopyard.storage import new_id
from hopyard_sync.engine import runner
from hopyard_sync.models import Report
from sync_child import OneJob

_CHILD = Path(__file__).with_name("sync_child.py")


class SyncSite:
    """Settings in a file, so that children have them too. Use `sync_site`."""

    def __init__(self, folder: Path, hopyard: Hopyard) -> None:
        self.folder = folder
        self.hopyard = hopyard

    async def sync(self, name: str, **options: bool) -> Report:
        """Sync a connection in this process, also where a child that died has it still."""
        await storage.execute("UPDATE sync_connection SET holder = NULL WHERE name = $1", name)
        job: Any = OneJob(new_id())
        return await runner.sync(job, name, **options)

    def child(self, name: str, job: str, kill_at: int = 0, **options: bool) -> dict[str, Any] | None:
        """Sync a connection in a child; None if it was killed at the given moment."""
        command = [sys.executable, str(_CHILD), str(self.folder / "hopyard.toml"), name, job, str(kill_at)]
        ran = subprocess.run(
            [*command, json.dumps(options)],
            capture_output=True,
            text=True,
            timeout=110,
            check=False,
            cwd=self.folder,
            env=_environment(),
        )
        if ran.returncode == -signal.SIGKILL:
            return None
        assert ran.returncode == 0, ran.stderr
        told: dict[str, Any] = json.loads(ran.stdout)
        return told


def _environment() -> dict[str, str]:
    path = os.pathsep.join(filter(None, [str(_CHILD.parent), os.environ.get("PYTHONPATH", "")]))
    return {**os.environ, "PYTHONPATH": path}


@asynccontextmanager
async def sync_site(
    folder: Path,
    settings: Mapping[str, Any],
    *,
    database: str | None = None,
    egress: str = '"127.0.0.1", "localhost"',
) -> AsyncIterator[SyncSite]:
    """An installation with these settings of the plugin, on SQLite unless a database is given."""
    folder.mkdir(parents=True, exist_ok=True)
    url = database or f"sqlite:///{folder / 'ledger.db'}"
    (folder / "hopyard.toml").write_text(
        f'database_url = "{url}"\nbroker_url = "redis://127.0.0.1:1/0"\ndata = "{folder / "data"}"\n'
        f'time_zone = "Europe/Berlin"\n[egress]\nallow = [{egress}]\n[people.alice]\nzone = "Europe/Berlin"\n'
        f"{toml('plugins.sync.settings', settings)}"
    )
    await migrations.upgrade(
        url, {migrations.CORE: migrations.CORE_PACKAGE, "sync": "hopyard_sync.migrations"}
    )
    hopyard = Hopyard.load(config=folder / "hopyard.toml")
    current.set_instance(hopyard)
    try:
        yield SyncSite(folder, hopyard)
    finally:
        await hopyard.close()
        current.set_instance(None)


def toml(name: str, table: Mapping[str, Any]) -> str:
    """Return a table of settings as TOML."""
    lines = [f"[{name}]"]
    lines += [f"{key} = {_value(one)}" for key, one in table.items()]
    return "\n".join([*lines, ""])


def _value(value: Any) -> str:
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{json.dumps(key)} = {_value(one)}" for key, one in value.items()) + " }"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(_value(one) for one in value) + "]"
    return json.dumps(value)
