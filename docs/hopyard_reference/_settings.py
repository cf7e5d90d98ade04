"""Every setting of the core and of the plugins: key, variable, type, default."""

from __future__ import annotations

import enum
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, is_dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

from hopyard.checks import YEAR
from hopyard.settings import Settings
from hopyard.settings._model import PluginEntry, PluginsSection
from hopyard.settings._values import _duration_field
from pydantic import BaseModel, SecretStr
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from hopyard_reference._plugins import classes
from hopyard_reference._words import said, table

_WORDS = {
    str: "text",
    SecretStr: "text, secret",
    int: "whole number",
    float: "number",
    Decimal: "number",
    bool: "true or false",
    Path: "path",
    Any: "anything",
}
_SIGNS = {"ge": "≥", "gt": ">", "le": "≤", "lt": "<", "min_length": "length ≥", "max_length": "length ≤"}
_HEAD = ("key", "variable", "type", "default", "what")
#: Which table a part of the settings describes, where it is one of many by name.
_NAMED = {"queues": "NAME", "tasks": "NAME", "schedules": "NAME", "people": "NAME"}


@dataclass(frozen=True)
class Setting:
    """One key."""

    key: str
    variable: str
    type: str
    default: str
    what: str


def page() -> str:
    """Return the page's text."""
    parts = [table(_HEAD, map(_row, (one for one in of_model(Settings) if "." not in one.key)))]
    for name, field in Settings.model_fields.items():
        model = _model(field)
        if model is not None:
            title = f"[{name}.{_NAMED[name]}]" if name in _NAMED else f"[{name}]"
            found = [
                one for one in of_model(Settings) if one.key.partition(".")[0] == name and "." in one.key
            ]
            parts.append(f"## `{title}`\n\n{said(model)}\n{table(_HEAD, map(_row, found))}")
    for name, cls in classes():
        model = cls.settings_model()
        found = [*of_model(model, f"plugins.{name}.settings", f"HOPYARD_{name}")]
        parts.append(f"## `[plugins.{name}.settings]`\n\n{said(model)}\n{table(_HEAD, map(_row, found))}")
    return "\n".join(parts)


def of_model(model: type[BaseModel], key: str = "", variable: str = "HOPYARD") -> Iterator[Setting]:
    """Yield all keys of a model; of a table with names of its own those of one, called NAME."""
    for name, field in model.model_fields.items():
        inner, own = _model(field), f"{key}.{name}" if key else name
        called = f"{variable}{'__' if key else '_'}{name}".upper()
        kind = "table" if inner else type_of(field)
        yield Setting(own, called, kind, default_of(field), field.description or "")
        if inner is not None:
            named = (".NAME", "__NAME") if name in _NAMED and not key else ("", "")
            yield from of_model(inner, own + named[0], called + named[1])
        if inner is PluginsSection:
            yield from of_model(PluginEntry, f"{own}.NAME", f"{called}__NAME")


def _model(field: FieldInfo) -> type[BaseModel] | None:
    """Return the model of a table, or of each of the tables in it."""
    for one in (field.annotation, *get_args(field.annotation)):
        if isinstance(one, type) and issubclass(one, BaseModel):
            return one
    return None


def type_of(field: FieldInfo) -> str:
    """Return a setting's type in a few words, with its bounds."""
    return _bounded(_type(field.annotation), field.metadata)


def _bounded(words: str, constraints: Iterable[Any]) -> str:
    flat = [each for one in constraints for each in (one.metadata if isinstance(one, FieldInfo) else [one])]
    if any(getattr(one, "func", None) is _duration_field for one in flat):
        words = "duration"
    bounds = dict[str, str]()  # the last one of a kind is the narrowest
    for one in flat:
        for name, sign in _SIGNS.items():
            value = getattr(one, name, None)
            if value is not None and value != YEAR:
                bounds[name] = f"{sign} {value:,}"
    return ", ".join([words, *bounds.values()])


def _type(annotation: Any) -> str:
    if hasattr(annotation, "__metadata__"):
        return _bounded(_type(annotation.__origin__), annotation.__metadata__)
    origin, arguments = get_origin(annotation), [one for one in get_args(annotation) if one is not type(None)]
    if origin is Literal:
        return " or ".join(f"`{one}`" for one in arguments)
    if annotation in _WORDS:
        return _WORDS[annotation]
    if isinstance(annotation, type) and issubclass(annotation, enum.Enum):
        return " or ".join(f"`{one.value}`" for one in annotation)
    if is_dataclass(annotation) and isinstance(annotation, type):  # a value of the plugin's own
        return annotation.__name__.lower()
    if origin in (list, tuple, frozenset, set):
        return f"list of {_type(arguments[0])}"
    if origin is dict:
        return "table"
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return "table"
    if origin is not None and arguments:
        return " or ".join(dict.fromkeys(map(_type, arguments)))
    raise TypeError(f"nobody said how the type {annotation} is called in the reference")


def default_of(field: FieldInfo) -> str:
    """Return a setting's default; empty where there is none, or where it is made when it is needed."""
    if field.default is PydanticUndefined or field.default is None or isinstance(field.default, BaseModel):
        return ""
    value = field.default
    shown = [*value] if isinstance(value, tuple | list | frozenset) else value
    return f"`{str(shown).lower() if isinstance(shown, bool) else shown}`"


def _row(one: Setting) -> tuple[str, ...]:
    return f"`{one.key}`", f"`{one.variable}`", one.type, one.default, one.what
