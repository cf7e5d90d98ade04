"""Turning pages: where a stream's next request goes. Positions are JSON-like: a run can go on from them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from hopyard.errors import InvalidInput

from hopyard_sync.http.session import joined
from hopyard_sync.rest.paths import MISSING, at
from hopyard_sync.settings.apis import (
    BodyCursor,
    LinkHeader,
    NextUrl,
    Offsets,
    OnePage,
    PageNumbers,
    Pagination,
)

#: One link of a Link header (RFC 8288, section 3): its target and its parameters.
_LINK: Final = re.compile(r'\s*<([^<>]*)>((?:\s*;\s*[\w*-]+\s*(?:=\s*(?:"[^"]*"|[^\s",;]*))?)*)\s*(?:,|$)')
_PARAMETER: Final = re.compile(r';\s*([\w*-]+)\s*(?:=\s*(?:"([^"]*)"|([^\s",;]*)))?')
_LONGEST: Final = 4000
_LONGEST_HEADER: Final = 20_000


@dataclass(frozen=True, slots=True)
class Page:
    """Which page to ask for: parameters beside the stream's own, or a whole address."""

    query: Mapping[str, str] = field(default_factory=dict)
    url: str | None = None


def page(how: Pagination, position: Any) -> Page:
    """Return the page at a position; None is the first one."""
    sized = {} if isinstance(how, OnePage) or not how.size_parameter else {how.size_parameter: str(how.size)}
    if isinstance(how, PageNumbers):
        return Page({how.parameter: str(how.first if position is None else position), **sized})
    if isinstance(how, Offsets):
        return Page({how.parameter: str(position or 0), **sized})
    if position is None:
        return Page(sized)
    if isinstance(how, BodyCursor):
        return Page({how.parameter: str(position), **sized})
    return Page(url=str(position))


def counted(how: Pagination) -> bool:
    """Whether pages are counted, and nothing but an empty one, or none, says that there are no more."""
    return isinstance(how, PageNumbers | Offsets)


def following(how: Pagination, position: Any, answer: Any, link: str | None, url: str, count: int) -> Any:
    """Return the position of the page after this one, None if it was the last.

    `link` is the answer's Link header, `url` where it came from, `count` how many rows it had. Raises
    `InvalidInput` for a cursor that is none.
    """
    if isinstance(how, PageNumbers | Offsets):
        if not count or (how.short_is_last and count < how.size):
            return None
        if isinstance(how, PageNumbers):
            return (how.first if position is None else int(position)) + 1
        return int(position or 0) + count
    if isinstance(how, BodyCursor):
        return _said(at(answer, how.path), how.path)
    if isinstance(how, NextUrl):
        found = _said(at(answer, how.path), how.path)
        return None if found is None else joined(url, str(found))
    if isinstance(how, LinkHeader):
        return _linked(link or "", url)
    return None


def _said(value: Any, path: str) -> str | int | None:
    if value is MISSING or value is None or value in ("", False):
        return None
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise InvalidInput(f"{path}: found {str(value)[:60]!r}, expected text or a whole number")
    if len(str(value)) > _LONGEST:
        raise InvalidInput(f"{path}: found {len(str(value))} characters, expected at most {_LONGEST}")
    return value


def _linked(header: str, url: str) -> str | None:
    """Return where the link with the relation `next` leads. Raises `InvalidInput` for an odd header."""
    if len(header) > _LONGEST_HEADER:
        raise InvalidInput(
            f"Link: found a header of {len(header)} characters, expected at most {_LONGEST_HEADER}"
        )
    at_ = 0
    while at_ < len(header.rstrip()):
        match = _LINK.match(header, at_)
        if match is None:
            raise InvalidInput(f"Link: found {header[at_ : at_ + 60]!r}, expected links as in RFC 8288")
        if "next" in _relations(match[2]):
            if len(match[1]) > _LONGEST:
                raise InvalidInput(
                    f"Link: found an address of {len(match[1])} characters, expected at most {_LONGEST}"
                )
            return joined(url, match[1])
        at_ = match.end()
    return None


def _relations(parameters: str) -> list[str]:
    """Return what a link's first `rel` says; later ones do not count (RFC 8288, section 3.3)."""
    for name, quoted, plain in _PARAMETER.findall(parameters):
        if name.lower() == "rel":
            return [one.lower() for one in (quoted or plain).split()]
    return []
