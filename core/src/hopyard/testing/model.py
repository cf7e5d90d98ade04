"""`FakeModel`: a server that speaks the chat protocol of LLMs and answers what a test wrote down.

It is a real server over HTTP, as OpenAI, llama.cpp, vLLM and Ollama are; what calls it is the product's own
client. `model.settings` are what the ai plugin needs to use it.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

__all__ = ["FakeModel"]


class FakeModel:
    """Answers in the order in which they were written down; then, again and again, the text `ready`."""

    def __init__(self) -> None:
        self._answers: list[tuple[int, Any]] = []
        #: Every request, as JSON.
        self.requests: list[dict[str, Any]] = []
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._thread = threading.Thread(
            target=self._server.serve_forever, daemon=True, name="hopyard-fake-model"
        )
        self._thread.start()

    @property
    def url(self) -> str:
        """The base address for clients."""
        return f"http://127.0.0.1:{self._server.server_port}/v1"

    @property
    def settings(self) -> dict[str, Any]:
        """The ai plugin's settings that lead here, for `Hop(…, settings=…)`."""
        return {
            "plugins.ai.settings": {"model": "compatible:fake", "base_url": self.url, "api_key": "test"},
            "egress.allow": ["127.0.0.1"],
        }

    def says(self, text: str) -> None:
        """Next it answers this text."""
        self._answers.append((200, _completion({"role": "assistant", "content": text}, "stop")))

    def calls(self, *tools: tuple[str, Mapping[str, Any]]) -> None:
        """Next it calls these tools: names (`weather__refresh`) and arguments."""
        number = len(self._answers)
        made = [
            {
                "id": f"call-{number}-{n}",
                "type": "function",
                "function": {"name": name, "arguments": json.dumps(dict(arguments))},
            }
            for n, (name, arguments) in enumerate(tools)
        ]
        message = {"role": "assistant", "content": None, "tool_calls": made}
        self._answers.append((200, _completion(message, "tool_calls")))

    def fails(self, status: int, message: str = "busy") -> None:
        """Next it refuses with an HTTP status."""
        self._answers.append((status, {"error": {"message": message}}))

    def answer(self, request: dict[str, Any]) -> tuple[int, Any]:
        """Return the next answer: status and JSON."""
        self.requests.append(request)
        if self._answers:
            return self._answers.pop(0)
        return 200, _completion({"role": "assistant", "content": "ready"}, "stop")

    def close(self) -> None:
        """Stop the server."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def __enter__(self) -> FakeModel:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _completion(message: Mapping[str, Any], finish: str) -> dict[str, Any]:
    return {
        "id": "fake",
        "object": "chat.completion",
        "created": 1,
        "model": "fake",
        "choices": [{"index": 0, "message": dict(message), "finish_reason": finish}],
        "usage": {"prompt_tokens": 3, "completion_tokens": 1, "total_tokens": 4},
    }


def _handler(model: FakeModel) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            request = json.loads(self.rfile.read(int(self.headers["content-length"])))
            status, answer = model.answer(request)
            data = json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *args: Any) -> None:
            """Say nothing."""

    return Handler
