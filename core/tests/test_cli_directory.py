"""Of the working directory nothing is imported but its `hopfile.py`, by whatever a site's processes are."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hopyard.supervise import die_with_parent

DEADLINE = 60.0
#: Names of modules that Python, Celery or Hopyard import; the file says so when it is.
NAMES = (
    *("queue.py", "token.py", "redis.py", "types.py", "logging.py", "celery.py", "json.py", "random.py"),
    *("asyncio/__init__.py", "hopyard/__init__.py", "hopyard.py", "pluggy.py", "pydantic.py", "secrets.py"),
)
SHADOW = """
import os
with open({mark!r}, "a") as file:
    file.write(__file__ + " in " + str(os.getpid()) + "\\n")
raise RuntimeError("imported of the working directory")
"""
HOPFILE = """
from hopyard import Plugin, PluginSettings, Queue, hookimpl, task

@task("site.child", pool="process")
def child() -> int: return 7

class Site(Plugin[PluginSettings]):
    @hookimpl
    def register_queues(self): return [Queue("site")]
    @hookimpl
    def register_tasks(self): return [child]
"""
BIN = Path(sys.executable).parent


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A working directory in which modules stand in the way."""
    place = tmp_path / "site"
    for name in NAMES:
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        (place / name).write_text(SHADOW.format(mark=str(tmp_path / "imported")))
    (place / "hopfile.py").write_text(HOPFILE)
    return place


@pytest.fixture
def environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith("HOPYARD_")}


def run(folder: Path, environment: dict[str, str], *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(BIN / words[0]), *words[1:]],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=DEADLINE,
        check=False,
    )


@pytest.fixture
def started(folder: Path, environment: dict[str, str]) -> Iterator[list[subprocess.Popen[bytes]]]:
    """Processes that end with the test."""
    processes: list[subprocess.Popen[bytes]] = []
    yield processes
    for process in processes:
        process.send_signal(signal.SIGTERM)
    for process in processes:
        try:
            process.wait(DEADLINE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def start(folder: Path, environment: dict[str, str], *words: str) -> subprocess.Popen[bytes]:
    with (folder.parent / "log").open("wb") as log:
        return subprocess.Popen(
            [str(BIN / words[0]), *words[1:]],
            cwd=folder,
            env=environment,
            stdout=log,
            stderr=log,
            preexec_fn=die_with_parent(signal.SIGTERM),
        )


def succeeded(folder: Path, environment: dict[str, str]) -> None:
    """Submit a job for a child of the process pool until the ledger is there, and see its result."""
    deadline = time.monotonic() + DEADLINE
    while True:
        ran = run(folder, environment, "hopyard", "run", "--timeout", "40", "site.child")
        if ran.returncode == 0:
            assert ran.stdout.splitlines()[-1] == "7"
            return
        log = (folder.parent / "log").read_text()
        assert time.monotonic() < deadline, f"{ran.stdout}{ran.stderr}\n{log}"


@pytest.mark.timeout(200)
def test_up_and_its_children_import_nothing_of_the_working_directory(
    folder: Path, environment: dict[str, str], started: list[subprocess.Popen[bytes]], tmp_path: Path
) -> None:
    (folder / "hopyard.toml").write_text('[plugins]\nallow = ["site"]\n')
    started.append(start(folder, environment, "hopyard", "up"))
    succeeded(folder, environment)
    assert not (tmp_path / "imported").exists(), (tmp_path / "imported").read_text()


@pytest.mark.timeout(200)
def test_a_worker_of_celerys_command_imports_nothing_of_the_working_directory(
    folder: Path,
    environment: dict[str, str],
    started: list[subprocess.Popen[bytes]],
    tmp_path: Path,
    valkey_url: str,
) -> None:
    # Which `hopyard` is meant is decided by Celery's command, before anything of ours runs.
    (folder / "hopyard" / "__init__.py").unlink()
    (folder / "hopyard").rmdir()
    (folder / "hopyard.py").unlink()
    (folder / "hopyard.toml").write_text(f'broker_url = "{valkey_url}"\n[plugins]\nallow = ["site"]\n')
    made = run(folder, environment, "hopyard", "db", "upgrade")
    assert made.returncode == 0, made.stderr
    started.append(start(folder, environment, "celery", "-A", "hopyard", "worker"))
    succeeded(folder, environment)
    assert not (tmp_path / "imported").exists(), (tmp_path / "imported").read_text()
