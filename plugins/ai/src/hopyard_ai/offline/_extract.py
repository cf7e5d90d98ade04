"""Structured output from a text by extraction: its own sentences, names, words and numbers, by the schema."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from hopyard_ai.offline._arguments import fill
from hopyard_ai.offline._clauses import clause
from hopyard_ai.offline._schema import Parameter, parameters
from hopyard_ai.offline._values import Values
from hopyard_ai.offline._words import GENERIC, alike, content, stem, vocabulary, words_of

_SUMMARY = vocabulary("summary abstract gist overview digest synopsis")
_POINTS = vocabulary("points highlights sentences facts findings insights takeaways bullets recommendations")
_TERMS = vocabulary("keywords tags topics categories terms themes labels category topic")
_NAMES = vocabulary("entities names people organisations organizations places persons locations")
_TITLE = vocabulary("title headline subject heading")
_LONG_SENTENCE = 300


def extract(text: str, schema: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """Return the fields that the text gives, and the names of required ones that it does not."""
    known = parameters(schema)
    found: dict[str, Any] = {}
    for parameter in known:
        value = _field(text, parameter)
        if value is not None:
            found[parameter.name] = value
    left = [parameter for parameter in known if parameter.name not in found]
    filled = fill(left, Values(clause(text, 0, len(text)), (), datetime.now(UTC), "UTC"))
    found |= filled.calls[0]
    return found, [item.name for item in known if item.required and item.name not in found]


def _field(text: str, parameter: Parameter) -> Any:
    words = set(parameter.words)
    if parameter.kind == "array" and parameter.item is not None and parameter.item.kind in ("string", "any"):
        if parameter.item.options:
            return [option for option in parameter.item.options if _likeness(text, str(option)) > 0]
        return _texts(text, words)
    if parameter.options:
        best = max(parameter.options, key=lambda option: _likeness(text, str(option)))
        return best if _likeness(text, str(best)) > 0 else None
    if parameter.kind != "string" or parameter.form:
        return None
    if words & _SUMMARY:
        return " ".join(sentences(text, 2)) or None
    if words & _TITLE:
        return next(iter(sentences(text, 1)), None)
    return next(iter(terms(text, 1)), None) if words & _TERMS else None


def _texts(text: str, words: set[str]) -> list[str] | None:
    if words & _POINTS:
        return sentences(text, 5)
    if words & _NAMES:
        return entities(text)
    return terms(text, 6) if words & _TERMS else None


def _likeness(text: str, option: str) -> int:
    wanted = [word.lower for word in words_of(option.replace("_", " ")) if word.kind == "word"]
    said = [word.lower for word in words_of(text) if word.kind == "word"]
    return sum(1 for word in said if any(alike(word, name) >= 0.65 for name in wanted))


def sentences(text: str, n: int) -> list[str]:
    """The `n` sentences with the text's most frequent words, in their order."""
    found = [item.strip() for item in re.split(r"(?<=[.!?])\s+|\n+", text) if item.strip()]
    counts = _counts(text)

    def weight(sentence: str) -> float:
        own = content(words_of(sentence))
        return sum(counts[stem(word.lower)] for word in own) / (len(own) + 3) if own else 0.0

    best = sorted(range(len(found)), key=lambda place: (-weight(found[place]), place))[:n]
    return [found[place][:_LONG_SENTENCE] for place in sorted(best)]


def terms(text: str, n: int) -> list[str]:
    """The `n` most frequent words that carry meaning, as written first."""
    first: dict[str, str] = {}
    for word in content(words_of(text)):
        first.setdefault(stem(word.lower), word.lower)
    return [first[key] for key, _ in _counts(text).most_common(n)]


def entities(text: str) -> list[str]:
    """Names in the text: runs of capitalised words inside sentences, addresses; each once."""
    words = words_of(text)
    found: dict[str, None] = {}
    place = 0
    while place < len(words):
        end = place
        while end < len(words) and words[end].proper:
            end += 1
        first = place == 0 or words[place - 1].text in (".", "!", "?")
        run = words[place:end]
        if run and not (first and len(run) == 1):
            found.setdefault(text[run[0].start : run[-1].end])
        if words[place].kind in ("email", "url"):
            found.setdefault(words[place].text)
        place = max(end, place + 1)
    return list(found)


def _counts(text: str) -> Counter[str]:
    return Counter(stem(word.lower) for word in content(words_of(text)) if word.lower not in GENERIC)
