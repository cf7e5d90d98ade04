"""The text that is made of HTML for readers that show none."""

from __future__ import annotations

import re
from typing import Final

from hopyard_email.composing.markup import Token, tokens

_HIDDEN: Final = frozenset({"head", "script", "style", "template", "title"})
_BLOCKS: Final = frozenset(
    [
        "address",
        "article",
        "blockquote",
        "dd",
        "div",
        "dl",
        "dt",
        "fieldset",
        "figure",
        "footer",
        "form",
        "h1",
        "h2",
        "h3",
        "h4",
        "h5",
        "h6",
        "header",
        "hr",
        "main",
        "nav",
        "ol",
        "p",
        "pre",
        "section",
        "table",
        "tr",
        "ul",
    ]
)


def to_text(html: str) -> str:
    """Return the text of an HTML document: paragraphs, lists, links with their addresses, pictures' names."""
    reader = _Text()
    for token in tokens(html):
        if token.text:
            reader.text(token.text)
        elif token.name:
            reader.end(token) if token.is_end else reader.start(token)
    lines = [" ".join(line.split()) for line in "".join(reader.parts).split("\n")]
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).strip() + "\n"


class _Text:
    def __init__(self) -> None:
        self.parts: list[str] = []
        self._hidden = 0
        self._link: tuple[str, int] | None = None

    def start(self, token: Token) -> None:
        name = token.name
        if name in _HIDDEN:
            self._hidden += 1
        elif name == "br":
            self.parts.append("\n")
        elif name == "li":
            self.parts.append("\n- ")
        elif name in ("td", "th"):
            self.parts.append(" ")
        elif name in _BLOCKS:
            self.parts.append("\n\n" if name != "tr" else "\n")
        elif name == "img":
            alt = token.attribute("alt")
            self.parts.append(f"[{alt}]" if alt else "")
        elif name == "a":
            self._end_link()  # there are no links in links
            self._link = token.attribute("href"), len(self.parts)

    def end(self, token: Token) -> None:
        if token.name in _HIDDEN:
            self._hidden = max(0, self._hidden - 1)
        elif token.name in _BLOCKS:
            self.parts.append("\n\n" if token.name != "tr" else "\n")
        elif token.name == "a":
            self._end_link()

    def _end_link(self) -> None:
        if self._link is None:
            return
        href, start = self._link
        self._link = None
        shown = "".join(self.parts[start:]).strip()
        if href and not href.startswith("#") and href.removeprefix("mailto:") != shown:
            self.parts.append(f" ({href})")

    def text(self, text: str) -> None:
        if not self._hidden:
            self.parts.append(re.sub(r"\s+", " ", text))
