"""Turning pages: where a stream's next request goes. Positions are JSON-like: a run can go on from them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import urljoin

from hopyard.errors import InvalidInput

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

_LINK: Final = re.compile(r"<([^<>]{1,4000})>([^<]{0,1000})")
_NEXT: Final = re.compile(r';\s*rel\s*=\s*"?[^"]*\bnext\b', re.IGNORECASE)
_LONGEST: Final = 4000


@dataclass(frozen=True, slots=True)
class Page:
    """Which page to ask for: parameters beside the stream's own, or a whole address."""

    query: Mapping[str, str] = field(default_factory=dict)
    url: str | None = None


def page(how: Pagination, position: Any) -> Page:
    """Return the page at a position; None is the first one."""
    sized = (
        {} if isinstance(how, OnePage) or how.size_parameter is None else {how.size_parameter: str(how.size)}
    )
    if isinstance(how, PageNumbers):
        return Page({how.parameter: str(how.first if position is None else position), **sized})
    if isinstance(how, Offsets):
        return Page({how.parameter: str(position or 0), **sized})
    if position is None:
        return Page(sized)
    if isinstance(how, BodyCursor):
        return Page({how.parameter: str(position), **sized})
    return Page(url=str(position))


def following(how: Pagination, position: Any, answer: Any, link: str | None, url: str, count: int) -> Any:
    """Return the position of the page after this one, None if it was the last.

    `link` is the answer's Link header, `url` where it came from, `count` how many rows it had. Raises
    `InvalidInput` for a cursor that is none.
    """
    if isinstance(how, PageNumbers):
        number = how.first if position is None else int(position)
        return number + 1 if count and (how.size_parameter is None or count >= how.size) else None
    if isinstance(how, Offsets):
        short = how.size_parameter is not None and count < how.size
        return None if not count or short else int(position or 0) + count
    if isinstance(how, BodyCursor):
        return _said(at(answer, how.path), how.path)
    if isinstance(how, NextUrl):
        found = _said(at(answer, how.path), how.path)
        return None if found is None else urljoin(url, str(found))
    if isinstance(how, LinkHeader):
        return _linked(link or "", url)
    return None


def _said(value: Any, path: str) -> str | int | None:
    if value is MISSING or value is None or value in ("", False):
        return None
    if isinstance(value, bool) or not isinstance(value, str | int) or len(str(value)) > _LONGEST:
        raise InvalidInput(f"{path}: found {str(value)[:60]!r}, expected text or a whole number")
    return value


def _linked(header: str, url: str) -> str | None:
    for match in _LINK.finditer(header[:20_000]):
        if _NEXT.search(match[2]):
            return str(urljoin(url, match[1]))
    return None
