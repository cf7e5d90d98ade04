"""What the README and the plugin's page show works, and their tables are complete."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hopyard import Hopyard, current
from hopyard_sync import Sync, SyncSettings
from hopyard_sync.commands import COMMANDS
from hopyard_sync.settings import ApiConnection, CalendarConnection, MailboxConnection, NotionConnection
from hopyard_sync.settings.apis import Stream
from sync_sites import sync_site

README = (Path(__file__).parents[1] / "README.md").read_text()
PAGE = Path(__file__).parents[3] / "docs" / "plugins" / "sync.md"


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


@pytest.fixture
def no_hopyard() -> Iterator[None]:
    yield
    current.set_instance(None)


def load(folder: Path) -> Hopyard:
    hopyard = Hopyard.load(config=folder / "hopyard.toml", data=folder / "data")
    assert [record.reason for record in hopyard.plugins.records if record.failed] == []
    return hopyard


def test_the_connections_load(tmp_path: Path, no_hopyard: None) -> None:
    text = re.sub(r"\{ env = \"\w+\" \}", '"a-secret-value"', blocks("toml")[0])
    (tmp_path / "hopyard.toml").write_text(text)
    settings: Any = load(tmp_path).plugins.get("sync").settings
    assert set(settings.connections()) == {"work", "private", "wiki", "post", "shop"}


async def test_the_connector_reads(tmp_path: Path) -> None:
    from hopyard import storage

    (tmp_path / "hopfile.py").write_text(blocks("python")[0])
    settings = {"others": {"library": {"kind": "shelf", "options": {"size": 250}}}}
    async with sync_site(tmp_path, settings) as site:
        assert (await site.sync("library")).added == 250
        (row,) = await storage.fetch("SELECT count(*) AS n FROM sync_record")
        assert row["n"] == 250
    assert 'kind = "shelf"' in blocks("toml")[1]


def test_tables_are_complete() -> None:
    rows = set(re.findall(r"^\| `([a-z_.]+)` \|", README, re.MULTILINE))
    assert set(SyncSettings.model_fields) <= rows
    assert {task.name for task in Sync.register_tasks(None)} <= rows  # type: ignore[arg-type]
    assert all(f"`hopyard sync {command.name}" in README for command in COMMANDS)


def test_the_page_has_every_setting() -> None:
    if not PAGE.exists():
        pytest.skip("the pages are in the repository only")
    named = set(re.findall(r"`([a-z_]+)", PAGE.read_text()))
    models = (CalendarConnection, NotionConnection, MailboxConnection, ApiConnection, Stream)
    for model in models:
        assert set(model.model_fields) <= named, set(model.model_fields) - named
