"""The README's commands and code do what it says."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from stacks import Stack, running_stack

README = Path(__file__).parents[2] / "README.md"


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", README.read_text(), re.DOTALL | re.MULTILINE)


def named(language: str, file: str) -> str:
    [block] = [block for block in blocks(language) if block.startswith(f"# {file}\n")]
    return block


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A stack with the README's settings and its hopfile."""
    folder = tmp_path_factory.mktemp("readme")
    (folder / "hopyard.toml").write_text(named("toml", "hopyard.toml"))
    (folder / "hopfile.py").write_text(named("python", "hopfile.py"))
    with running_stack(folder) as running:
        yield running


def test_it_is_short() -> None:
    assert len(README.read_text().splitlines()) < 150


def test_its_settings_are_right(site: Stack) -> None:
    assert site.hopyard("config", "check").returncode == 0


def test_its_shell_commands_run(site: Stack) -> None:
    """Every `hopyard` line but `up`, which the fixture runs."""
    lines = [line for block in blocks("sh") for line in block.splitlines() if line.startswith("hopyard")]
    assert len(lines) >= 4
    for line in lines:
        if line != "hopyard up &":
            done = subprocess.run(
                line,
                shell=True,
                cwd=site.folder,
                env=site.environment,
                capture_output=True,
                text=True,
                timeout=60,
            )
            assert done.returncode == 0, f"{line}\n{done.stdout}\n{done.stderr}"
            if "site.greet" in line:
                assert "Hello, Ada!" in done.stdout


def test_its_program_runs(site: Stack) -> None:
    [program] = [block for block in blocks("python") if not block.startswith("# hopfile.py")]
    done = site.python(program)
    assert done.stdout.splitlines() == ["['Hello, Ada!']", "['Hello, Bob!']"], done.stderr


def test_its_make_targets_exist() -> None:
    makefile = (README.parent / "Makefile").read_text()
    for block in blocks("sh"):
        for line in block.splitlines():
            if line.startswith("make "):
                for target in line.split()[1:]:
                    assert re.search(rf"^{target}:", makefile, re.MULTILINE), target
