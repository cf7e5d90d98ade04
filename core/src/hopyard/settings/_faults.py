"""Validation errors of pydantic, told as faults: source, key, what was found and what was expected."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, get_args, get_origin

from pydantic import BaseModel, SecretBytes, SecretStr, ValidationError

from hopyard.checks import nearest
from hopyard.errors import Fault
from hopyard.redaction import MASK, redact
from hopyard.settings._keys import dotted
from hopyard.settings._model import Key

_SECRET_NAME = re.compile(
    r"(^|_)(password|passwd|passphrase|secret|token|credentials?|dsn|(api|private|secret|access)_?key)s?$",
    re.IGNORECASE,
)

_EXPECTED = {
    "missing": "a value",
    "bool_type": "true or false",
    "bool_parsing": "true or false",
    "int_type": "a whole number",
    "int_parsing": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "float_parsing": "a number",
    "finite_number": "a finite number",
    "string_type": "text",
    "list_type": "a list",
    "set_type": "a list",
    "frozen_set_type": "a list",
    "tuple_type": "a list",
    "dict_type": "a table",
    "model_type": "a table",
    "model_attributes_type": "a table",
    "path_type": "a path",
    "greater_than": "a number greater than {gt}",
    "greater_than_equal": "a number of at least {ge}",
    "less_than": "a number less than {lt}",
    "less_than_equal": "a number of at most {le}",
    "string_too_short": "text of at least {min_length} characters",
    "string_too_long": "text of at most {max_length} characters",
    "string_pattern_mismatch": "text that fits {pattern}",
    "too_short": "at least {min_length} items",
    "too_long": "at most {max_length} items",
    "literal_error": "{expected}",
    "enum": "{expected}",
}


def looks_secret(name: str) -> bool:
    """True for names such as `api_key` or `password`, whose values are masked whatever their type."""
    return bool(_SECRET_NAME.search(name))


def explain(
    error: ValidationError,
    model: type[BaseModel],
    values: Mapping[str, Any],
    *,
    prefix: Key = (),
    source: Callable[[Key], str],
    masked: Callable[[Key], bool],
    plugin: str | None = None,
) -> list[tuple[Key, Fault]]:
    """All faults of a validation error, each with its full key.

    `values` is what was validated by `model`, found at `prefix` in the settings.
    """
    faults: dict[Key, Fault] = {}
    for detail in error.errors(include_url=False):
        if detail["type"] == "default_factory_not_called":  # follows from another fault
            continue
        key = _place(detail["loc"], values, absent=detail["type"] in ("missing", "extra_forbidden"))
        full = (*prefix, *key)
        secret = masked(full) or is_secret(model, key) or any(looks_secret(str(part)) for part in full[-2:])
        words, close = _expectation(detail, model, key)
        if secret and detail["type"] != "hopyard" and isinstance(detail["input"], str) and detail["input"]:
            words = words.replace(detail["input"], MASK)
        found = _found(detail, secret)
        known = faults.get(full)
        if known is not None:  # alternatives of a union: one fault that names them all
            words = known.expected if words in known.expected else f"{known.expected}, or {words}"
        faults[full] = Fault(source(full), dotted(full), found, redact(words), close, plugin)
    return list(faults.items())


def describe(value: Any, secret: bool = False) -> str:
    """A value in words, for `found`."""
    if isinstance(value, Mapping | BaseModel):
        return "a table"
    if value is None:
        return "nothing"
    if secret:
        scheme, separator, _ = str(value).partition("://")
        return f"{scheme}://{MASK}" if separator and scheme.isidentifier() else MASK
    if isinstance(value, list | tuple | set | frozenset):
        return "a list"
    try:
        text = json.dumps(value, ensure_ascii=False, default=str)
    except ValueError:
        text = "a number of thousands of digits"
    return redact(text if len(text) <= 80 else text[:77] + "…")


def is_secret(model: type[BaseModel], key: Key) -> bool:
    """True where the model keeps a `SecretStr` at `key`."""
    return any(annotation in (SecretStr, SecretBytes) for annotation in _annotations(model, key))


def _place(location: tuple[str | int, ...], values: Any, *, absent: bool) -> Key:
    """The part of pydantic's location that is a key: it also has the names of union members in it."""
    key: list[str | int] = []
    end = location[-1:] if absent else ()
    for part in location[: len(location) - len(end)]:
        if not _has(values, part):
            continue
        values = values[part]
        key.append(part)
    return (*key, *end)


def _has(values: Any, part: str | int) -> bool:
    if isinstance(values, list | tuple):
        return isinstance(part, int) and part < len(values)
    return isinstance(values, Mapping) and part in values


def _found(detail: Any, secret: bool) -> str:
    if detail["type"] == "extra_forbidden":
        return "an unknown key"
    if detail["type"] == "missing":
        return "nothing"
    if detail["type"] == "union_tag_invalid":
        return f"{detail['ctx']['discriminator']} {detail['ctx']['tag'][:60]!r}"
    value = detail["input"]
    if isinstance(value, SecretStr | SecretBytes):
        value, secret = value.get_secret_value(), True
    return describe(value, secret)


def _expectation(detail: Any, model: type[BaseModel], key: Key) -> tuple[str, str | None]:
    """What would be right, and the nearest right name."""
    kind, context = detail["type"], detail.get("ctx", {})
    if kind == "hopyard":
        return context["expected"], context["nearest"] or None
    if kind == "extra_forbidden":
        known = [name for inner in _models(model, key[:-1]) for name in inner.model_fields]
        return _known_keys(known, key), nearest(str(key[-1]), known)
    if kind in ("model_type", "model_attributes_type") and len(key) > 1:
        known = [name for inner in _models(model, key[:-1]) for name in inner.model_fields]
        return _EXPECTED[kind], nearest(str(key[-1]), known)
    if kind in _EXPECTED:
        words = _EXPECTED[kind].format(**context)
        choices = re.findall(r"'([^']+)'", words)
        return words, nearest(str(detail["input"]), choices) if choices else None
    if kind == "union_tag_invalid":
        choices = re.findall(r"'([^']+)'", context["expected_tags"])
        return f"one of {context['expected_tags']} as {context['discriminator']}", nearest(
            context["tag"], choices
        )
    if kind == "union_tag_not_found":
        return f"a table with {context['discriminator']}", None
    if kind == "value_error":
        return f"a value that passes the check: {context.get('error', detail['msg'])}", None
    message = detail["msg"]
    return message[:1].lower() + message[1:], None


def _known_keys(known: list[str], key: Key) -> str:
    words = f"one of the keys {', '.join(known)}" if known else "no keys here"
    if key[0] in ("tasks", "queues", "schedules") and len(key) == 3:
        words += f' (a name with a dot is written in quotes: [{key[0]}."{key[1]}.{key[2]}"])'
    return words


def _models(model: type[BaseModel], key: Key) -> Iterator[type[BaseModel]]:
    for annotation in _annotations(model, key):
        if isinstance(annotation, type) and issubclass(annotation, BaseModel):
            yield annotation


def _annotations(annotation: Any, key: Key) -> Iterator[Any]:
    """The plain types that the value at `key` may have."""
    arguments = get_args(annotation)
    if hasattr(annotation, "__value__"):
        yield from _annotations(annotation.__value__, key)
    elif isinstance(annotation, type) and issubclass(annotation, BaseModel):
        if not key:
            yield annotation
            return
        for name, info in annotation.model_fields.items():
            if key[0] in (name, info.alias):
                yield from _annotations(info.annotation, key[1:])
                return
        extra = annotation.__annotations__.get("__pydantic_extra__")
        if extra is not None:
            yield from _annotations(_extra_type(annotation), key[1:])
    elif hasattr(annotation, "__metadata__"):
        yield from _annotations(arguments[0], key)
    elif isinstance(get_origin(annotation), type) and issubclass(get_origin(annotation), Mapping):
        yield from _annotations(arguments[-1], key[1:]) if key else (annotation,)
    elif isinstance(get_origin(annotation), type) and get_origin(annotation) in (list, set, frozenset, tuple):
        yield from _annotations(arguments[0], key[1:])
    elif arguments:
        for argument in arguments:
            yield from _annotations(argument, key)
    else:
        yield annotation


def _extra_type(model: type[BaseModel]) -> Any:
    from typing import get_type_hints

    return get_args(get_type_hints(model)["__pydantic_extra__"])[-1]
