"""Which tools a request plainly means, with which arguments. What is not plain is left to a real model."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hopyard_ai.offline._request import Word, name_words, stem, words_of

if TYPE_CHECKING:
    from pydantic_ai.tools import ToolDefinition

_PARTS = re.compile(r"\s*(?:[.!?;,]\s+|\s(?:and|then)\s+(?:then\s+|also\s+)?)")


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


#: Words that mean nothing by themselves beside the name of a tool that only reads.
_CONNECTING = _words(
    "a an the this that these my our your its me us please kindly tell show give "
    "let know say report check find look up get see list "
    "what what's which who how much many is are does do it there of for in "
    "on at to from about with by per now right currently current today can could you would"
)
#: Words that turn a sentence into something else than an order or a question about facts.
_TURNING = _words(
    "not no don't don’t never nor without unless if whether when while until should shall may might must "
    "ought already instead except i we he she they why was were had did done i've we've i'd after before"
)
_ORDER = _words("run call do use start execute make please")
_PREPOSITIONS = _words("of for in on at to from about with by as")


@dataclass(frozen=True, slots=True)
class Call:
    """A call of a tool, by its name as the model is told."""

    tool: str
    args: dict[str, Any]


def plan(request: str, tools: Sequence[ToolDefinition]) -> tuple[list[Call], list[str]]:
    """Return the calls that a request plainly asks for, and its parts that are not plain."""
    whole = _call(request, tools)
    if whole is not None:
        return [whole], []
    calls: list[Call] = []
    unclear: list[str] = []
    for part in filter(None, (part.strip(" .!?;,") for part in _PARTS.split(request))):
        call = _call(part, tools)
        if call is None:
            unclear.append(part)
        elif call not in calls:
            calls.append(call)
    # What changes something is done as it was asked for, or not at all. Where the sentence has a turning
    # word, its parts may mean something else than they say.
    reads = {tool.name for tool in tools if (tool.metadata or {}).get("read_only")}
    changes = any(call.tool not in reads for call in calls)
    if unclear and (changes or any(word.lower in _TURNING for word in words_of(request))):
        return [], [request]
    return calls, unclear


def _call(text: str, tools: Sequence[ToolDefinition]) -> Call | None:
    words = [word for word in words_of(text) if word.kind != "mark" or word.text in "=:?"]
    named = [tool for tool in tools if any(word.lower in _names(tool) for word in words)]
    if named:
        return _by_name(words, named[0]) if len(named) == 1 else None
    words = [word for word in words if word.text != "?"]
    if any(word.lower in _TURNING for word in words):
        return None
    found = []
    for tool in tools:
        if (tool.metadata or {}).get("read_only"):
            match = _plainly(words, tool)
            if match is not None:
                found.append(match)
    best = max((score for score, _ in found), default=0)
    chosen = [call for score, call in found if score == best]
    return chosen[0] if len(chosen) == 1 else None


def _names(tool: ToolDefinition) -> set[str]:
    return {tool.name.lower(), str((tool.metadata or {}).get("name", tool.name)).lower()}


def _by_name(words: Sequence[Word], tool: ToolDefinition) -> Call | None:
    """Return the call of a tool that is named in full, with nothing but an order before its name."""
    place = next(n for n, word in enumerate(words) if word.lower in _names(tool))
    before, after = words[:place], words[place + 1 :]
    if any(word.lower not in _ORDER for word in before) or any(word.lower in _TURNING for word in words):
        return None
    if any(word.text == "?" for word in words):
        return None
    args, left = _arguments(after, tool, frozenset())
    joins = {"and"} if any(isinstance(value, list) for value in (args or {}).values()) else set()
    plain = args is not None and all(word.lower in _CONNECTING | joins for word in left)
    return Call(tool.name, args) if args is not None and plain else None


def _plainly(words: Sequence[Word], tool: ToolDefinition) -> tuple[int, Call] | None:
    """Return how many words of a tool's name the request has, and its call, if no word is left over."""
    name = str((tool.metadata or {}).get("name", tool.name))
    own = {stem(word) for word in name_words(name.rsplit(".", 1)[-1])}
    described = str((tool.metadata or {}).get("description", tool.description or ""))
    known = own | {stem(word.text) for word in words_of(described) if word.kind == "word"}
    known |= {stem(word) for parameter in _properties(tool) for word in name_words(parameter)}
    args, left = _arguments(words, tool, frozenset(known))
    if args is None:
        return None
    meaning = [word for word in left if word.lower not in _CONNECTING]
    if not meaning or any(word.kind != "word" or stem(word.text) not in known for word in meaning):
        return None
    return len(own & {stem(word.text) for word in words}), Call(tool.name, args)


def _properties(tool: ToolDefinition) -> Mapping[str, Any]:
    found: Mapping[str, Any] = tool.parameters_json_schema.get("properties", {})
    return found


def _arguments(
    words: Sequence[Word], tool: ToolDefinition, known: frozenset[str]
) -> tuple[dict[str, Any] | None, list[Word]]:
    """Return arguments and the words that are left; None where a required one is not plainly there."""
    left = list(words)
    found: dict[str, Any] = {}
    properties = _properties(tool)
    for name in properties:
        _take_named(name, properties[name], left, found)
    required = [name for name in tool.parameters_json_schema.get("required", ()) if name not in found]
    for name in [*required, *(name for name in properties if name not in found and name not in required)]:
        _take_alone(name, properties[name], left, found, known)
    if any(name not in found for name in required):
        return None, left
    return found, left


def _take_named(name: str, schema: Mapping[str, Any], left: list[Word], found: dict[str, Any]) -> None:
    """Take `name=value`, `name: value` and `name "value"`."""
    for n in range(len(left) - 1):
        if left[n].lower != name.lower():
            continue
        end = n + 2 if left[n + 1].text in ("=", ":") else n + 1
        if end < len(left) and (end > n + 1 or left[end].kind == "quoted"):
            value = _value(left[end], schema)
            if value is not None:
                found[name] = value
                del left[n : end + 1]
            return


def _take_alone(
    name: str, schema: Mapping[str, Any], left: list[Word], found: dict[str, Any], known: frozenset[str]
) -> None:
    """Take the only word or words that can be this argument."""
    if "enum" in schema:
        fits = [word for word in left if word.text in schema["enum"]]
    elif schema.get("type") in ("integer", "number"):
        fits = [word for word in left if word.kind == "number"]
    elif schema.get("type") == "string":
        fits = _texts(left, known)
    elif _is_texts(schema):
        fits = [word for word in left if word.kind == "value"]
        if fits:
            found[name] = [word.text for word in fits]
            left[:] = [word for word in left if word not in fits]
        return
    else:
        return
    several = len(fits) != 1 and not (schema.get("type") == "string" and _adjacent(fits, left))
    if not fits or several:
        return
    joined = Word(fits[0].kind, " ".join(word.text for word in fits), fits[0].start)
    value = _value(joined, schema)
    if value is not None:
        found[name] = value
        left[:] = [word for word in left if word not in fits]


def _is_texts(schema: Mapping[str, Any]) -> bool:
    """Whether a list of texts is expected."""
    return bool(schema.get("type") == "array" and (schema.get("items") or {}).get("type") == "string")


def _texts(left: Sequence[Word], known: frozenset[str]) -> list[Word]:
    """Return what can only be a value: quoted, addresses, names, else unknown words behind a preposition."""
    sure = [word for word in left if word.kind in ("quoted", "value", "date")]
    if not sure:
        sure = [
            word
            for n, word in enumerate(left)
            if word.kind == "word"
            and word.text != "I"
            and (word.text[0].isupper() and (n or word.text.isupper()))
        ]
    if sure:
        return sure
    return [
        word
        for n, word in enumerate(left)
        if word.kind == "word"
        and stem(word.text) not in known
        and word.lower not in _CONNECTING
        and (n and left[n - 1].lower in _PREPOSITIONS)
    ]


def _adjacent(fits: Sequence[Word], left: Sequence[Word]) -> bool:
    places = [left.index(word) for word in fits]
    words_only = all(word.kind == "word" for word in fits)
    return words_only and places == [*range(places[0], places[0] + len(places))] if places else False


def _value(word: Word, schema: Mapping[str, Any]) -> Any:
    try:
        if schema.get("type") == "integer":
            return int(word.text)
        if schema.get("type") == "number":
            return float(word.text)
    except ValueError:
        return None
    if schema.get("type") == "boolean":
        return {"yes": True, "true": True, "no": False, "false": False}.get(word.lower)
    if "enum" in schema:
        return word.text if word.text in schema["enum"] else None
    if _is_texts(schema):
        return [word.text]
    return word.text if _is_text(schema) else None


def _is_text(schema: Mapping[str, Any]) -> bool:
    """Whether a text is expected, perhaps beside nothing."""
    kinds = [schema, *schema.get("anyOf", ())]
    return any(kind.get("type") == "string" for kind in kinds)
