"""What README and page show of backups and cloud storage works, and their tables are complete."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hopyard import Hopyard, current
from hopyard_file import File
from hopyard_file.backup import commands as backup_commands
from hopyard_file.backup.settings import KeepSettings, RepositorySettings, SourceSettings
from hopyard_file.backup.tasks import TASKS as BACKUP_TASKS
from hopyard_file.cloud import commands as cloud_commands
from hopyard_file.cloud.settings import ConnectionSettings, RcloneRemote, WebDav
from hopyard_file.cloud.stores import AzureBlobs, GoogleBucket, S3Bucket
from hopyard_file.cloud.tasks import TASKS as CLOUD_TASKS
from pyrage import x25519  # type: ignore[import-untyped]

README = (Path(__file__).parents[1] / "README.md").read_text()
PAGE = (Path(__file__).parents[3] / "docs" / "plugins" / "file.md").read_text()


@pytest.mark.parametrize("text", [README, PAGE], ids=["readme", "page"])
def test_the_examples_load_together(text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHOP_BACKUP_IDENTITY", str(x25519.Identity.generate()))
    monkeypatch.setenv("S3_KEY", "a key")
    monkeypatch.setenv("S3_SECRET", "a secret")
    blocks = re.findall(r"```toml\n(.*?)```", text, re.DOTALL)
    wanted = ("settings.roots", "settings.backup", "settings.cloud")
    settings = "\n".join(block for block in blocks if any(one in block for one in wanted))
    (tmp_path / "hopyard.toml").write_text(settings)
    try:
        hopyard = Hopyard.load(config=tmp_path / "hopyard.toml", data=tmp_path / "data")
        assert [one.reason for one in hopyard.plugins.records if one.name == "file"] == [""]
        current.set_instance(hopyard)
        own = File.current().settings
        assert own.backup.sources["documents"].repository == "main"
        assert own.cloud.connections["shop"].direction == "both"
    finally:
        current.set_instance(None)


def test_every_task_and_command_is_in_the_readme() -> None:
    for task in (*BACKUP_TASKS, *CLOUD_TASKS):
        assert f"`{task.name}`" in README
    for command in (*backup_commands.COMMANDS, *cloud_commands.COMMANDS):
        assert f"hopyard file {command.name}" in README, command.name
        assert command.help, command.name
    for name in cloud_commands.cloud.commands:
        assert re.search(rf"hopyard file cloud [a-z\\|]*{name}", README), name


def test_every_setting_is_on_the_page() -> None:
    page = PAGE[PAGE.index("## Backup") :]
    for model in (SourceSettings, RepositorySettings, ConnectionSettings):
        for name, field in model.model_fields.items():
            row = re.search(rf"^\|[^|]*`{name}`[^|]*\|[^|]*\|([^|]*)\|$", page, re.MULTILINE)
            assert row is not None, name
            if isinstance(field.default, bool | int | float):
                assert row[1].strip() == str(field.default).lower().removesuffix(".0"), name
    for other in (KeepSettings, S3Bucket, AzureBlobs, GoogleBucket, WebDav, RcloneRemote):
        for name in {*other.model_fields} - {"kind"}:
            assert f"`{name}`" in page, name
