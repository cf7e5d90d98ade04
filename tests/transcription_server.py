"""A real server with OpenAI's API for transcriptions that nobody here wrote (aimock, from npm).

Its package is installed beside `llm/server.mjs` by `make setup-test-servers`; see `outside_llm` for what
happens without. What it hears is written down by the test: it does not listen.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from outside_llm import OutsideLLM, running_aimock

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


@contextmanager
def running_transcription(answers: Sequence[dict[str, Any]]) -> Iterator[OutsideLLM]:
    """The server, which gives these answers."""
    program = ["--input-type=module", "-e", _PROGRAM]
    with running_aimock(program, {"ANSWERS": json.dumps([*answers])}) as server:
        yield server
