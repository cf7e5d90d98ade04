"""Which parts of a page are not shown, also where their end tags are left out, as HTML allows.

By the rules of the HTML standard (13.1.2.4, Optional tags) as far as hiding is concerned.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Set
from typing import Final

_LEFT_OUT: Final = frozenset({"script", "style", "noscript", "template", "svg", "iframe", "object", "head"})
#: What may stand in the head; all else ends it.
_OF_HEAD: Final = frozenset(
    {"base", "head", "html", "link", "meta", "noscript", "script", "style", "template", "title"}
)
#: Elements that end by themselves where one of these begins.
_ENDS: Final = {
    "li": {"li"},
    "dt": {"dt", "dd"},
    "dd": {"dt", "dd"},
    "option": {"option", "optgroup"},
    "optgroup": {"optgroup"},
    "td": {"td", "th", "tr", "tbody", "thead", "tfoot"},
    "th": {"td", "th", "tr", "tbody", "thead", "tfoot"},
    "tr": {"tr", "tbody", "thead", "tfoot"},
    "tbody": {"tbody", "thead", "tfoot"},
    "thead": {"tbody", "tfoot"},
}


class Hiding:
    """Follows the elements of a page. `blocks` are those that end a paragraph."""

    def __init__(self, blocks: Set[str]) -> None:
        self._blocks = blocks
        self._open: Counter[str] = Counter()
        """Elements that are open around what is hidden."""
        self._hidden: list[str] = []
        """What hides, and the elements within it."""
        self._within: Counter[str] = Counter()

    @property
    def hides(self) -> bool:
        """Whether what comes now is not shown."""
        return bool(self._hidden)

    @property
    def in_head_or_none(self) -> bool:
        """Whether what comes now is shown, or is in the head."""
        return not self._hidden or (self._hidden[0] == "head" and "svg" not in self._within)

    def opens(self, tag: str, *, hidden: bool) -> bool:
        """Take the start of an element that has an end; say whether it is shown."""
        if self._hidden and self._over(tag):
            self._show()
        if self._hidden or hidden or tag in _LEFT_OUT:
            self._hidden.append(tag)
            self._within[tag] += 1
            return False
        self._open[tag] += 1
        return True

    def _over(self, tag: str) -> bool:
        """Say whether the start of an element ends what hides."""
        base = self._hidden[0]
        if base == "head":
            return len(self._hidden) == 1 and tag not in _OF_HEAD
        if base == "p":
            return tag in self._blocks and not any(one in self._blocks for one in self._hidden[1:50])
        return len(self._hidden) == 1 and tag in _ENDS.get(base, ())

    def closes(self, tag: str) -> bool:
        """Take the end of an element; say whether it is shown."""
        if not self._hidden:
            self._open[tag] -= self._open[tag] > 0
            return True
        if self._within[tag]:
            while (last := self._hidden.pop()) != tag:
                self._within[last] -= 1
            self._within[tag] -= 1
            return False
        if self._open[tag]:  # the end of something around it is its own end
            self._show()
            self._open[tag] -= 1
            return True
        return False

    def text(self, data: str) -> bool:
        """Take text; say whether it is shown. In the head there is none: it ends there."""
        if self._hidden == ["head"] and data.strip():
            self._show()
        return not self._hidden

    def _show(self) -> None:
        self._hidden.clear()
        self._within.clear()
