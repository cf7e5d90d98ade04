"""What README and page show works, and their tables are complete."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hopyard import Hopyard, current
from hopyard_maintenance import KeyProvider, Maintenance, MaintenanceSettings
from hopyard_maintenance.commands import COMMANDS
from hopyard_maintenance.keys_commands import keys
from hopyard_maintenance.settings import (
    FilePlace,
    ManagedKey,
    OptimizeSettings,
    SessionTable,
    VaultSettings,
)
from hopyard_maintenance.tasks import TASKS

README = (Path(__file__).parents[1] / "README.md").read_text()
PAGE = Path(__file__).parents[3] / "docs" / "plugins" / "maintenance.md"


def block(text: str, language: str, number: int = 0) -> str:
    found: list[str] = re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)
    return found[number]


async def test_the_example_loads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHOP_MASTER_KEY", "A" * 43 + "=")
    (tmp_path / "hopyard.toml").write_text(block(README, "toml"))
    (tmp_path / "hopfile.py").write_text(block(README, "python"))
    try:
        hopyard = Hopyard.load(config=tmp_path / "hopyard.toml", data=tmp_path / "data")
        assert [record.reason for record in hopyard.plugins.records if record.failed] == []
        current.set_instance(hopyard)
        settings = Maintenance.current().settings
        assert settings.logs[0].max_bytes == 5_000_000_000
        assert settings.optimize.reindex
        assert settings.master_keys[0].get_secret_value() == "A" * 43 + "="
        (offered,) = hopyard.plugins.collect("register_key_providers")
        assert isinstance(offered[1], KeyProvider)
        assert offered[1].find is not None
        names = {f"{plugin}.{check.name}" for plugin, check in hopyard.plugins.health_checks}
        assert {"site.scans", "maintenance.keys"} <= names
    finally:
        current.set_instance(None)


def test_the_settings_of_the_page_load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = PAGE.read_text()
    monkeypatch.setenv("SHOP_MASTER_KEY", "A" * 43 + "=")
    for number in range(2):
        (tmp_path / "hopyard.toml").write_text(block(page, "toml", number))
        try:
            hopyard = Hopyard.load(config=tmp_path / "hopyard.toml", data=tmp_path / "data")
            assert [one.reason for one in hopyard.plugins.records if one.name == "maintenance"] == [""]
        finally:
            current.set_instance(None)


def test_every_setting_and_every_task_is_in_its_table() -> None:
    rows = set(re.findall(r"^\| `([a-z_.]+)` \|", README, re.MULTILINE))
    assert set(MaintenanceSettings.model_fields) <= rows
    assert {task.name for task in TASKS} <= rows


def test_every_setting_and_every_command_is_on_the_page() -> None:
    page = PAGE.read_text()
    for model in (MaintenanceSettings, OptimizeSettings, FilePlace, SessionTable, VaultSettings, ManagedKey):
        for name in model.model_fields:
            assert re.search(rf"`(optimize\.)?{name}(\.NAME)?`", page), name
    for command in COMMANDS:
        assert f"hopyard maintenance {command.name}" in page
    for name, command in keys.commands.items():
        assert f"hopyard maintenance keys {name}" in page, name
        assert command.help, name
