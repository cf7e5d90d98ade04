"""What the README shows works, and its table of settings is complete."""

from __future__ import annotations

import re
from pathlib import Path

from hopyard import Hopyard, current
from hopyard_ai import AISettings, AITool
from hopyard_ai.tasks import act

README = (Path(__file__).parents[1] / "README.md").read_text()


def block(language: str) -> str:
    found = re.search(rf"```{language}\n(.*?)```", README, re.DOTALL)
    assert found is not None
    return found[1]


def test_the_example_loads_and_adds_its_tools(tmp_path: Path) -> None:
    (tmp_path / "hopyard.toml").write_text(block("toml").replace('{ env = "OPENAI_API_KEY" }', '"sk-xxxxxx"'))
    (tmp_path / "hopfile.py").write_text(block("python"))
    try:
        hopyard = Hopyard.load(config=tmp_path / "hopyard.toml", data=tmp_path / "data")
        assert [record.reason for record in hopyard.plugins.records if record.failed] == []
        assert hopyard.plugins.get("ai").settings.max_steps == 8
        door = hopyard.task("site.open_door").tool
        assert door is not None
        assert door.approval
        assert hopyard.task("site.weather").tool is not None
        tools = [tool for _, tool in hopyard.plugins.collect("register_tools")]
        assert [tool.name for tool in tools if isinstance(tool, AITool)] == ["add"]
    finally:
        current.set_instance(None)


def test_every_setting_and_every_task_is_in_its_table() -> None:
    cells = re.findall(r"^\| ((?:`[a-z_.]+`(?:, )?)+) \|", README, re.MULTILINE)
    rows = {name for cell in cells for name in re.findall(r"`([a-z_.]+)`", cell)}
    assert set(AISettings.model_fields) - {"model_config"} <= rows
    from hopyard_ai import AI

    assert act.name in rows
    assert {task.name for task in AI.register_tasks(None)} <= rows  # type: ignore[arg-type]
