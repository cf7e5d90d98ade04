"""A real server with OpenAI's API for transcriptions that nobody here wrote (aimock, from npm).

Its package is installed beside `llm/server.mjs` by `make setup-test-servers`; see `outside_llm` for what
happens without. What it hears is written down by the test: it does not listen.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pytest
from hopyard.supervise import die_with_parent
from outside_llm import FOLDER

#: Answers in order, the last one again and again: `{"transcription": …}` or `{"error": …, "status": …}`.
_PROGRAM = """
import { LLMock } from "@copilotkit/aimock";
const answers = JSON.parse(process.env.ANSWERS);
const server = new LLMock({ host: "127.0.0.1", port: 0, journalMaxEntries: 0 });
server.onTranscription(() => answers.length > 1 ? answers.shift() : answers[0]);
await server.start();
console.log(JSON.stringify({ url: server.url }));
process.stdin.on("end", () => server.stop().then(() => process.exit(0)));
process.stdin.resume();
"""


class TranscriptionServer:
    """The running server. `url` is the base for clients."""

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
def running_transcription(answers: Sequence[dict[str, Any]]) -> Iterator[TranscriptionServer]:
    """The server, which gives these answers."""
    if not (FOLDER / "node_modules").is_dir() or shutil.which("node") is None:
        text = "aimock is not installed: `make setup-test-servers` does it where npm is"
        if os.environ.get("CI") == "true" and shutil.which("npm") is not None:
            pytest.fail(text)
        pytest.skip(text)
    process = subprocess.Popen(
        ["node", "--input-type=module", "-e", _PROGRAM],
        cwd=FOLDER,
        env={**os.environ, "ANSWERS": json.dumps([*answers])},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        preexec_fn=die_with_parent(),
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        yield TranscriptionServer(json.loads(process.stdout.readline())["url"])
    finally:
        process.stdin.close()
        process.stdout.close()
        process.wait(30)
