"""What the fault suite wraps and breaks is still there: where a step was renamed, its site stands empty."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from chaos.breaks import BREAKS

_TESTS = Path(__file__).parent


def _run(code: str, *arguments: str) -> None:
    """In a process of its own: it changes the product for good."""
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        cwd=_TESTS,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("role", ["worker", "beat"])
def test_each_step_at_which_a_process_can_be_told_to_die_is_still_there(role: str, tmp_path: Path) -> None:
    _run("import sys; from chaos.crashpoints import install; install(sys.argv[2])", role, str(tmp_path))


@pytest.mark.parametrize("name", BREAKS)
def test_each_part_that_can_be_broken_on_purpose_is_still_there(name: str) -> None:
    _run("import sys; from chaos.breaks import install; install(sys.argv[1])", name)
