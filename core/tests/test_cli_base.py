"""The command line itself: help, global options, groups of plugins, errors."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result
from hopyard.cli import COMMANDS, load_settings, main
from hopyard.errors import HopyardError

CODE = """
import click
from hopyard import Plugin, hookimpl

class Parrot(Plugin):
    @hookimpl
    def register_commands(self):
        @click.command("say")
        @click.argument("word")
        @click.option("--data", default="none")
        def say(word, data):
            from hopyard.cli import load_settings
            click.echo(f"{word} {data} {load_settings().log.level}")
        return [say]
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty current folder with a distribution on the path that has the plugin `parrot`."""
    monkeypatch.chdir(tmp_path)
    site = tmp_path / "site"
    (site / "parrot_dist-1.dist-info").mkdir(parents=True)
    (site / "parrot_dist-1.dist-info" / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: parrot-dist\nVersion: 1\n"
    )
    (site / "parrot_dist-1.dist-info" / "entry_points.txt").write_text(
        "[hopyard]\nparrot = parrot_module:Parrot\n"
    )
    (site / "parrot_module.py").write_text(CODE)
    (tmp_path / "hopyard.toml").write_text('[plugins]\nallow = ["parrot"]\n[log]\nlevel = "ERROR"')
    monkeypatch.syspath_prepend(str(site))
    yield tmp_path
    sys.modules.pop("parrot_module", None)


def run(*arguments: str) -> Result:
    return CliRunner().invoke(main, list(arguments))


@pytest.fixture
def probe(monkeypatch: pytest.MonkeyPatch) -> None:
    """A command `probe` that prints what the global options lead to, and one that fails."""
    module = type(sys)("hopyard.cli.probe_for_tests")

    @click.command("probe")
    @click.option("--fail", is_flag=True)
    def probe(fail: bool) -> None:
        if fail:
            raise HopyardError("it broke at redis://u:secret-pass@h")
        settings = load_settings()
        click.echo(json.dumps([str(settings.data), settings.log.level, settings.time_zone]))

    module.command = probe  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setitem(COMMANDS, "probe", (f"{module.__name__}:command", "Probe."))
    monkeypatch.setitem(COMMANDS, "gone", ("hopyard.cli.gone_for_tests:command", "Gone."))


def test_help_lists_commands_and_plugins_without_importing_any() -> None:
    script = (
        "import sys\nfrom hopyard.cli import main\n"
        "try: main(['--help'])\nexcept SystemExit: pass\n"
        "heavy = {'pydantic', 'celery', 'sqlalchemy', 'rich', 'pluggy', 'parrot_module'}\n"
        "print('imported:', sorted(heavy & set(sys.modules)))"
    )
    environ = {"PYTHONPATH": ":".join(sys.path)}
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, env=environ, check=True
    )
    assert "imported: []" in done.stdout
    for name in (*COMMANDS, "parrot"):
        assert f"  {name}" in done.stdout


def test_the_module_can_be_run() -> None:
    environ = {"PYTHONPATH": ":".join(sys.path)}
    arguments = [sys.executable, "-m", "hopyard.cli", "--help"]
    done = subprocess.run(arguments, capture_output=True, text=True, env=environ, check=True)
    assert done.stdout.startswith("Usage: hopyard ")


@pytest.mark.usefixtures("probe")
@pytest.mark.parametrize(
    "arguments",
    [
        ["--data", "d", "--log-level", "debug", "--set", "time_zone=Asia/Tokyo", "probe"],
        ["probe", "--data", "d", "--log-level", "debug", "--set", "time_zone=Asia/Tokyo"],
        ["--data", "other", "--log-level", "debug", "probe", "--data", "d", "--set", "time_zone=Asia/Tokyo"],
    ],
)
def test_global_options_stand_before_or_after_the_command(arguments: list[str], folder: Path) -> None:
    result = run(*arguments)
    assert json.loads(result.stdout) == [str(folder / "d"), "DEBUG", "Asia/Tokyo"]


@pytest.mark.usefixtures("probe")
def test_another_settings_file_can_be_named(folder: Path) -> None:
    (folder / "other.toml").write_text('time_zone = "Asia/Tokyo"')
    assert json.loads(run("probe", "--config", "other.toml").stdout)[2] == "Asia/Tokyo"


@pytest.mark.usefixtures("probe")
def test_an_error_is_a_message_without_traceback_and_without_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    result = run("probe", "--fail")
    assert (result.exit_code, result.stderr) == (1, "Error: it broke at redis://u:***@h\n")
    monkeypatch.setenv("HOPYARD_INTERNAL_DEBUG", "1")
    assert isinstance(run("probe", "--fail").exception, HopyardError)


@pytest.mark.usefixtures("probe")
def test_faults_in_the_settings_end_a_command_with_status_2() -> None:
    result = run("probe", "--log-level", "loud", "--set", "time_zon=UTC")
    assert result.exit_code == 2
    assert result.stderr.startswith("2 faults in the settings:")
    assert "log.level  (command line)" in result.stderr
    assert "did you mean `time_zone`?" in result.stderr


@pytest.mark.usefixtures("probe")
def test_a_command_that_is_not_installed_says_so() -> None:
    result = run("gone")
    assert (result.exit_code, result.stderr) == (
        1,
        "Error: `hopyard gone` is not part of this installation\n",
    )


def test_an_unknown_command_is_answered_with_the_nearest() -> None:
    result = run("parot")
    assert result.exit_code == 2
    assert "Did you mean `parrot`?" in result.stderr


def test_the_commands_of_a_plugin_are_a_group() -> None:
    assert "say" in run("parrot", "--help").stdout
    result = run("--log-level", "DEBUG", "parrot", "say", "hello", "--data", "own")
    assert result.output == "hello own DEBUG\n", "an option of the command's own comes before the global one"


def test_the_group_of_a_plugin_that_failed_tells_why(folder: Path) -> None:
    (folder / "site" / "parrot_module.py").write_text("raise RuntimeError('no voice')")
    result = run("parrot", "say", "hello")
    assert result.exit_code == 1
    assert "no voice" in result.stderr


def test_a_malformed_override_is_a_usage_error() -> None:
    result = run("--set", "nonsense", "plugins")
    assert result.exit_code == 2
    assert "KEY=VALUE" in result.stderr
