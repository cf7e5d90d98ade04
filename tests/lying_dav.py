"""A CalDAV server that can lie: `lie` is asked before each answer whether, and how.

It keeps to RFC 4791 otherwise: writes are made on condition, and a UID is in one resource only. What it says
is chosen so that a careful client can notice it: it never tells that something is gone which is there.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import quote, unquote
from xml.sax.saxutils import escape

from paged_api import Scripted

Answer = tuple[int, dict[str, str], bytes]
Lie = Callable[[str, str], str | None]
"""Given what is done (`list`, `report`, `read`, `put`, `delete`, or one of them with `all`) and to which
resource, how to lie, or None: see `LyingDav`."""

_UID = re.compile(r"(?m)^UID:(.*?)\r?$")
_CONFLICT = b'<error xmlns="DAV:"><C:no-uid-conflict xmlns:C="urn:ietf:params:xml:ns:caldav"/></error>'

#: What may be said in the place of the truth.
LISTED = ("status 500", "status 403", "propstat 500", "propstat 404", "other etag")
READ = ("left out", "status 500", "status 403", "propstat 404", "no etag", "no data", "no event")
PUT = ("412", "403", "413", "conflict", "done 400", "no etag", "other etag")
DELETE = ("412", "403", "done 403")
ALL = ("400", "no xml", "part")


class LyingDav:
    """Use `running_lying_dav`. `items` are ETags and texts by name; `tokens`: it does sync-collection."""

    def __init__(self, tokens: bool = False) -> None:
        self.items: dict[str, tuple[str, str]] = {}
        self.tokens = tokens
        self.lie: Lie = lambda what, name: None
        self.url = ""
        self.asked: list[tuple[str, str]] = []
        self._count = itertools.count(1)
        self._changes: list[str] = []

    def put(self, name: str, text: str) -> None:
        """Store a resource."""
        self.items[name] = (f'"{next(self._count)}"', text)
        self._changes.append(name)

    def delete(self, name: str) -> None:
        """Delete a resource."""
        del self.items[name]
        self._changes.append(name)

    def texts(self) -> dict[str, str]:
        """Return all resources by name."""
        return {name: text for name, (_, text) in self.items.items()}

    def answer(self, method: str, path: str, headers: dict[str, str], body: bytes) -> Answer:
        """Answer a request."""
        self.asked.append((method, path))
        name = unquote(path.removeprefix("/cal/"))
        if method == "PUT":
            return self._put(name, headers, body.decode())
        if method == "DELETE":
            return self._delete(name, headers)
        if method == "PROPFIND":
            return self._listed("list", [*self.items])
        if b"sync-collection" in body:
            return self._report(body)
        names = [
            unquote(one).removeprefix("/cal/") for one in re.findall("<href>(.*?)</href>", body.decode())
        ]
        if (lie := self.lie("read all", "")) in ("400", "no xml"):
            return _whole(lie)
        return _multistatus([self._read(one) for one in names])

    def _report(self, body: bytes) -> Answer:
        if not self.tokens:
            return 501, {}, b""
        match = re.search(rb"<sync-token>t(\d+)</sync-token>", body)
        changed = dict.fromkeys(self._changes[int(match[1]) :] if match else self.items)
        return self._listed("report", [*changed], f"<sync-token>t{len(self._changes)}</sync-token>")

    def _listed(self, what: str, names: list[str], token: str = "") -> Answer:
        lie = self.lie(f"{what} all", "")
        if lie in ("400", "no xml"):
            return _whole(lie)
        told = [self._one(what, name) for name in names]
        if lie == "part" and what == "list":
            told = [*told[: len(told) // 2], _response("/cal/", status="507 Insufficient Storage")]
        return _multistatus(told, token)

    def _one(self, what: str, name: str) -> str:
        href = f"/cal/{quote(name)}"
        if name not in self.items:
            return _response(href, status="404 Not Found")
        lie = self.lie(what, name) or ""
        if lie == "other etag":
            self.items[name] = (f'"{next(self._count)}"', self.items[name][1])
        if lie.startswith("status "):
            return _response(href, status=f"{lie.removeprefix('status ')} Odd")
        if lie.startswith("propstat "):
            return _response(href, "<getetag/>", propstat=f"{lie.removeprefix('propstat ')} Odd")
        return _response(href, f"<getetag>{escape(self.items[name][0])}</getetag>")

    def _read(self, name: str) -> str:
        href = f"/cal/{quote(name)}"
        if name not in self.items:
            return _response(href, status="404 Not Found")
        lie = self.lie("read", name) or ""
        if lie == "left out":
            return ""
        if lie.startswith("status "):
            return _response(href, status=f"{lie.removeprefix('status ')} Odd")
        etag, text = self.items[name]
        told = "" if lie == "no etag" else f"<getetag>{escape(etag)}</getetag>"
        if lie != "no data":
            told += (
                f"<C:calendar-data>{escape('BEGIN:NOTHING' if lie == 'no event' else text)}</C:calendar-data>"
            )
        return _response(href, told, propstat="404 Odd" if lie == "propstat 404" else "200 OK")

    def _put(self, name: str, headers: dict[str, str], text: str) -> Answer:
        lie = self.lie("put", name) or ""
        if lie in ("412", "403", "413"):
            return int(lie), {}, b""
        if lie == "conflict":
            return 403, {}, _CONFLICT
        there = self.items.get(name)
        expected = headers.get("if-match")
        if (there is None) != (expected is None) or (there is not None and there[0] != expected):
            return 412, {}, b""
        uid = _uid(text)
        if any(_uid(other) == uid for key, (_, other) in self.items.items() if key != name):
            return 409, {}, _CONFLICT
        self.put(name, text)
        if lie == "done 400":
            return 400, {}, b"this went wrong"
        etag = self.items[name][0]
        if lie == "other etag":
            self.items[name] = (f'"{next(self._count)}"', text)
        return 201, {} if lie == "no etag" else {"ETag": etag}, b""

    def _delete(self, name: str, headers: dict[str, str]) -> Answer:
        lie = self.lie("delete", name) or ""
        if lie in ("412", "403"):
            return int(lie), {}, b""
        if name not in self.items:
            return 404, {}, b""
        if self.items[name][0] != headers.get("if-match"):
            return 412, {}, b""
        self.delete(name)
        return (403, {}, b"") if lie == "done 403" else (204, {}, b"")


def _uid(text: str) -> str:
    match = _UID.search(text)
    return match[1] if match else ""


def _whole(lie: str) -> Answer:
    return (400, {}, b"this is not taken") if lie == "400" else (207, {}, b"<html><body>Please log in")


def _response(href: str, properties: str = "", *, status: str = "", propstat: str = "200 OK") -> str:
    inner = (
        f"<status>HTTP/1.1 {status}</status>"
        if status
        else (f"<propstat><prop>{properties}</prop><status>HTTP/1.1 {propstat}</status></propstat>")
    )
    return f"<response><href>{escape(href)}</href>{inner}</response>"


def _multistatus(responses: list[str], token: str = "") -> Answer:
    names = 'xmlns="DAV:" xmlns:C="urn:ietf:params:xml:ns:caldav"'
    return 207, {}, f"<multistatus {names}>{''.join(responses)}{token}</multistatus>".encode()


@contextmanager
def running_lying_dav(tokens: bool = False) -> Iterator[LyingDav]:
    """A server until the block ends; its calendar is at `url`."""
    made = LyingDav(tokens)
    handler: Any = made.answer
    with Scripted(handler) as server:
        made.url = f"{server.url}/cal/"
        yield made
