"""What README and documentation page show works, and their tables are complete."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hopyard import Hopyard, current
from hopyard_email import Email, EmailSettings
from hopyard_email import settings as models
from hopyard_email.commands import COMMANDS

README = (Path(__file__).parents[1] / "README.md").read_text()
PAGE = (Path(__file__).parents[3] / "docs" / "plugins" / "email.md").read_text()
MODELS = [
    *(models.EmailSettings, models.Account, models.OAuth, models.Proof, models.Dkim, models.Incoming),
    *(models.IncomingRule, models.Summary, models.Sandbox, models.Template),
]


def block(text: str, language: str) -> str:
    found = re.search(rf"```{language}\n(.*?)```", text, re.DOTALL)
    assert found is not None
    return found[1]


def rows(text: str) -> dict[str, str]:
    """Return the last column of all tables by the first one."""
    return dict(re.findall(r"^\| `([^`]+)` \|(?:.*\|)? ([^|]+) \|$", text, re.MULTILINE))


@pytest.mark.parametrize("text", [README, PAGE], ids=["README", "page"])
def test_the_examples_settings_load(text: str, tmp_path: Path) -> None:
    (tmp_path / "hopyard.toml").write_text(
        block(text, "toml").replace('{ env = "SMTP_PASSWORD" }', '"secret"')
    )
    if text is README:
        (tmp_path / "hopfile.py").write_text(block(text, "python"))
    try:
        hopyard = Hopyard.load(config=tmp_path / "hopyard.toml", data=tmp_path / "data")
        assert [record.reason for record in hopyard.plugins.records if record.failed] == []
        account = hopyard.plugins.get("email").settings.accounts["main"]
        assert account.place == ("smtp.example.org", 587)
        if text is README:
            assert hopyard.task("site.greet")
            assert account.proof.place == ("imap.example.org", 993)
    finally:
        current.set_instance(None)


def test_every_task_is_in_its_table() -> None:
    tasks = Email.register_tasks(None)  # type: ignore[arg-type]
    assert {task.name for task in tasks} <= set(rows(README))


def test_every_setting_is_in_a_table_with_its_description() -> None:
    told = rows(PAGE)
    for model in MODELS:
        assert set(model.model_fields) <= set(told), model.__name__
    assert {name: told.get(name) for name in EmailSettings.model_fields}.keys() <= set(rows(README))
    lines = set(re.findall(r"^\| `([a-z_]+)` \|.*?\| ([^|]+) \|$", PAGE, re.MULTILINE))
    for model in MODELS:
        for name, field in model.model_fields.items():
            assert (name, field.description) in lines, f"{model.__name__}.{name}"


def test_every_command_is_in_its_table() -> None:
    for command in COMMANDS:
        assert f"`hopyard email {command.name}" in PAGE
