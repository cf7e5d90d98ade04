"""A real OpenAI-compatible server that nobody here wrote (aimock, from npm), as a fixture.

Its package is installed beside `llm/server.mjs` by `make setup-test-servers`. Where it is missing a test is
skipped; where the environment has `CI=true` and npm is there, it fails.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from hopyard.supervise import die_with_parent

FOLDER = Path(__file__).parent / "llm"


class OutsideLLM:
    """A running server. `url` is the base for OpenAI's clients."""

    def __init__(self, root: str) -> None:
        self.url = f"{root}/v1"
        self._root = root

    def journal(self) -> list[dict[str, Any]]:
        """Return every request that it got, with the status of its answer."""
        with urllib.request.urlopen(f"{self._root}/__aimock/journal?limit=1000", timeout=10) as answer:
            found = json.load(answer)
        entries: list[dict[str, Any]] = found if isinstance(found, list) else found["entries"]
        return entries


@contextmanager
def running_outside_llm(rate_limited: float) -> Iterator[OutsideLLM]:
    """The server, refusing the given share of requests with 429 and Retry-After."""
    with running_aimock(["server.mjs"], {"RATE_LIMITED": str(rate_limited)}) as server:
        yield server


@contextmanager
def running_aimock(program: Sequence[str], environment: Mapping[str, str]) -> Iterator[OutsideLLM]:
    """A server made by a program for Node, which prints its address and ends with its standard input."""
    if not (FOLDER / "node_modules").is_dir() or shutil.which("node") is None:
        text = "aimock is not installed: `make setup-test-servers` does it where npm is"
        if os.environ.get("CI") == "true" and shutil.which("npm") is not None:
            pytest.fail(text)
        pytest.skip(text)
    process = subprocess.Popen(
        ["node", *program],
        cwd=FOLDER,
        env={**os.environ, **environment},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        preexec_fn=die_with_parent(),
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        yield OutsideLLM(json.loads(process.stdout.readline())["url"])
    finally:
        process.stdin.close()
        process.stdout.close()
        process.wait(30)
