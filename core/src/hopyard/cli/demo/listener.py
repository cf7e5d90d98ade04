"""The world outside of the demo: it receives people's notifications, and serves a rate, at the second try."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

_RATES = {"EUR": 1.09, "GBP": 1.27, "NOK": 0.094}


class Listener:
    """A real HTTP server on loopback."""

    def __init__(self, tell: Callable[[str], None], on_message: Callable[[dict[str, Any]], None]) -> None:
        self.tell = tell
        self.messages: list[dict[str, Any]] = []
        self.refused = 0
        self._on_message = on_message
        self._lock = threading.Lock()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        threading.Thread(target=self._server.serve_forever, name="demo-listener", daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    def close(self) -> None:
        """Stop listening."""
        self._server.shutdown()
        self._server.server_close()

    def take(self, message: dict[str, Any]) -> None:
        """Keep a message; one that comes again by its id is kept once."""
        with self._lock:
            if any(known["id"] == message["id"] for known in self.messages):
                return
            self.messages.append(message)
        self._on_message(message)

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        listener = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                listener.take(json.loads(body))
                self._answer(200, {"ok": True})

            def do_GET(self) -> None:
                currency = self.path.rsplit("/", 1)[-1].upper()
                if listener.refused == 0:
                    listener.refused += 1
                    self._answer(503, {"error": "try again"})
                elif currency in _RATES:
                    self._answer(200, {"dollars": _RATES[currency]})
                else:
                    self._answer(404, {"error": f"no rate for {currency}"})

            def _answer(self, status: int, content: dict[str, Any]) -> None:
                data = json.dumps(content).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class's name for it
                """Say nothing: standard error is the demo's."""

        return Handler
