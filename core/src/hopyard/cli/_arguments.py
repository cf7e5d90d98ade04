"""A task's arguments on the command line: `--city Oslo --days 2`, read as the task's own types say.

Which parameters there are, and of which types, says the JSON schema of the task's arguments.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from difflib import get_close_matches
from typing import Any

from hopyard.errors import PayloadError

Schema = Mapping[str, Any]

_ANY = frozenset({"any"})


def parse(words: Sequence[str], task: str, schema: Schema) -> dict[str, Any]:
    """Return the words behind a task's name as keyword arguments.

    An option that is repeated collects where the parameter takes a list. Whether values fit is left to the
    task. Raises `PayloadError` for words that are no option of the task's.
    """
    given: dict[str, list[str | bool]] = {}
    rest = [*words[1:]] if words[:1] == ["--"] else [*words]
    while rest:
        name, value = _option(rest, task, schema)
        given.setdefault(name, []).append(value)
    return {name: _value(name, values, task, schema) for name, values in given.items()}


def loose(pairs: Sequence[str]) -> dict[str, Any]:
    """Return `NAME=VALUE` pairs as keyword arguments: JSON where it can be read as such, else text."""
    found = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals or not name.strip():
            raise PayloadError(f"`{pair}` is not NAME=VALUE, e.g. city=Oslo")
        found[name.strip().replace("-", "_")] = _json(value)
    return found


def described(schema: Schema) -> Iterator[tuple[str, str]]:
    """Yield each parameter as an option, and what is to be known of it."""
    required = schema.get("required", [])
    for name, part in schema.get("properties", {}).items():
        about = "required" if name in required else f"default {json.dumps(part.get('default'), default=str)}"
        text = part.get("description")
        listed = "; may be repeated" if "array" in _types(part, schema) else ""
        yield f"--{name} {_type_name(part, schema)}", f"{about}{listed}{f'. {text}' if text else ''}"


def _option(rest: list[str], task: str, schema: Schema) -> tuple[str, str | bool]:
    """Take one option with its value from the words."""
    word = rest.pop(0)
    if not word.startswith("--") or word == "--":
        raise PayloadError(f"{task}: `{word}` is no option: write arguments as --name value")
    text, equals, value = word[2:].partition("=")
    name, truth = _parameter(text, task, schema)
    boolean = "boolean" in _types(schema["properties"][name], schema)
    if equals:
        return name, value
    if not truth:
        return name, False
    if boolean and not (rest and rest[0].lower() in ("true", "false")):
        return name, True
    if not rest:
        raise PayloadError(f"{task}: --{text} needs a value")
    return name, rest.pop(0)


def _parameter(text: str, task: str, schema: Schema) -> tuple[str, bool]:
    """Return the parameter that an option names; False beside it for `--no-NAME` of a truth value."""
    parameters: Mapping[str, Any] = schema.get("properties", {})
    for name in (text, text.replace("-", "_")):
        if name in parameters:
            return name, True
    positive = text.removeprefix("no-").replace("-", "_")
    if text.startswith("no-") and "boolean" in _types(parameters.get(positive, {"type": "none"}), schema):
        return positive, False
    close = get_close_matches(text.replace("-", "_"), parameters, 1)
    hint = f" (did you mean --{close[0]}?)" if close else ""
    there = ", ".join(f"--{name}" for name in parameters) or "none"
    raise PayloadError(
        f"{task} has no parameter `{text}`{hint}: it takes {there}; options of hopyard's own stand before "
        "the task's name"
    )


def _value(name: str, values: Sequence[str | bool], task: str, schema: Schema) -> Any:
    part = schema["properties"][name]
    types = _types(part, schema)
    if "array" in types:
        return _list(values, part, schema)
    if len(values) > 1:
        raise PayloadError(f"{task}: --{name} is given {len(values)} times, it takes one value")
    return _read(values[0], types)


def _list(values: Sequence[str | bool], part: Schema, schema: Schema) -> Any:
    """Return the items; one value that is a JSON list is the list itself."""
    if len(values) == 1 and isinstance(values[0], str) and values[0].lstrip().startswith("["):
        whole = _json(values[0])
        if isinstance(whole, list):
            return whole
    items: set[str] = set()
    for one in _alternatives(part, schema):
        for item in (one.get("items", {}), *one.get("prefixItems", ())):
            items |= _types(item, schema) if isinstance(item, Mapping) else _ANY
    return [_read(value, frozenset(items)) for value in values]


def _read(value: str | bool, types: frozenset[str]) -> Any:
    """Return a word as one of these types: as it is where it may be text, else as JSON if it is some."""
    return value if isinstance(value, bool) or "string" in types else _json(value)


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def _types(part: Schema, schema: Schema) -> frozenset[str]:
    """Return the JSON types that a part of a schema allows; `any` where it does not say."""
    found: set[str] = set()
    for one in _alternatives(part, schema):
        if "type" in one:
            found |= {one["type"]} if isinstance(one["type"], str) else {*one["type"]}
        elif "enum" in one or "const" in one:
            values = one.get("enum", [one.get("const")])
            found |= {"string"} if all(isinstance(value, str) for value in values) else {"any"}
        else:
            found.add("any")
    return frozenset(found)


def _alternatives(part: Schema, schema: Schema, depth: int = 10) -> Iterator[Schema]:
    """Yield the schemas behind references and alternatives."""
    inner = [*part.get("anyOf", ()), *part.get("oneOf", ()), *part.get("allOf", ())]
    if "$ref" in part:
        inner.append(schema.get("$defs", {}).get(str(part["$ref"]).rpartition("/")[2], {}))
    if not inner or not depth:
        yield part
    for one in inner:
        yield from _alternatives(one, schema, depth - 1)


def _type_name(part: Schema, schema: Schema) -> str:
    values = [value for one in _alternatives(part, schema) for value in one.get("enum", ())]
    if values:
        return "|".join(map(str, values))
    names = _types(part, schema) - {"null"}
    if "array" in names:
        items = [one["items"] for one in _alternatives(part, schema) if one.get("items")]
        return _type_name(items[0], schema) if items else "VALUE"
    formats = [one["format"] for one in _alternatives(part, schema) if one.get("format")]
    return "|".join(formats or sorted(names)).upper().replace("STRING", "TEXT").replace("ANY", "VALUE")
