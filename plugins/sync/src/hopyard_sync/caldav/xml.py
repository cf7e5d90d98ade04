"""WebDAV's XML, within bounds: no document types and so no entities, limits on size and depth."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final
from xml.parsers import expat
from xml.sax.saxutils import escape

from hopyard.errors import InvalidInput

DAV: Final = "DAV:"
CALDAV: Final = "urn:ietf:params:xml:ns:caldav"
_MAX_ELEMENTS: Final = 500_000
_MAX_DEPTH: Final = 50


@dataclass(slots=True)
class Element:
    """An element: `name` is `namespace local`, with one space between."""

    name: str
    text: str = ""
    children: list[Element] = field(default_factory=list)

    def all(self, name: str) -> Iterator[Element]:
        """Yield the children of a name."""
        return (child for child in self.children if child.name == name)

    def find(self, *names: str) -> Element | None:
        """Return the first element on a way through children; None if it ends."""
        here: Element | None = self
        for name in names:
            here = next(here.all(name), None) if here is not None else None
        return here


def dav(name: str) -> str:
    """Return the name of an element of WebDAV."""
    return f"{DAV} {name}"


def caldav(name: str) -> str:
    """Return the name of an element of CalDAV."""
    return f"{CALDAV} {name}"


def parse(content: bytes) -> Element:
    """Return the root of a document. Raises `InvalidInput` for what is none, or beyond the bounds."""
    builder = _Builder()
    parser = expat.ParserCreate(namespace_separator=" ")
    parser.buffer_text = True
    parser.StartElementHandler = builder.start
    parser.EndElementHandler = builder.end
    parser.CharacterDataHandler = builder.data
    parser.StartDoctypeDeclHandler = builder.doctype
    try:
        parser.Parse(content, True)
    except (expat.ExpatError, ValueError, LookupError) as error:
        raise InvalidInput(f"found what is no XML: {error}") from None
    assert builder.root is not None  # noqa: S101 - a document that was parsed has a root
    return builder.root


class _Builder:
    def __init__(self) -> None:
        self.root: Element | None = None
        self._open: list[Element] = []
        self._texts: list[list[str]] = []
        self._count = 0

    def start(self, name: str, attributes: dict[str, str]) -> None:
        self._count += 1
        if self._count > _MAX_ELEMENTS or len(self._open) >= _MAX_DEPTH:
            raise InvalidInput(f"found XML with more than {_MAX_ELEMENTS:,} elements or {_MAX_DEPTH} levels")
        made = Element(name)
        if self._open:
            self._open[-1].children.append(made)
        else:
            self.root = made
        self._open.append(made)
        self._texts.append([])

    def end(self, name: str) -> None:
        self._open.pop().text = "".join(self._texts.pop())

    def data(self, text: str) -> None:
        self._texts[-1].append(text)

    def doctype(self, name: str, *_: object) -> None:
        raise InvalidInput("found XML with a document type, which may hide entities: it is refused")


@dataclass(frozen=True, slots=True)
class Found:
    """One response of a multistatus: its href and its status, 200 where its properties have their own."""

    href: str
    status: int
    properties: Element | None

    def text(self, name: str) -> str | None:
        """Return the text of a property, None if it has none."""
        element = self.properties.find(name) if self.properties is not None else None
        return element.text.strip() if element is not None else None


def multistatus(content: bytes) -> tuple[list[Found], str | None]:
    """Return the responses and the sync token of a multistatus. Raises `InvalidInput`.

    A large one takes a second: to be called in a thread.
    """
    root = parse(content)
    if root.name != dav("multistatus"):
        raise InvalidInput(f"found the XML element {root.name[:60]!r}, expected a multistatus")
    token = root.find(dav("sync-token"))
    return [*_responses(root)], token.text.strip() if token is not None else None


def _responses(root: Element) -> Iterator[Found]:
    for response in root.all(dav("response")):
        href, status = response.find(dav("href")), response.find(dav("status"))
        if href is None:
            raise InvalidInput("found a response without an href")
        good: Element | None = None
        for propstat in response.all(dav("propstat")):
            said, given = propstat.find(dav("status")), propstat.find(dav("prop"))
            if given is not None and (said is None or _code(said.text) == 200):
                good = good or Element(given.name)
                good.children += given.children
        yield Found(href.text.strip(), _code(status.text) if status is not None else 200, good)


def _code(status: str) -> int:
    """Return the number of a status line such as `HTTP/1.1 404 Not Found`."""
    parts = status.split()
    if len(parts) < 2 or not parts[1].isdecimal():
        raise InvalidInput(f"found the status {status[:60]!r}, expected one such as HTTP/1.1 200 OK")
    return int(parts[1][:3])


_HEAD: Final = '<?xml version="1.0" encoding="utf-8"?>'
_NAMESPACES: Final = f'xmlns="{DAV}" xmlns:C="{CALDAV}"'


def propfind(*names: str) -> bytes:
    """Return the body of a PROPFIND for properties, written as `getetag` or `C:calendar-home-set`."""
    properties = "".join(f"<{name}/>" for name in names)
    return f"{_HEAD}<propfind {_NAMESPACES}><prop>{properties}</prop></propfind>".encode()


def sync_collection(token: str) -> bytes:
    """Return the body of a sync-collection REPORT; an empty token asks for everything."""
    return (
        f"{_HEAD}<sync-collection {_NAMESPACES}><sync-token>{escape(token)}</sync-token>"
        "<sync-level>1</sync-level><prop><getetag/></prop></sync-collection>"
    ).encode()


def multiget(hrefs: Iterable[str]) -> bytes:
    """Return the body of a calendar-multiget REPORT."""
    listed = "".join(f"<href>{escape(href)}</href>" for href in hrefs)
    return (
        f"{_HEAD}<C:calendar-multiget {_NAMESPACES}><prop><getetag/><C:calendar-data/></prop>{listed}"
        "</C:calendar-multiget>"
    ).encode()
