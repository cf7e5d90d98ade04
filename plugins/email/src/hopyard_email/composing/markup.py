"""HTML in one pass: its tags and texts, and how deep it is nested.

Python's own parser looks for the end of an unfinished tag again and again, which takes minutes for 100 KB.
Here each character is looked at a bounded number of times: what is not finished ends the document, as HTML
(§13.2.5) has it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from html import unescape
from typing import Final

#: A start or end tag; its quotes may hold anything. The quantifiers give nothing back (`*+`).
_TAG: Final = re.compile(
    r"<(?P<end>/?)(?P<name>[A-Za-z][^\t\n\r\f />]*+)"
    r"(?P<rest>(?:[^>=]|=[\t\n\r\f ]*+(?:\"[^\"]*+\"|'[^']*+')?+)*+)>"
)
_START: Final = re.compile(r"<[A-Za-z]")
_ATTRIBUTE: Final = re.compile(
    r"(?<=[\t\n\r\f /\"'])([^\t\n\r\f />=]++)[\t\n\r\f ]*+=[\t\n\r\f ]*+"
    r"(?:\"([^\"]*+)\"|'([^']*+)'|([^\t\n\r\f >]++))"
)
#: Characters of a tag in which attributes are looked for.
_LONGEST_TAG: Final = 20_000
#: Numbers of characters that no character has; Python refuses to read very long ones.
_NO_CHARACTER: Final = re.compile(r"&#(?:[0-9]{8,}+|[xX][0-9a-fA-F]{8,}+);?")
#: Elements whose content is text, up to their end tag.
_RAW: Final = frozenset(["script", "style", "title", "textarea", "xmp", "iframe", "noembed", "noframes"])
#: Elements without content: everywhere, and everywhere but within SVG and MathML.
_VOID: Final = frozenset(["br", "embed", "hr", "img", "meta"])
_VOID_IN_HTML: Final = frozenset(["area", "base", "col", "input", "link", "param", "source", "track", "wbr"])
#: Elements that end where another one of their kind begins, or the one around them ends.
_LOOSE: Final = frozenset(["dd", "dt", "li", "p"])


@dataclass(frozen=True, slots=True)
class Token:
    """A piece of HTML: a text, or a tag with its name; `raw` is what the tag or comment was."""

    text: str = ""
    name: str = ""
    is_end: bool = False
    raw: str = ""

    def attribute(self, name: str) -> str:
        """Return the value of an attribute; empty if there is none."""
        for found in _ATTRIBUTE.finditer(self.raw, 0, _LONGEST_TAG):
            if found[1].lower() == name:
                return _characters(found[2] or found[3] or found[4] or "")
        return ""


def tokens(html: str) -> Iterator[Token]:
    """Yield the texts, tags and comments of an HTML document, in time in proportion to its length."""
    place = 0
    while place < len(html):
        begin = html.find("<", place)
        begin = len(html) if begin < 0 else begin
        if begin > place:
            yield Token(text=_characters(html[place:begin]))
        if begin == len(html):
            return
        token, place = _marked(html, begin)
        yield token
        if token.name in _RAW and not token.is_end:
            end = re.compile(rf"</{token.name}(?=[\t\n\r\f />])", re.IGNORECASE).search(html, place)
            stop = end.start() if end else len(html)
            yield Token(raw=html[place:stop])
            place = stop


def _marked(html: str, begin: int) -> tuple[Token, int]:
    """Return what stands at a `<`, and where it ends."""
    following = html[begin + 1 : begin + 3]
    if following[:1].isascii() and (
        following[:1].isalpha() or (following[:1] == "/" and following[1:].isalpha())
    ):
        found = _TAG.match(html, begin)
        if found is None:  # never finished: the rest is no text
            return Token(raw=html[begin:]), len(html)
        return Token(name=found["name"].lower(), is_end=bool(found["end"]), raw=found[0]), found.end()
    if following[:1] not in ("!", "?", "/") or not following[:1]:
        return Token(text="<"), begin + 1
    mark, skip = ("-->", 2) if html.startswith("<!--", begin) else (">", 1)
    end = html.find(mark, begin + skip)
    stop = len(html) if end < 0 else end + len(mark)
    return Token(raw=html[begin:stop]), stop


def _characters(text: str) -> str:
    return unescape(_NO_CHARACTER.sub("\ufffd", text))


def depth(html: str) -> int:
    """Return how deep a document is nested, at most: never less than what a browser's parser makes of it.

    What an end tag ends for certain is taken off; whatever is unclear counts as open.
    """
    foreign = re.search(r"<(?:svg|math)", html, re.IGNORECASE) is not None
    void = _VOID if foreign else _VOID | _VOID_IN_HTML
    opened: list[str] = []
    unclear = deepest = scripts = 0
    for token in tokens(html):
        if not token.name:
            unclear += len(_START.findall(token.raw))
        elif token.is_end:
            scripts -= token.name == "script" and scripts > 0
            if not scripts:
                _close(opened, token.name)
        elif token.name not in void:
            scripts += token.name == "script"
            unclear += max(0, len(_START.findall(token.raw)) - 1)
            if token.name in _LOOSE and opened and opened[-1] == token.name:
                opened.pop()
            opened.append(token.name)
        deepest = max(deepest, len(opened) + unclear)
    return deepest


def _close(opened: list[str], name: str) -> None:
    """Take an element off, with those in it that end with it; nothing where another one is in between."""
    place = len(opened) - 1
    while place >= 0 and opened[place] != name and opened[place] in _LOOSE:
        place -= 1
    if place >= 0 and opened[place] == name:
        del opened[place:]
