"""`hopyard new`: what it makes passes its own tests, the contract, type checker and linter at once."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hopyard.cli.new import PARTS
from new_plugins import installed, run


def all_passes(folder: Path) -> None:
    """Run what the package's README promises of it."""
    environment = installed(folder)
    told = run(folder, environment, "pytest", "-q")
    assert "passed" in told
    run(folder, environment, "mypy")
    run(folder, environment, "ruff", "check", ".")
    run(folder, environment, "ruff", "format", "--check", ".")


@pytest.mark.parametrize("options", [[], ["--all"]], ids=" ".join)
def test_a_new_plugin_passes_its_tests_at_once(tmp_path: Path, options: list[str]) -> None:
    folder = tmp_path / "hopyard-weather"
    run(tmp_path, {}, "hopyard", "new", "plugin", "weather", *options)
    all_passes(folder)


@pytest.mark.parametrize("name", ["two_words", "test", "plugin_contract", "plugin_settings"])
def test_names_that_are_unlike_others_work(tmp_path: Path, name: str) -> None:
    folder = tmp_path / "made"
    run(tmp_path, {}, "hopyard", "new", "plugin", name, "--notifier", "--into", str(folder))
    all_passes(folder)


def test_the_scheme_of_a_channel_has_no_underscore(tmp_path: Path) -> None:
    run(tmp_path, {}, "hopyard", "new", "plugin", "two_words", "--notifier")
    folder = tmp_path / "hopyard-two-words"
    assert 'Notifier("two-words", deliver)' in (folder / "src/hopyard_two_words/__init__.py").read_text()
    assert "two-words://{file}" in (folder / "tests/test_two_words.py").read_text()


@pytest.mark.parametrize("name", ["ai", "maintenance", "hopyard"])
def test_the_name_of_what_is_installed_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(AssertionError, match=r"is installed, and yours would replace it|is reserved"):
        run(tmp_path, {}, "hopyard", "new", "plugin", name)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("part", PARTS)
def test_each_part_is_whole_by_itself(tmp_path: Path, part: str) -> None:
    folder = tmp_path / "hopyard-weather"
    run(tmp_path, {}, "hopyard", "new", "plugin", "weather", f"--{part}")
    environment = installed(folder)
    run(folder, environment, "ruff", "check", "--select", "F,I,E", "--line-length", "110", ".")
    (plugin,) = [
        one
        for one in json.loads(run(tmp_path, environment, "hopyard", "plugins", "--json"))
        if one["name"] == "weather"
    ]
    assert plugin["state"] == "enabled"


def test_a_new_hopfile_has_a_task(tmp_path: Path) -> None:
    run(tmp_path, {}, "hopyard", "new", "hopfile")
    (tmp_path / "hopyard.toml").write_text("")
    assert "site.greet" in run(tmp_path, {}, "hopyard", "tasks", "--json")
    assert "No fault" in run(tmp_path, {}, "hopyard", "config", "check")


@pytest.mark.parametrize(
    "name", ["Weather", "class", "a_", "site", "two__lines", "9lives", "jobs", "-x", "ü", ""]
)
def test_a_name_that_is_none_is_refused_and_nothing_is_made(tmp_path: Path, name: str) -> None:
    with pytest.raises(AssertionError) as refused:
        run(tmp_path, {}, "hopyard", "new", "plugin", "--", name)
    assert "Traceback" not in str(refused.value)
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    (tmp_path / "hopyard-weather").mkdir()
    (tmp_path / "hopyard-weather" / "mine.txt").write_text("mine")
    (tmp_path / "hopfile.py").write_text("mine = 1\n")
    for command in (["plugin", "weather"], ["hopfile"]):
        with pytest.raises(AssertionError, match="is there already"):
            run(tmp_path, {}, "hopyard", "new", *command)
    assert (tmp_path / "hopfile.py").read_text() == "mine = 1\n"
