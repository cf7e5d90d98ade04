"""A parser that is driven by a table of rules, each a line of words and names that a function puts together.

A rule's pattern is a row of items: `word`, `one|other` (any of these words), `<name>` (what the rules of that
name find) and any of them with `?` (may be missing). The values of the names are what the function gets, None
for one that is missing. All ways to read the words are found, so the order of rules does not matter.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, TypeVar

from hopyard_ai.when._tokens import Tokens

Build = TypeVar("Build", bound=Callable[..., Any])
Look = TypeVar("Look", bound=Callable[[Tokens, int], Any])
Found = tuple[int, Any]
"""Where the words that were read end, and what they mean."""


@dataclass(frozen=True, slots=True)
class _Item:
    words: frozenset[str]
    name: str
    optional: bool


@dataclass(slots=True)
class Grammar:
    """The table: patterns by name. Terminals look at single tokens."""

    rules: dict[str, list[tuple[tuple[_Item, ...], Callable[..., Any]]]] = field(default_factory=dict)
    terminals: dict[str, Callable[[Tokens, int], Any]] = field(default_factory=dict)
    looks: dict[str, Callable[[Tokens, int], bool]] = field(default_factory=dict)
    """Tests of the words around a place, that take none."""

    def rule(
        self, name: str, patterns: str, to: Callable[..., Any] | None = None
    ) -> Callable[[Build], Build]:
        """Add patterns, apart by ` ; `, whose values `to`, or the decorated function, puts together."""

        def add(build: Build) -> Build:
            rows = (tuple(_item(text) for text in pattern.split()) for pattern in patterns.split(" ; "))
            self.rules.setdefault(name, []).extend((row, build) for row in rows)
            return build

        if to is not None:
            add(to)
        return add

    def terminal(self, name: str) -> Callable[[Look], Look]:
        """Add a function that gives the value of a single token; None is no reading."""
        return lambda function: self.terminals.setdefault(name, function)  # type: ignore[return-value]

    def look(self, name: str) -> Callable[[Look], Look]:
        """Add a test of the words around a place, that takes none."""
        return lambda function: self.looks.setdefault(name, function)  # type: ignore[return-value]

    def vocabulary(self, names: Iterable[str]) -> frozenset[str]:
        """All words that stand in the patterns of rules, and of those that these are made of."""
        found: set[str] = set()
        open_, known = list(names), set(names)
        while open_:
            for row, _ in self.rules.get(open_.pop(), ()):
                for item in row:
                    found |= item.words
                    if item.name and item.name not in known:
                        known.add(item.name)
                        open_.append(item.name)
        return frozenset(found)

    def words(self, name: str, table: dict[str, Any]) -> None:
        """Add phrases that mean a value each."""
        for phrase, value in table.items():
            self.rule(name, phrase, to=lambda value=value: value)


def _item(text: str) -> _Item:
    plain = text.removesuffix("?")
    if plain.startswith("<"):
        return _Item(frozenset(), plain.strip("<>"), plain != text)
    return _Item(frozenset(plain.split("|")), "", plain != text)


class Parse:
    """The readings of one sentence."""

    def __init__(self, grammar: Grammar, tokens: Tokens) -> None:
        self._grammar = grammar
        self._tokens = tokens
        self._known: dict[tuple[str, int], list[Found]] = {}

    def at(self, name: str, index: int) -> list[Found]:
        """All readings of `name` that begin at a token, one for each place where they end."""
        key = name, index
        if key not in self._known:
            self._known[key] = []
            terminal = self._grammar.terminals.get(name)
            if name in self._grammar.looks:
                self._known[key] = [(index, None)] if self._grammar.looks[name](self._tokens, index) else []
            elif terminal is not None:
                value = terminal(self._tokens, index) if index < len(self._tokens) else None
                self._known[key] = [(index + 1, value)] if value is not None else []
            else:
                self._known[key] = self._all(name, index)
        return self._known[key]

    def longest(self, name: str, index: int) -> Found | None:
        """The reading that takes most words."""
        return max(self.at(name, index), key=lambda found: found[0], default=None)

    def _all(self, name: str, index: int) -> list[Found]:
        best: dict[int, Any] = {}
        for items, build in self._grammar.rules[name]:
            for end, values in self._match(items, 0, index):
                if end > index and end not in best and (value := build(*values)) is not None:
                    best[end] = value
        return list(best.items())

    def _match(self, items: tuple[_Item, ...], place: int, index: int) -> Iterator[tuple[int, list[Any]]]:
        if place == len(items):
            yield index, []
            return
        item = items[place]
        if item.name:
            for end, value in self.at(item.name, index):
                for last, values in self._match(items, place + 1, end):
                    yield last, [value, *values]
        elif self._tokens.word(index) in item.words:
            yield from self._match(items, place + 1, index + 1)
        if item.optional:
            for last, values in self._match(items, place + 1, index):
                yield last, [None, *values] if item.name else values
