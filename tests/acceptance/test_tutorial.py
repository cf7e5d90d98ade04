"""The tutorial, followed to the letter: every file is written, every command run, every output compared."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

import pytest
from new_plugins import installed
from pages import DOCS, Reader, environment, fits
from servers import free_port

#: What an installer would do is done without one here; `make test-installed` does it with wheels and pip.
_INSTALLERS = re.compile(r"python -m venv |\. \.venv/bin/activate$|pip install ")


def without_pip(command: str, folder: Path) -> Mapping[str, str] | None:
    if command.startswith("pip install -e "):
        found = installed(folder)
        return {name: found[name] for name in ("PYTHONPATH", "PYTEST_DISABLE_PLUGIN_AUTOLOAD")}
    return {} if _INSTALLERS.match(command) else None


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_plugin_by_the_tutorial_alone(tmp_path: Path) -> None:
    port = str(free_port())
    page = DOCS / "tutorial" / "write-a-plugin.md"
    with Reader(page, tmp_path, environment(), without_pip, {"8711": port}) as reader:
        reader.read()


def test_what_differs_is_found() -> None:
    assert fits("| weather  | enabled |\n", "… weather … enabled …")
    assert fits("ready\n", "ready")
    assert not fits("| weather | quarantined |", "… weather … enabled …")
    assert not fits("ready and more", "ready")
