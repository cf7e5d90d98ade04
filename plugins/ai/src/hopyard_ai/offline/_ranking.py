"""Which of the tools on offer a part of the request asks for."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hopyard_ai.offline._schema import Parameter, parameters
from hopyard_ai.offline._words import (
    GENERIC,
    STOP_WORDS,
    VAGUE,
    Word,
    alike,
    content,
    name_words,
    stem,
    vocabulary,
    words_of,
)

if TYPE_CHECKING:
    from pydantic_ai.tools import ToolDefinition

_NAME, _FIRST_SENTENCE, _DESCRIPTION, _PARAMETER, _OPTION = 3.0, 1.6, 1.0, 0.8, 1.6
_ENOUGH = 2.4
"""The least score: about one word of a tool's name, or two of its description."""
_ENOUGH_BESIDES = 2.8
_KINDS = {
    "email": "email",
    "uri": "url",
    "path": "path",
    "phone": "phone",
    "integer": "number",
    "number": "number",
}
_NEARLY = 0.75
"""A tool with this share of the best score is taken instead if only it finds all its arguments."""
_CHANGING = vocabulary(
    "delete remove erase send create add update write pay restart reboot stop cancel purge drop rotate "
    "move rename  book reserve order buy post publish upload reset disable enable kill transfer notify"
)

_BEFORE_VERBS = vocabulary("and then also please kindly now finally to")


@dataclass(frozen=True, slots=True)
class Choice:
    """A tool for a part of a request; `matched` are the words that its name was recognised by."""

    tool: ToolDefinition
    score: float
    matched: frozenset[str]


class Ranking:
    """Scores tools by the words of their names, descriptions and parameters; rare words count more."""

    def __init__(self, tools: Sequence[ToolDefinition]) -> None:
        self._tools = list(tools)
        self._terms = [_terms(tool) for tool in tools]
        self._required = [_required(tool) for tool in tools]
        self._names = [set(name_words(tool.name)) for tool in tools]

    def choose(self, words: Sequence[Word], lacks: Callable[[Choice], int]) -> list[Choice]:
        """The tools that these words ask for, best first: one, or more where other words ask for others.

        `lacks` counts the required arguments that would not be found; it decides between near equals.
        """
        terms = [word.lower for word in content(words)]
        lead = next((word.lower for word in words if word.lower not in _BEFORE_VERBS), "")
        kinds = {word.kind for word in words}
        chosen: list[Choice] = []
        while terms:
            scored = [self._score(index, terms, kinds, lead) for index in range(len(self._tools))]
            enough = _ENOUGH_BESIDES if chosen else _ENOUGH
            top = max((choice.score for choice in scored), default=0.0)
            close = [choice for choice in scored if choice.score >= max(enough, _NEARLY * top)]
            if not close:
                break
            best = min(close, key=lambda choice: (lacks(choice) if len(close) > 1 else 0, -choice.score))
            if best.tool in [choice.tool for choice in chosen]:
                break
            chosen.append(best)
            terms = [term for term in terms if term not in best.matched]
            kinds = set()
        return chosen

    def _score(self, index: int, terms: Sequence[str], kinds: Collection[str], lead: str) -> Choice:
        typed = self._typed(index, kinds)
        total = typed
        matched: set[str] = set()
        named: set[str] = set()
        for term in terms:
            points, word = self._best(index, term)
            if points > 0 and term not in GENERIC:
                matched.add(term)
            total += points * (0.2 if term in VAGUE else 0.5 if term in GENERIC else 1.0)
            if word in self._names[index]:
                named.add(word)
        names = self._names[index] - GENERIC
        total += 1.5 * len(named - GENERIC) / len(names) if names else 0.0
        if not matched and not named:
            total = 0.0  # what the values look like is no reason alone
        if self._changes(index) and not self._asked_to_change(index, terms, lead):
            total = 0.0  # whatever else fits: nothing is changed that nobody asked to change
        return Choice(self._tools[index], total, frozenset(matched))

    def _best(self, index: int, term: str) -> tuple[float, str]:
        points, found = 0.0, ""
        for word, weight in self._terms[index].items():
            likeness = alike(term, word)
            if likeness and (value := weight * likeness * self._rarity(word)) > points:
                points, found = value, word
        return points, found

    def _rarity(self, word: str) -> float:
        holders = sum(1 for terms in self._terms if word in terms)
        return 0.6 + 0.6 * math.log2(1 + len(self._tools) / max(holders, 1)) / math.log2(1 + len(self._tools))

    def _typed(self, index: int, kinds: Collection[str]) -> float:
        """Points for a required parameter whose kind of value stands in the request: an address, a number."""
        forms = {_KINDS.get(item.form) or _KINDS.get(item.kind) for item in self._required[index]}
        found = {form for form in forms if form in kinds}
        return 1.8 if found - {"number"} else 1.2 if found else 0.0

    def _changes(self, index: int) -> bool:
        return bool(self._names[index] & _CHANGING)

    def _asked_to_change(self, index: int, terms: Iterable[str], lead: str) -> bool:
        """Whether a word says so: the tool's verb, or a word of its name as the verb ("mail it to Ann")."""
        verbs = self._names[index] & _CHANGING
        if any(alike(term, verb) >= 0.75 for term in terms for verb in verbs):
            return True
        return any(alike(lead, name) >= 0.75 for name in self._names[index] - GENERIC)


def _required(tool: ToolDefinition) -> list[Parameter]:
    wanted = [item for item in parameters(tool.parameters_json_schema) if item.required]
    return wanted + [item.item for item in wanted if item.item is not None]


def _terms(tool: ToolDefinition) -> Mapping[str, float]:
    terms: dict[str, float] = {}

    def add(words: Iterable[str], weight: float) -> None:
        for word in words:
            if word not in STOP_WORDS and len(word) > 1 and not word.isdigit():
                key = word.lower()
                terms[key] = max(
                    terms.get(key, 0.0), weight * (0.5 if key in GENERIC and weight < _NAME else 1.0)
                )

    add(name_words(tool.name), _NAME)
    first, _, rest = (tool.description or "").partition(".")
    add(_plain(first), _FIRST_SENTENCE)
    add(_plain(rest), _DESCRIPTION)
    for name, schema in tool.parameters_json_schema.get("properties", {}).items():
        add(name_words(name), _PARAMETER)
        if isinstance(schema, Mapping):
            add(_plain(str(schema.get("description", ""))), _PARAMETER * 0.6)
            add((str(option).lower() for option in schema.get("enum", ())), _OPTION)
    return _merged(terms)


def _plain(text: str) -> list[str]:
    return [word.text for word in words_of(text) if word.kind == "word"]


def _merged(terms: Mapping[str, float]) -> dict[str, float]:
    """One entry for each stem: that of the heaviest word."""
    best: dict[str, str] = {}
    for word, weight in terms.items():
        key = stem(word)
        if key not in best or weight > terms[best[key]]:
            best[key] = word
    return {word: terms[word] for word in best.values()}
