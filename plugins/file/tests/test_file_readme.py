"""What README and page show of documents and cleanup works, and their tables are complete."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hopyard import Hopyard, current
from hopyard_file import File, FileSettings
from hopyard_file.cleanup.commands import COMMANDS as CLEANUP_COMMANDS
from hopyard_file.cleanup.settings import CleanupSettings, TempPlace
from hopyard_file.cleanup.tasks import TASKS as CLEANUP_TASKS
from hopyard_file.documents.commands import COMMANDS
from hopyard_file.documents.settings import DocumentSettings, UnpackSettings
from hopyard_file.documents.tasks import TASKS

README = (Path(__file__).parents[1] / "README.md").read_text()
PAGE = Path(__file__).parents[3] / "docs" / "plugins" / "file.md"


@pytest.mark.parametrize("text", ["readme", "page"])
def test_the_first_example_loads(text: str, tmp_path: Path) -> None:
    source = README if text == "readme" else PAGE.read_text()
    (tmp_path / "hopyard.toml").write_text(re.findall(r"```toml\n(.*?)```", source, re.DOTALL)[0])
    try:
        hopyard = Hopyard.load(config=tmp_path / "hopyard.toml", data=tmp_path / "data")
        assert [one.reason for one in hopyard.plugins.records if one.name == "file"] == [""]
        current.set_instance(hopyard)
        settings = File.current().settings
        assert (settings.roots["inbox"].writable, settings.roots["work"].writable) == (False, True)
    finally:
        current.set_instance(None)


def test_every_section_and_every_task_is_in_its_table() -> None:
    rows = set(re.findall(r"^\| `([a-z_.]+)` \|", README, re.MULTILINE))
    assert set(FileSettings.model_fields) <= rows
    assert {task.name for task in (*TASKS, *CLEANUP_TASKS)} <= rows
    for command in (*COMMANDS, *CLEANUP_COMMANDS):
        assert f"hopyard file {command.name}" in README, command.name
        assert command.help, command.name


def test_every_setting_is_on_the_page() -> None:
    page = PAGE.read_text()
    for model in (DocumentSettings, UnpackSettings, CleanupSettings, TempPlace):
        for name in model.model_fields:
            assert f"| `{name}` |" in page, name
    for model in (DocumentSettings, UnpackSettings, CleanupSettings):
        for name, field in model.model_fields.items():
            if name == "unpack":
                continue
            rows = re.findall(rf"\| `{name}` \| ([^|]*) \|", page)
            if isinstance(field.default, bool | int | float):
                assert str(field.default).lower().removesuffix(".0") in rows, name
