"""A small Notion: pages, a database with rows, blocks within blocks, in parts of few; for behind Prism."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

PART = 5


class Workspace:
    """What an integration sees. `refuse` is a number of requests that are answered 429 first."""

    def __init__(self) -> None:
        self.objects: dict[str, dict[str, Any]] = {}
        self.children: dict[str, list[dict[str, Any]]] = {}
        self.asked: list[str] = []
        self.refuse = 0
        self.token = "ntn-secret-token"
        self.listed = True
        #: By path: the status that it is answered with.
        self.faults: dict[str, int] = {}
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    def page(self, n: int, title: str, edited: str, *, source: str | None = None) -> str:
        """Add or change a page; return its id."""
        id_ = f"00000000-0000-4000-8000-{n:012}"
        parent = (
            {"type": "data_source_id", "data_source_id": source}
            if source
            else {"type": "workspace", "workspace": True}
        )
        self.objects[id_] = {
            "object": "page",
            "id": id_,
            "created_time": edited,
            "last_edited_time": edited,
            "parent": parent,
            "archived": False,
            "in_trash": False,
            "url": f"https://www.notion.so/{id_}",
            "properties": {"Name": {"id": "title", "type": "title", "title": [_text(title)]}},
        }
        return id_

    def source(self, n: int, title: str, edited: str) -> str:
        """Add a data source; return its id."""
        id_ = f"00000000-0000-4000-9000-{n:012}"
        self.objects[id_] = {
            "object": "data_source",
            "id": id_,
            "last_edited_time": edited,
            "parent": {"type": "database_id", "database_id": f"00000000-0000-4000-a000-{n:012}"},
            "title": [_text(title)],
            "properties": {},
        }
        return id_

    def blocks(self, parent: str, *texts: str) -> list[str]:
        """Give a page or a block these paragraphs; return their ids."""
        made = [f"{parent[:9]}{n:04}-4000-b000-{abs(hash(parent)) % 10**12:012}" for n in range(len(texts))]
        self.children[parent] = [
            {
                "object": "block",
                "id": id_,
                "type": "paragraph",
                "has_children": False,
                "paragraph": {"rich_text": [_text(text)], "color": "default"},
            }
            for id_, text in zip(made, texts, strict=True)
        ]
        for blocks in self.children.values():
            for block in blocks:
                block["has_children"] = block["id"] in self.children
        return made

    def answer(
        self, method: str, path: str, headers: dict[str, str], body: dict[str, Any]
    ) -> tuple[int, Any]:
        """Return a status and what is answered."""
        parts = urlsplit(path)
        query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        way = parts.path.strip("/").split("/")
        if parts.path in self.faults:
            return self.faults[parts.path], _error(self.faults[parts.path], "scripted")
        if headers.get("authorization") != f"Bearer {self.token}":
            return 401, _error(401, "unauthorized")
        if headers.get("notion-version") != "2025-09-03":
            return 400, _error(400, "missing_version")
        if way == ["v1", "search"]:
            found = [*self.objects.values()] if self.listed else []
            found = [one for one in found if one["parent"]["type"] != "data_source_id"]
            return 200, _part(_latest(found), body)
        if way[:2] == ["v1", "data_sources"] and way[-1] == "query":
            since = body.get("filter", {}).get("last_edited_time", {}).get("on_or_after", "")
            rows = [
                one
                for one in self.objects.values()
                if one["parent"].get("data_source_id") == way[2] and one["last_edited_time"] >= since[:16]
            ]
            return 200, _part(_latest(rows), body)
        if way[:2] == ["v1", "pages"] and way[2] in self.objects:
            return 200, self.objects[way[2]]
        if way[:2] == ["v1", "blocks"] and way[-1] == "children":
            if way[2] not in self.objects and way[2] not in {
                b["id"] for bs in self.children.values() for b in bs
            }:
                return 404, _error(404, "object_not_found")
            return 200, _part(self.children.get(way[2], []), query)
        return (
            (200, {"object": "user", "id": "me", "type": "bot"})
            if way[-1] == "me"
            else (404, _error(404, "x"))
        )

    def close(self) -> None:
        """Stop."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def __enter__(self) -> Workspace:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _text(text: str) -> dict[str, Any]:
    return {"type": "text", "text": {"content": text}, "plain_text": text}


def _latest(objects: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return sorted(objects, key=lambda one: (one["last_edited_time"], one["id"]), reverse=True)


def _part(results: list[dict[str, Any]], asked: dict[str, Any]) -> dict[str, Any]:
    first = int(str(asked.get("start_cursor", "c0"))[1:])
    more = first + PART < len(results)
    return {
        "object": "list",
        "results": results[first : first + PART],
        "has_more": more,
        "next_cursor": f"c{first + PART}" if more else None,
    }


def _error(status: int, code: str) -> dict[str, Any]:
    return {"object": "error", "status": status, "code": code, "message": code}


def _handler(workspace: Workspace) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def _any(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            workspace.asked.append(f"{self.command} {urlsplit(self.path).path}")
            extra = {}
            if workspace.refuse:
                workspace.refuse -= 1
                status, answer, extra = 429, _error(429, "rate_limited"), {"Retry-After": "0"}
            else:
                headers = {name.lower(): value for name, value in self.headers.items()}
                status, answer = workspace.answer(
                    self.command, self.path, headers, json.loads(body) if body else {}
                )
            data = json.dumps(answer).encode()
            try:
                self.send_response(status)
                for name, value in {"Content-Type": "application/json", **extra}.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)
            except OSError:  # whoever asked was killed
                self.close_connection = True

        do_GET = do_POST = _any

        def log_message(self, *args: Any) -> None:
            """Say nothing."""

    return Handler
