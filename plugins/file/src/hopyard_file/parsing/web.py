"""HTML to Markdown, by a parser without recursion: how deep elements are nested costs nothing.

Nothing is loaded, no script runs, and what is hidden by `hidden` or as a comment is left out.
"""

from __future__ import annotations

import re
from html.parser import HTMLParser
from typing import Final

from hopyard_file.parsing.cleaning import cleaned
from hopyard_file.parsing.faults import Content, Limits, Refused
from hopyard_file.parsing.hiding import Hiding
from hopyard_file.parsing.plain import by_name, decoded

_HEADINGS: Final = frozenset({"h1", "h2", "h3", "h4", "h5", "h6"})
_BLOCKS: Final = _HEADINGS | {
    *("address", "article", "aside", "blockquote", "dd", "div", "dl", "dt", "fieldset", "figure", "footer"),
    *("form", "header", "hr", "li", "main", "nav", "ol", "p", "pre", "section", "table", "tr", "ul"),
}
_VOID: Final = frozenset(
    ("area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source", "track", "wbr")
)
_CHARSET: Final = re.compile(rb"""<meta[^>]{0,200}charset=["']?([A-Za-z0-9_-]{1,40})""", re.IGNORECASE)


class _Markdown(HTMLParser):
    """Writes Markdown as elements open and close."""

    def __init__(self, most: int) -> None:
        super().__init__(convert_charrefs=True)
        self._most = most
        self._written = 0
        self.parts: list[str] = []
        self.title: list[str] = []
        self.elements = 0
        self._hiding = Hiding(_BLOCKS)
        self._in_title = False
        self._pre = 0
        self._lists: list[str] = []
        self._numbers: list[int] = []
        self._links: list[str] = []
        self._row: list[list[str]] | None = None
        self._rows: list[int] = []
        """Rows written so far, of each open table."""
        self._cell: list[str] | None = None

    @property
    def full(self) -> bool:
        """Whether more text came than is kept."""
        return self._written >= self._most

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Open an element."""
        self.elements += 1
        given = dict(attrs)
        shown = tag in _VOID or self._hiding.opens(tag, hidden="hidden" in given)
        if tag == "title":
            self._in_title = self._hiding.in_head_or_none
        if shown and not self._hiding.hides and (tag not in _VOID or "hidden" not in given):
            self._open(tag, given)

    def _open(self, tag: str, given: dict[str, str | None]) -> None:
        if tag in ("td", "th"):
            self._end_cell()
            self._cell = []
            return
        if tag == "br":
            self._write("\n")
        elif tag == "img" and given.get("alt"):
            self._write(f"![{given['alt']}]")
        elif tag == "a":
            self._links.append(given.get("href") or "")
            self._write("[")
        elif tag in ("b", "strong"):
            self._write("**")
        elif tag in _BLOCKS:
            self._open_block(tag)

    def _open_block(self, tag: str) -> None:
        if tag == "table":
            self._rows.append(0)
        elif tag == "tr":
            self._end_row()
            self._row = []
            return
        self._write("\n" if tag in ("li", "dt", "dd", "div") else "\n\n")
        if tag in ("ul", "ol"):
            self._lists.append(tag)
            self._numbers.append(0)
        elif tag == "li":
            indent = "  " * min(len(self._lists) - 1, 10)
            if self._lists and self._lists[-1] == "ol":
                self._numbers[-1] += 1
                self._write(f"{indent}{self._numbers[-1]}. ")
            else:
                self._write(f"{indent}- ")
        elif tag in _HEADINGS:
            self._write("#" * int(tag[1]) + " ")
        elif tag == "pre":
            self._pre += 1
            self._write("```\n")
        elif tag == "blockquote":
            self._write("> ")
        elif tag == "hr":
            self._write("---\n\n")

    def handle_endtag(self, tag: str) -> None:
        """Close an element."""
        if tag == "title":
            self._in_title = False
        if not self._hiding.closes(tag):
            return
        if tag in ("td", "th"):
            self._end_cell()
        elif tag == "tr":
            self._end_row()
        elif tag == "table":
            self._end_row()
            if self._rows:
                self._rows.pop()
            self._write("\n\n")
        elif tag in ("ul", "ol") and self._lists:
            self._lists.pop()
            self._numbers.pop()
            self._write("\n")
        elif tag == "a" and self._links:
            where = self._links.pop()
            shown = re.match(r"(?:https?|mailto|tel):|/|[\w.-]+$", where)
            self._write(f"]({where[:500]})" if shown else "]")
        elif tag in ("b", "strong"):
            self._write("**")
        elif tag == "pre" and self._pre:
            self._pre -= 1
            self._write("\n```\n\n")
        elif tag in _BLOCKS:
            self._write("\n" if tag in ("li", "dt", "dd", "div") else "\n\n")

    def handle_data(self, data: str) -> None:
        """Take text."""
        if self._in_title:
            self.title.append(data[:500])
        elif self._hiding.text(data):
            self._write(data if self._pre else re.sub(r"\s+", " ", data))

    def _write(self, text: str) -> None:
        if self.full:
            return
        self._written += len(text)
        (self.parts if self._cell is None else self._cell).append(text)

    def _end_cell(self) -> None:
        if self._cell is None:
            return
        if self._row is None:
            self._row = []
        self._row.append(self._cell)
        self._cell = None

    def _end_row(self) -> None:
        self._end_cell()
        if not self._row:
            self._row = None
            return
        cells = [" ".join("".join(cell).split()).replace("|", "\\|") for cell in self._row]
        self._row = None
        first = not self._rows or self._rows[-1] == 0
        self._write(("\n" if first else "") + f"| {' | '.join(cells)} |\n")
        if first:
            self._write(f"|{' --- |' * len(cells)}\n")
        if self._rows:
            self._rows[-1] += 1


def markdown(html: str, most: int) -> tuple[str, str, bool, int]:
    """Return the text of a page as Markdown, its title, whether it was cut, and how many elements it has."""
    parser = _Markdown(most)
    try:
        for start in range(0, len(html), 65_536):
            parser.feed(html[start : start + 65_536])
            if parser.full:
                break
        if not parser.full:
            parser.close()
    except AssertionError:  # what the parser says of some declarations that are none
        raise Refused("it is no page that can be read: a declaration in it is broken") from None
    parser._end_row()
    return (
        cleaned("".join(parser.parts)),
        " ".join(cleaned("".join(parser.title)).split())[:500],
        parser.full,
        parser.elements,
    )


def read(data: bytes, content: Content, limits: Limits) -> None:
    """Read a page."""
    stated = _CHARSET.search(data[:4096])
    text, encoding = decoded(data)
    if stated and encoding == "windows-1252":
        named = by_name(data, stated.group(1).decode("ascii"))
        if named is None:
            content.note("it names an encoding that there is not: read as Windows-1252")
        text = named or text
    elif encoding == "windows-1252":
        content.note("nothing says in which encoding it is: read as Windows-1252")
    content.text, title, content.truncated, elements = markdown(text, limits.max_text)
    content.metadata |= {"title": title, "elements": elements}
