"""How the long-running commands begin, and what they say where they cannot."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hopyard.supervise import die_with_parent
from servers import free_port, fresh_database

DEADLINE = 60.0
PLUGIN = """
import logging, os, subprocess, sys, warnings
from hopyard import Plugin, PluginSettings, Queue, hookimpl, task

print("printed at import")

@task("site.noisy")
def noisy():
    print("printed with redis://user:hidden-pw@host")
    sys.stderr.write("to standard error\\n")
    subprocess.run(["sh", "-c", "echo from a program; echo and its error >&2"])
    warnings.warn("a warning")
    logging.getLogger("site").warning("logged")

@task("site.process", pool="process")
def process():
    print("printed by a child")

class Site(Plugin[PluginSettings]):
    @hookimpl
    def register_queues(self): return [Queue("site", slots=4)]
    @hookimpl
    def register_tasks(self): return [noisy, process]
"""


class Place:
    """A directory with settings, and commands in it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.environment = {k: v for k, v in os.environ.items() if not k.startswith("HOPYARD_")}
        self.settings()

    def settings(self, text: str = "") -> None:
        (self.folder / "hopyard.toml").write_text(text + '[plugins]\nallow = ["site"]\n')

    def start(self, *words: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [str(Path(sys.executable).parent / "hopyard"), *words],
            cwd=self.folder,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
            preexec_fn=die_with_parent(signal.SIGKILL),
        )

    def run(self, *words: str) -> tuple[int, list[str]]:
        """Run a command to its end; return its status and the lines of standard error."""
        process = self.start(*words)
        _, error = process.communicate(timeout=DEADLINE)
        return process.returncode, error.splitlines()


@pytest.fixture
def place(tmp_path: Path) -> Place:
    (tmp_path / "hopfile.py").write_text(PLUGIN.replace('print("printed at import")', ""))
    return Place(tmp_path)


@pytest.fixture
def stopped() -> Iterator[Callable[[subprocess.Popen[str]], str]]:
    """Stops a process in order, and returns all that it wrote to standard error."""
    started = []

    def stop(process: subprocess.Popen[str]) -> str:
        started.append(process)
        process.terminate()
        return process.communicate(timeout=DEADLINE)[1]

    yield stop
    for process in started:
        if process.poll() is None:
            process.kill()


def hopyard_message(line: str) -> str:
    """The message of a log line."""
    return str(json.loads(line)["message"])


@pytest.mark.parametrize("command", ["worker", "beat"])
def test_without_tables_it_says_what_to_do_and_ends(place: Place, command: str) -> None:
    status, lines = place.run(command)
    assert status == 2
    assert len(lines) == 1
    assert "hopyard db upgrade" in hopyard_message(lines[0])


@pytest.mark.parametrize("command", ["worker", "beat", "up", "doctor", "jobs", "db upgrade"])
def test_a_role_that_the_server_does_not_know_is_a_line(
    place: Place, postgres_url: str, command: str
) -> None:
    user = postgres_url.split("//")[1].split("@")[0]
    wrong = fresh_database(postgres_url).replace(f"//{user}@", "//nobody_here:secret-word@")
    place.settings(f'database_url = "{wrong}"\nbroker_url = "redis://127.0.0.1:1/0"\n')
    process = place.start(*command.split())
    output, error = process.communicate(timeout=DEADLINE)
    assert process.returncode in (1, 2)
    assert "Traceback" not in error
    assert "secret-word" not in output + error
    assert "nobody_here" in output + error
    assert len(error.splitlines()) <= 1, error


@pytest.mark.parametrize("command", ["worker", "beat"])
def test_a_server_that_is_away_is_asked_again_a_line_each(
    place: Place, command: str, stopped: Callable[[subprocess.Popen[str]], str]
) -> None:
    place.settings(
        f'database_url = "postgresql://u:p@127.0.0.1:{free_port()}/d"\nbroker_url = "redis://127.0.0.1:1/0"\n'
    )
    process = place.start(command)
    assert process.stderr is not None
    lines = [process.stderr.readline() for _ in range(3)]
    assert process.poll() is None
    for line, pause in zip(lines, ("0.5", "1", "2"), strict=True):
        assert f"next try in {pause} s" in hopyard_message(line)
    rest = stopped(process)
    assert process.returncode == 0, rest
    assert "Traceback" not in rest


def test_a_queue_that_nobody_has_is_refused_with_the_nearest(place: Place) -> None:
    status, lines = place.run("worker", "-Q", "stie")
    assert status == 2
    assert len(lines) == 1
    assert "did you mean `site`?" in hopyard_message(lines[0])


def test_every_line_of_a_log_in_json_is_json(
    place: Place, valkey_url: str, stopped: Callable[[subprocess.Popen[str]], str]
) -> None:
    (place.folder / "hopfile.py").write_text(PLUGIN)
    place.settings(f'broker_url = "{valkey_url}"\n')
    assert place.run("db", "upgrade")[0] == 0
    worker = place.start("worker")
    for task in ("site.noisy", "site.process"):
        assert place.run("run", task)[0] == 0
    lines = stopped(worker).splitlines()
    entries = [json.loads(line) for line in lines]
    messages = [entry["message"] for entry in entries]
    for told in ("printed at import", "to standard error", "from a program", "and its error", "logged"):
        assert told in messages
    [printed] = [entry for entry in entries if "printed with" in entry["message"]]
    assert printed["message"] == "printed with redis://user:***@host"
    assert (printed["task"], printed["stream"]) == ("site.noisy", "stdout")
    [child] = [entry for entry in entries if entry["message"] == "printed by a child"]
    assert child["task"] == "site.process"
    assert any("a warning" in message for message in messages)


@pytest.mark.parametrize("name", ["queue.py", "token.py", "redis.py", "hopyard/__init__.py", "json.py"])
def test_nothing_of_the_working_directory_is_imported(
    place: Place, valkey_url: str, name: str, stopped: Callable[[subprocess.Popen[str]], str]
) -> None:
    place.settings()
    trap = place.folder / name
    trap.parent.mkdir(exist_ok=True)
    trap.write_text('open("imported", "w").write(__name__)\nraise SystemExit("imported")\n')
    stack = place.start("up", "--quiet")
    until(lambda: place.run("doctor", "--probe", "ready")[0] == 0, stack)
    assert place.run("run", "site.process")[0] == 0
    stopped(stack)
    assert not (place.folder / "imported").exists()


def until(true: Callable[[], bool], process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + DEADLINE
    while not true():
        assert process.poll() is None, process.communicate()[1]
        assert time.monotonic() < deadline


def test_a_killed_supervisor_leaves_no_folder(place: Place, valkey_url: str, tmp_path: Path) -> None:
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    place.environment["TMPDIR"] = str(temporary)
    place.settings(f'broker_url = "{valkey_url}"\n')
    assert place.run("db", "upgrade")[0] == 0
    worker = place.start("worker")
    assert worker.stderr is not None
    for line in worker.stderr:  # its children have begun
        if "ready" in line:
            break
    worker.kill()
    worker.communicate(timeout=DEADLINE)
    assert [*temporary.iterdir()] == []


def test_a_hopfile_works_without_settings(place: Place) -> None:
    (place.folder / "hopyard.toml").unlink()
    process = place.start("tasks", "--json")
    output, _ = process.communicate(timeout=DEADLINE)
    assert "site.noisy" in [task["name"] for task in json.loads(output)]


def test_a_diagnosis_runs_where_a_failed_plugin_refuses_the_start(place: Place) -> None:
    assert place.run("db", "upgrade")[0] == 0
    (place.folder / "hopfile.py").write_text("raise RuntimeError('no voice')")
    (place.folder / "hopyard.toml").write_text('[plugins]\nallow = ["site"]\nstrict = true\n')
    for words in (
        ("doctor", "--probe", "live"),
        ("jobs",),
        ("queues",),
        ("plugins",),
        ("schedule",),
        ("tasks",),
    ):
        process = place.start(*words)
        output, error = process.communicate(timeout=DEADLINE)
        assert process.returncode == (1 if words[0] == "doctor" else 0), error
        assert "start is refused" not in error
        if words[0] == "doctor":
            assert "no voice" in output
    status, lines = place.run("worker")
    assert status != 0
    assert any("no voice" in line for line in lines)


def test_commands_that_need_no_plugin_import_none(place: Place) -> None:
    assert place.run("db", "upgrade")[0] == 0
    (place.folder / "hopfile.py").write_text("open('imported', 'w')\n" + PLUGIN)
    for words in (
        ("jobs",),
        ("jobs", "list", "--json"),
        ("jobs", "discard", "--all"),
        ("schedule",),
        ("--help",),
    ):
        assert place.run(*words)[0] == 0
    assert not (place.folder / "imported").exists()
