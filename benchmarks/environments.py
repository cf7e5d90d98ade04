"""An environment per system under `.bench/`, with pinned versions; Hopyard's from a fresh wheel."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
PLACE = ROOT / ".bench"
UV = Path(sys.executable).with_name("uv")

#: Compiled, as pip leaves packages: a start must not be measured with the compiler's work in it.
_QUIET = ["--quiet", "--compile-bytecode"]
_REDIS = ["redis==8.1.0", "hiredis==3.5.0"]
PINS: dict[str, list[str]] = {
    "celery": ["celery[redis]==5.7.0", "kombu[redis]==5.7.0", "packaging", *_REDIS],
    "dramatiq": ["dramatiq==2.2.1", *_REDIS],
    "huey": ["huey==3.5.4", *_REDIS],
    "taskiq": ["taskiq==0.13.0", "taskiq-redis==1.2.4", *_REDIS],
    "saq": ["saq[redis,hiredis]==0.26.4", "redis==7.4.1", "hiredis==3.5.0", "typing-extensions"],
    "arq": ["arq==0.28.0", "redis==5.3.1", "hiredis==3.5.0"],
    "procrastinate": ["procrastinate==3.10.0", "psycopg[binary,pool]"],
    "pgqueuer": ["pgqueuer==1.6.0", "asyncpg==0.32.0", "uvloop==0.23.0"],
    "whisper": ["faster-whisper==1.2.1", "av"],
    "flower": ["flower==2.2.0", "celery[redis]==5.7.0", "kombu[redis]==5.7.0", *_REDIS],
    "plot": ["matplotlib==3.11.2"],
}


def python(name: str) -> Path:
    """Return the interpreter of an environment, made if it is not there. Raises CalledProcessError."""
    folder = PLACE / "environments" / name
    found = folder / "bin" / "python"
    if name == "hopyard":
        _venv(folder)
        _hopyard(found)
        return found
    pins, noted = "\n".join(PINS[name]), folder / "pins"
    if not noted.exists() or noted.read_text() != pins:
        _venv(folder)
        constraints = ["-c", ROOT / "constraints.txt"] if name in ("celery", "whisper") else []
        _run(UV, "pip", "install", *_QUIET, "--python", found, *constraints, *PINS[name])
        noted.write_text(pins)
    return found


def _venv(folder: Path) -> None:
    if not (folder / "bin" / "python").exists():
        _run(UV, "venv", "--quiet", "--python", sys.executable, folder)


def _hopyard(python: Path) -> None:
    """Install the core from a wheel, as a user does: the tree may change while it is measured."""
    with tempfile.TemporaryDirectory() as folder:
        _run(UV, "build", "--quiet", "--package", "hopyard", "--wheel", "--out-dir", folder, ROOT)
        wheel = next(Path(folder).glob("*.whl"))
        options = ["-c", ROOT / "constraints.txt", "--reinstall-package", "hopyard"]
        _run(UV, "pip", "install", *_QUIET, "--python", python, *options, wheel)


def _run(*command: object) -> None:
    subprocess.run([str(word) for word in command], check=True, timeout=600)
