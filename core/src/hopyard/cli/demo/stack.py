"""`hopyard up` in the demo's directory, as a child process."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path

from hopyard.errors import HopyardError
from hopyard.supervise import die_with_parent


class Stack:
    """`hopyard up` as a child process."""

    def __init__(self, config: Path, folder: Path) -> None:
        self._log = folder / "up.log"
        self._command = [sys.executable, "-P", "-m", "hopyard.cli"]
        self._command += ["--config", str(config), "--data", str(folder / "data")]
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [*self._command, "up", "--no-web"],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                preexec_fn=die_with_parent(),
            )

    def check(self) -> None:
        """Raise `HopyardError` with what the stack said last if it has ended."""
        if self._process.poll() is not None:
            raise HopyardError(f"the stack did not stay up:\n{self._log.read_text()[-2000:]}")

    async def command(self, *arguments: str) -> str:
        """Run a command of the demo's installation; return the first line of what it says."""
        process = await asyncio.create_subprocess_exec(
            *self._command, *arguments, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
        said, _ = await process.communicate()
        if process.returncode:
            raise HopyardError(f"hopyard {' '.join(arguments)}: {said.decode()[-1000:]}")
        return said.decode().partition("\n")[0]

    def stop(self) -> None:
        """Stop it, and wait until all its processes are gone."""
        self._process.terminate()
        try:
            self._process.wait(timeout=60)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
