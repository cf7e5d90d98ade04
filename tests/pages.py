"""A page of the documentation, done as its reader would: files are written, commands run, output compared.

A block whose first line is a comment with a path is a file. A `console` block has commands after `$ `, each
followed by what it prints, where `…` stands for anything; `&` at the end starts a program that runs until the
page ends. A comment above a block says more: `<!-- until -->`, its commands are repeated until they print
that; `<!-- status 1 -->`, they end with that status; `<!-- not run -->`, it is only shown.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType

from hopyard.supervise import die_with_parent

DOCS = Path(__file__).parents[1] / "docs"
#: The longest that one command, or one wait, may take.
DEADLINE = 60.0

_FENCE = re.compile(
    r"(?:^ *<!-- (?P<mark>[a-z0-9 ]+) -->\n)?"
    r"^(?P<indent> *)```(?P<language>\w*)\n(?P<text>.*?)^(?P=indent)```$",
    re.MULTILINE | re.DOTALL,
)
_FILE = re.compile(r"(?:#|//) (?P<path>[\w./-]+\.\w+)(?: .*)?\n")


@dataclass(frozen=True)
class Block:
    """A fenced block."""

    language: str
    text: str
    line: int
    mark: str = ""

    @property
    def file(self) -> str | None:
        """The path of the file that it is; None if it is none."""
        found = _FILE.match(self.text)
        return found["path"] if found else None

    @property
    def commands(self) -> Iterator[tuple[str, str]]:
        """What is typed, and what is printed then."""
        for part in re.split(r"^\$ ", self.text, flags=re.MULTILINE)[1:]:
            command, _, printed = part.partition("\n")
            yield command.strip(), printed.strip()


def blocks(page: Path) -> list[Block]:
    """Return all fenced blocks of a page."""
    text = page.read_text()
    found = [*_FENCE.finditer(text)]
    assert text.count("```") == 2 * len(found), f"{page.name} has a block that is not read"
    return [
        Block(
            one["language"],
            textwrap.dedent(one["text"]),
            text.count("\n", 0, one.start("text")),
            one["mark"] or "",
        )
        for one in found
    ]


def fits(printed: str, expected: str) -> bool:
    """Say whether an output is what a page says; `…` stands for anything, spaces for any space."""
    text = " ".join(printed.split())
    first, *others = (" ".join(part.split()) for part in expected.split("…"))
    if not others:
        return text == first
    *between, last = others
    start, end = len(first), len(text) - len(last)
    if not text.startswith(first) or not text.endswith(last) or start > end:
        return False
    for part in between:
        found = text.find(part, start, end)
        if found < 0:
            return False
        start = found + len(part)
    return True


@dataclass
class Reader:
    """Does what a page says, in a directory.

    `stand_in` may do a command in its own way: it is asked with the command and the directory, and returns
    the environment's changes, or None where the command is to be run. `instead` are words by what stands in
    their place, such as ports.
    """

    page: Path
    folder: Path
    environment: dict[str, str]
    stand_in: Callable[[str, Path], Mapping[str, str] | None] = lambda command, folder: None
    instead: Mapping[str, str] = field(default_factory=dict)
    deadline: float = DEADLINE
    _running: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def __enter__(self) -> Reader:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        for process in reversed(self._running):
            process.terminate()
        for process in self._running:
            try:
                process.wait(60)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def read(self) -> None:
        """Do all that the page says, from top to bottom."""
        for block in blocks(self.page):
            self.do(block)

    def do(self, block: Block) -> None:
        """Write the block's file, or run its commands. Other blocks are refused: each is to be tried."""
        if block.mark == "not run":
            return
        text = self._said(block.text)
        if block.language == "console":
            for command, printed in block.commands:
                self._command(block, self._said(command), self._said(printed))
        elif block.file is not None:
            path = self.folder / block.file
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        else:
            raise AssertionError(f"{self._place(block)}: a block of {block.language} that nobody tries")

    def _command(self, block: Block, command: str, expected: str) -> None:
        if command.startswith("cd "):
            self.folder = (self.folder / command[3:]).resolve()
            return
        changes = self.stand_in(command, self.folder)
        if changes is not None:
            self.environment |= changes
        elif command.endswith("&"):
            self._start(command.removesuffix("&"))
        else:
            self._run(block, command, expected)

    def _run(self, block: Block, command: str, expected: str) -> None:
        wanted = int(block.mark.split()[1]) if block.mark.startswith("status") else 0
        deadline = time.monotonic() + self.deadline
        while True:
            done = subprocess.run(
                ["bash", "-c", command],
                cwd=self.folder,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=self.deadline,
                check=False,
            )
            printed = done.stdout if wanted == 0 else done.stdout + done.stderr
            told = f"{self._place(block)}: $ {command}\n{done.stdout}{done.stderr}"
            if block.mark == "until":
                if fits(printed, expected):
                    return
                ended = [process.args for process in self._running if process.poll() is not None]
                assert not ended, f"{ended} ended: {told}\n{self._logs()}"
                assert time.monotonic() < deadline, f"{told}\n{self._logs()}"
                continue
            assert done.returncode == wanted, f"{told}\n{self._logs()}"
            assert not expected or fits(printed, expected), f"{told}\nis not\n{expected}"
            return

    def _start(self, command: str) -> None:
        with (self.folder / "background.log").open("ab") as log:
            self._running.append(
                subprocess.Popen(
                    ["bash", "-c", f"exec {command}"],
                    cwd=self.folder,
                    env=self.environment,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    start_new_session=True,
                    preexec_fn=die_with_parent(),
                )
            )

    def _logs(self) -> str:
        files = [self.folder / "background.log", *sorted((self.folder / ".hopyard" / "logs").glob("*.log"))]
        return "\n".join(f"== {file.name}\n{file.read_text()[-3000:]}" for file in files if file.exists())

    def _said(self, text: str) -> str:
        for word, other in self.instead.items():
            text = text.replace(word, other)
        return text

    def _place(self, block: Block) -> str:
        return f"{self.page.relative_to(DOCS.parent)}:{block.line + 1}"


def environment() -> dict[str, str]:
    """Return a reader's environment: this Python's commands, nothing of this checkout, wide tables."""
    ours = ("HOPYARD_", "PYTEST_", "PYTHONPATH", "COV_")
    clean = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    return {**clean, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "COLUMNS": "250"}
