"""A command ends when it is done, whatever threads plugins have started."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

HOPFILE = """
import threading
from hopyard import Plugin, PluginSettings, Queue, hookimpl, task

threading.Thread(target=threading.Event().wait, name="for ever").start()

@task("site.echo")
def echo(): return 1

class Site(Plugin[PluginSettings]):
    @hookimpl
    def register_queues(self): return [Queue("site")]
    @hookimpl
    def register_tasks(self): return [echo]
"""


@pytest.mark.parametrize(("words", "status"), [(["tasks", "--json"], 0), (["run", "site.ecoh"], 2)])
def test_a_thread_that_never_ends_keeps_no_command(tmp_path: Path, words: list[str], status: int) -> None:
    (tmp_path / "hopfile.py").write_text(HOPFILE)
    (tmp_path / "hopyard.toml").write_text('[plugins]\nallow = ["site"]\n')
    environment = {name: value for name, value in os.environ.items() if not name.startswith("HOPYARD_")}
    ran = subprocess.run(
        [str(Path(sys.executable).parent / "hopyard"), *words],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ran.returncode == status
    assert "without the threads that do not end: for ever" in ran.stderr
    if not status:
        assert [one["name"] for one in json.loads(ran.stdout)] == ["hopyard.deliver", "site.echo"]
