"""A proxy before a real REST API: it counts requests by page, and answers some with 429 or 503 first."""

from __future__ import annotations

import json
import threading
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

Fault = Callable[[str, int], tuple[int, dict[str, str]] | None]
"""Given a page and how often it was asked for before: a status with headers in the place of the answer."""


class PagedApi:
    """`asked` counts requests by page (`_page`), `served` those that the API itself answered."""

    def __init__(self, upstream: str) -> None:
        self.upstream = upstream
        self.asked: Counter[str] = Counter()
        self.served: Counter[str] = Counter()
        self.fault: Fault = lambda page, before: None
        self.lock = threading.Lock()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@contextmanager
def running_proxy(upstream: str) -> Iterator[PagedApi]:
    """A proxy until the block ends."""
    made = PagedApi(upstream)
    try:
        yield made
    finally:
        made.close()


def _handler(api: PagedApi) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            page = parse_qs(urlsplit(self.path).query).get("_page", [""])[0]
            with api.lock:
                fault = api.fault(page, api.asked[page])
                api.asked[page] += 1
            if fault is not None:
                self._answer(fault[0], fault[1], b"{}")
                return
            with urllib.request.urlopen(f"{api.upstream}{self.path}", timeout=30) as answer:
                content, link = answer.read(), answer.headers.get("Link")
            with api.lock:
                api.served[page] += 1
            self._answer(200, {"Link": link.replace(api.upstream, api.url)} if link else {}, content)

        def _answer(self, status: int, headers: dict[str, str], content: bytes) -> None:
            try:
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)
            except OSError:  # whoever asked was killed
                self.close_connection = True

        def log_message(self, *args: Any) -> None:
            """Say nothing."""

    return Handler


class Scripted:
    """An HTTP server that answers by a function.

    That is given method, path with query, headers by lower-case names, and body; it returns status, headers,
    and content: bytes, or what becomes JSON.
    """

    def __init__(
        self, answer: Callable[[str, str, dict[str, str], bytes], tuple[int, dict[str, str], Any]]
    ) -> None:
        self.requests: list[tuple[str, str, dict[str, str], bytes]] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def _any(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                # Names of headers are not told apart by capitals.
                headers = {name.lower(): value for name, value in self.headers.items()}
                outer.requests.append((self.command, self.path, headers, body))
                status, extra, content = answer(self.command, self.path, headers, body)
                data = content if isinstance(content, bytes) else json.dumps(content).encode()
                try:
                    self.send_response(status)
                    for name, value in {"Content-Type": "application/json", **extra}.items():
                        self.send_header(name, value)
                    self.send_header("Content-Length", str(len(data)))
                    self.end_headers()
                    self.wfile.write(data)
                except OSError:
                    self.close_connection = True

            do_GET = do_POST = do_PUT = do_DELETE = _any
            do_PROPFIND = do_REPORT = _any

            def log_message(self, *args: Any) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    def __enter__(self) -> Scripted:
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
