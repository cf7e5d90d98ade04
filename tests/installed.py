"""What a user installs works: each plugin with the core alone, from wheels, in an environment of its own.

At last the tutorial is followed as a stranger does, with pip and the wheels alone (`tutorial`).

Builds all wheels, then for the core and for each plugin makes a fresh environment, installs only its wheel
and what that needs, starts `hopyard up` in an empty directory, and runs one of its tasks by `hopyard run`.
Run by `make test-installed`; names on the command line, `tutorial` among them, choose some of them.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pages import DOCS, Reader
from servers import free_port

ROOT = Path(__file__).parents[1]
UV = Path(sys.executable).with_name("uv")
DEADLINE = 120.0

HOPFILE = """
from hopyard import Plugin, Queue, hookimpl, task

@task("site.double")
async def double(n: int) -> int:
    "Return twice the number."
    return 2 * n

class Site(Plugin):
    @hookimpl
    def register_queues(self): return [Queue("site")]
    @hookimpl
    def register_tasks(self): return [double]
"""

#: By distribution: a task with its arguments, and what must be in its result.
TASKS: dict[str, tuple[list[str], Any]] = {
    "hopyard": (["site.double", "--n", "21"], 42),
    "hopyard-ai": (["ai.process_due_ai_tasks"], {}),
    "hopyard-email": (["email.process_email_queue"], {"sent": int, "problems": list}),
    "hopyard-file": (["file.list_documents"], []),
    "hopyard-maintenance": (["maintenance.monitor_resource_usage"], {"warnings": list, "memory_total": int}),
    "hopyard-media": (["media.list_recordings"], []),
    "hopyard-sync": (["sync.list_events"], {"events": list}),
}


def main(chosen: Sequence[str]) -> None:
    """Check the chosen distributions, all of them if none is named."""
    with tempfile.TemporaryDirectory(prefix="hopyard-installed-") as folder:
        wheels = build(Path(folder) / "wheels")
        if unknown := wheels.keys() - TASKS.keys():
            raise SystemExit(f"nobody said which task of {', '.join(unknown)} is to be run: add it to TASKS")
        for name in chosen or (*wheels, "tutorial"):
            started = time.monotonic()
            if name == "tutorial":
                follow_tutorial(Path(folder) / "wheels", Path(folder) / name)
                print(f"the tutorial was followed ({time.monotonic() - started:.0f} s)")
                continue
            check(name, wheels, Path(folder) / name)
            print(f"{name}: installed from its wheel, its task ran ({time.monotonic() - started:.0f} s)")


def build(folder: Path) -> dict[str, Path]:
    """Build a wheel of each member; return them by distribution, the core first."""
    run([UV, "build", "--quiet", "--all-packages", "--wheel", "--out-dir", folder], cwd=ROOT)
    found = {
        path.name.split("-", 1)[0].replace("_", "-"): path for path in sorted(folder.glob("hopyard*.whl"))
    }
    return {name: found[name] for name in sorted(found)}


def check(name: str, wheels: dict[str, Path], folder: Path) -> None:
    """Install one distribution, run it, and run its task. Raises SystemExit with what went wrong."""
    environment = folder / "environment"
    run([UV, "venv", "--quiet", "--python", sys.executable, environment])
    needed = {"hopyard", name}
    python = environment / "bin" / "python"
    constraints = ROOT / "constraints.txt"
    paths = [wheels[each] for each in sorted(needed)]
    run([UV, "pip", "install", "--quiet", "--python", python, "-c", constraints, *paths], cwd=folder)
    installed = run([UV, "pip", "freeze", "--python", python]).stdout
    others = [each for each in TASKS if each not in needed and f"{each} @" in installed]
    if others or "pytest" in installed:
        raise SystemExit(f"{name} brings in what it must not: {others or 'pytest'}")

    place = folder / "place"
    place.mkdir()
    if name == "hopyard":
        (place / "hopyard.toml").write_text('time_zone = "UTC"\n')
        (place / "hopfile.py").write_text(HOPFILE)
    hopyard = environment / "bin" / "hopyard"
    listed = json.loads(run([hopyard, "plugins", "--json"], cwd=place).stdout)
    states = {plugin["name"]: plugin["state"] for plugin in listed}
    if set(states.values()) != {"enabled"}:
        raise SystemExit(f"{name}: plugins are {states}")
    with up(hopyard, place):
        task, expected = TASKS[name]
        answer = json.loads(run([hopyard, "run", "--json", *task], cwd=place).stdout)
        if not fits(answer["result"], expected):
            raise SystemExit(f"{name}: {task[0]} returned {answer['result']!r}, expected {expected!r}")


def follow_tutorial(wheels: Path, folder: Path) -> None:
    """Do all that the tutorial says, in an empty directory; only that pip finds the wheels there."""
    folder.mkdir()
    place = str(folder.resolve())
    system = clean() | {
        "PIP_FIND_LINKS": str(wheels),
        "PIP_CONSTRAINT": str(ROOT / "constraints.txt"),
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        "COLUMNS": "250",
    }

    def activate(command: str, where: Path) -> dict[str, str] | None:
        if command != ". .venv/bin/activate":
            return None
        environment = f"{place}/.venv"
        return {"VIRTUAL_ENV": environment, "PATH": f"{environment}/bin:{system['PATH']}"}

    python = {"python -m venv": f"{sys.executable} -m venv", "8711": str(free_port())}
    page = DOCS / "tutorial" / "write-a-plugin.md"
    with Reader(page, Path(place), dict(system), activate, python, deadline=600) as reader:
        reader.read()


def fits(found: Any, expected: Any) -> bool:
    """Say whether a result is what was expected; of objects, some fields' types."""
    if isinstance(expected, dict):
        return isinstance(found, dict) and all(isinstance(found.get(k), t) for k, t in expected.items())
    return bool(found == expected)


@contextmanager
def up(hopyard: Path, place: Path) -> Iterator[None]:
    """`hopyard up` in a directory, until the end of the block; its logs are shown if that fails."""
    log = place / "up.log"
    with log.open("wb") as output:
        stack = subprocess.Popen([hopyard, "up"], cwd=place, stdout=output, stderr=output, env=clean())
    try:
        deadline = time.monotonic() + DEADLINE
        while not (place / ".hopyard" / "run.json").exists():
            if stack.poll() is not None or time.monotonic() > deadline:
                raise SystemExit(f"`hopyard up` does not run:\n{log.read_text()}")
            time.sleep(0.1)
        yield
    except BaseException:
        for each in (log, *sorted((place / ".hopyard" / "logs").glob("*.log"))):
            print(f"== {each.name}\n{each.read_text()[-4000:]}", file=sys.stderr)
        raise
    finally:
        stack.send_signal(signal.SIGINT)
        try:
            stack.wait(60)
        except subprocess.TimeoutExpired:
            stack.kill()
            raise SystemExit("`hopyard up` did not stop within 60 s of Ctrl-C") from None


def clean() -> dict[str, str]:
    """Return the environment without what would lead to this checkout."""
    ours = ("HOPYARD_", "PYTHONPATH", "VIRTUAL_ENV")
    return {name: value for name, value in os.environ.items() if not name.startswith(ours)}


def run(command: Sequence[object], cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Run a program to its end. Raises SystemExit with its output if it fails."""
    words = [str(word) for word in command]
    done = subprocess.run(
        words, cwd=cwd, env=clean(), capture_output=True, text=True, timeout=600, check=False
    )
    if done.returncode:
        raise SystemExit(f"{' '.join(words)} ended with {done.returncode}:\n{done.stdout}{done.stderr}")
    return done


if __name__ == "__main__":
    main(sys.argv[1:])
