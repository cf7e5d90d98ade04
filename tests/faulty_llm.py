"""A server of models that answers as scripted, with the faults that real ones have, each in one line."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

KEY = "the-key-0123456789-nobody-may-see"


@dataclass(frozen=True)
class Reply:
    """One answer: JSON, or text as it stands. It may drip in, a blank each time, or be cut off half-way."""

    body: Any
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    drips: bool = False
    cut: bool = False


def says(text: Any = "ready", finish: str = "stop", **message: Any) -> Reply:
    """A completion with a text, and whatever else its message has."""
    choice = {
        "index": 0,
        "message": {"role": "assistant", "content": text, **message},
        "finish_reason": finish,
    }
    return Reply(completion(choices=[choice]))


def completion(**changes: Any) -> dict[str, Any]:
    usage = {"prompt_tokens": 3, "completion_tokens": 1, "total_tokens": 4}
    plain = {
        "id": "1",
        "object": "chat.completion",
        "created": 1,
        "model": "tiny",
        "choices": [],
        "usage": usage,
    }
    return plain | changes


def calls(*wanted: tuple[str, str, Any], finish: str = "tool_calls") -> Reply:
    """A completion that calls tools: (id, name, arguments) each; arguments that are no text are encoded."""
    made = [
        {"id": id_, "type": "function", "function": {"name": name, "arguments": _text(arguments)}}
        for id_, name, arguments in wanted
    ]
    return says(None, finish, tool_calls=made)


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def refuses(status: int, said: str = "no", after: Any = None, **more: Any) -> Reply:
    headers = {} if after is None else {"retry-after": str(after)}
    return Reply({"error": {"message": said, **more}}, status, headers)


#: Another try helps: the next answer is in order.
PASSING = {
    "no choices": Reply(completion(choices=[])),
    "choices are null": Reply(completion(choices=None)),
    "a choice without a message": Reply(completion(choices=[{"index": 0, "finish_reason": "stop"}])),
    "a message that is text": Reply(
        completion(choices=[{"index": 0, "message": "hi", "finish_reason": "stop"}])
    ),
    "an empty text": says(""),
    "a text that is null": says(None),
    "a list": Reply([]),
    "a number": Reply(7),
    "null": Reply(None),
    "no JSON": Reply("<html>502 Bad Gateway</html>"),
    "half of the JSON": Reply('{"id": "1", "choices": [{"ind'),
    "half of the body": Reply("x" * 100, cut=True),
    "nothing": Reply(""),
    "busy": refuses(429),
    "overloaded": refuses(529, "overloaded"),
    "an error within": refuses(500, "internal error"),
    "a gateway's page": Reply("<html>bad gateway</html>", 502),
}

#: Nothing helps: one request and no other. Second is what the error has to say, the server's own reason.
PERMANENT = {
    "the key is refused": (refuses(401, "invalid key"), "invalid key"),
    "not allowed": (refuses(403, "your country"), "your country"),
    "no such model": (refuses(404, "model `tiny` does not exist"), "does not exist"),
    "no such parameter": (refuses(400, "unknown field tools"), "unknown field tools"),
    "the quota is used up": (
        refuses(429, "You exceeded your current quota", code="insufficient_quota"),
        "quota",
    ),
    "no credit": (refuses(402, "add credit"), "add credit"),
    "tools are switched off": (
        refuses(500, "tools param requires --jinja flag", type="server_error"),
        "--jinja",
    ),
    "not implemented": (refuses(501, "no tools here"), "no tools here"),
    "a content filter": (says(None, "content_filter"), "declined"),
    "a refusal": (says(None, refusal="I cannot help with that."), "declined"),
    "a refused prompt": (refuses(400, "The response was filtered", code="content_filter"), "declined"),
}


class FaultyLLM:
    """The running server: replies in the order of `replies`, then in order. `url` is the base for clients."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.replies: list[Reply] = []
        self.requests: list[dict[str, Any]] = []
        self.stopped = threading.Event()


@contextmanager
def running_faulty_llm() -> Iterator[FaultyLLM]:
    """The server, on a port of its own."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler)
    llm = FaultyLLM(f"http://127.0.0.1:{server.server_port}/v1")
    server.RequestHandlerClass = _handler(llm)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield llm
    finally:
        llm.stopped.set()
        server.shutdown()
        server.server_close()
        thread.join()


def _handler(llm: FaultyLLM) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            llm.requests.append(json.loads(self.rfile.read(int(self.headers["content-length"]))))
            reply = llm.replies.pop(0) if llm.replies else says()
            text = reply.body if isinstance(reply.body, str) else json.dumps(reply.body)
            data = text.encode()
            self.send_response(reply.status)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(1_000_000 if reply.drips else len(data) * (1 + reply.cut)))
            for name, value in reply.headers.items():
                self.send_header(name, value)
            self.end_headers()
            self.close_connection = reply.drips or reply.cut
            try:
                while reply.drips and not llm.stopped.wait(0.1):
                    self.wfile.write(b" ")
                self.wfile.write(data)
            except OSError:
                return  # the client has gone

        def log_message(self, *args: Any) -> None:
            """Say nothing."""

    return Handler
