"""A whole `hopyard up` in a directory of its own, as a person starts it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hopyard.supervise import die_with_parent

#: The longest that anything may take; a deadline, not an expectation.
DEADLINE = 60.0
_BIN = Path(sys.executable).parent


class Stack:
    """A running stack and the commands that a person types beside it."""

    def __init__(self, folder: Path, environment: Mapping[str, str]) -> None:
        self.folder = folder
        clean = {name: value for name, value in os.environ.items() if not name.startswith("HOPYARD_")}
        self.environment = {**clean, "PATH": f"{_BIN}:{os.environ['PATH']}", **environment}
        with (folder / "up.log").open("ab") as log:
            self.process = subprocess.Popen(
                [_BIN / "hopyard", "up", "--no-web"],
                cwd=folder,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                preexec_fn=die_with_parent(),
            )

    def hopyard(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run a `hopyard` command to its end."""
        return self._run([str(_BIN / "hopyard"), *arguments])

    def json(self, *arguments: str) -> Any:
        """Run a `hopyard` command with `--json`; return what it printed."""
        done = self.hopyard(*arguments, "--json")
        assert done.returncode == 0, f"{arguments}\n{done.stdout}\n{done.stderr}\n{self.logs()}"
        return json.loads(done.stdout)

    def python(self, program: str) -> subprocess.CompletedProcess[str]:
        """Run a program in the stack's directory."""
        return self._run([sys.executable, "-c", program])

    def _run(self, command: list[str]) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command,
            cwd=self.folder,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=DEADLINE,
            check=False,
        )

    def processes(self) -> dict[str, int]:
        """Return the stack's processes by name."""
        found = json.loads((self.folder / ".hopyard" / "run.json").read_text())
        return {process["name"]: process["pid"] for process in found["processes"] if process["pid"]}

    def until_up(self) -> None:
        """Wait until every part answers. Fails with the logs at the deadline."""
        deadline = time.monotonic() + DEADLINE
        while self.hopyard("doctor").returncode != 0:
            assert self.process.poll() is None, f"the stack ended:\n{self.logs()}"
            assert time.monotonic() < deadline, f"the stack is not up:\n{self.logs()}"

    def logs(self) -> str:
        """Return the ends of all logs."""
        files = [self.folder / "up.log", *sorted((self.folder / ".hopyard" / "logs").glob("*.log"))]
        return "\n".join(f"== {file.name}\n{file.read_text()[-3000:]}" for file in files if file.exists())

    def stop(self) -> None:
        """Stop it as Ctrl-C does, and wait."""
        self.process.terminate()
        try:
            self.process.wait(DEADLINE)
        finally:
            if self.process.poll() is None:
                self.process.kill()
                self.process.wait()


@contextmanager
def running_stack(folder: Path, environment: Mapping[str, str] | None = None) -> Iterator[Stack]:
    """A stack that is up, and stopped at the end of the block."""
    stack = Stack(folder, environment or {})
    try:
        stack.until_up()
        yield stack
    finally:
        stack.stop()
