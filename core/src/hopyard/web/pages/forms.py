"""A form from a task's JSON schema: which field each argument has."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from hopyard.display import to_json

#: Types whose values a field says by its text alone.
_SCALARS: Final = ("string", "number", "integer")
_LONG: Final = 200


@dataclass(frozen=True, slots=True)
class Field:
    """An argument.

    `kind` is what its text stands for: string, text (of several lines), number, integer, boolean, choice,
    list (a value a line, each of the kind `items`) or json.
    """

    name: str
    kind: str
    required: bool
    hint: str
    default: str
    choices: tuple[tuple[str, str], ...] = ()
    items: str = ""
    least: Any = None
    most: Any = None


def fields(schema: Mapping[str, Any]) -> list[Field]:
    """Return the fields of an object's schema, those that are required first."""
    required = schema.get("required", ())
    named = schema.get("$defs", {})
    found = [
        _field(name, _resolved(one, named), one, name in required)
        for name, one in schema.get("properties", {}).items()
    ]
    return sorted(found, key=lambda field: not field.required)


def _resolved(schema: Mapping[str, Any], named: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return what a schema refers to, or what it is unless null."""
    for _ in range(8):  # a name may lead to another one; more than a few lead in circles
        if "$ref" in schema:
            schema = named.get(str(schema["$ref"]).rpartition("/")[2], {})
        elif len(schema.get("allOf", ())) == 1:
            schema = schema["allOf"][0]
        elif "anyOf" in schema:
            some = [one for one in schema["anyOf"] if one.get("type") != "null"]
            if len(some) != 1:
                return {}
            schema = some[0]
        else:
            return schema
    return {}


def _field(name: str, schema: Mapping[str, Any], outer: Mapping[str, Any], required: bool) -> Field:
    default = outer.get("default", schema.get("default"))
    kind, items, choices = _kind(schema)
    return Field(
        name,
        kind,
        required,
        str(outer.get("description") or schema.get("description") or _hint(schema)),
        _text(default, kind),
        choices,
        items,
        schema.get("minimum", schema.get("exclusiveMinimum")),
        schema.get("maximum", schema.get("exclusiveMaximum")),
    )


def _kind(schema: Mapping[str, Any]) -> tuple[str, str, tuple[tuple[str, str], ...]]:
    values = schema.get("enum", [schema["const"]] if "const" in schema else None)
    if values is not None:
        return (
            "choice",
            "",
            tuple((to_json(one), one if isinstance(one, str) else to_json(one)) for one in values),
        )
    kind = schema.get("type")
    if kind == "string":
        return ("text" if (schema.get("maxLength") or 0) > _LONG else "string"), "", ()
    if kind in (*_SCALARS, "boolean"):
        return str(kind), "", ()
    items = schema.get("items", {})
    if (
        kind == "array"
        and isinstance(items, Mapping)
        and items.get("type") in _SCALARS
        and "enum" not in items
    ):
        return "list", str(items["type"]), ()
    return "json", "", ()


def _hint(schema: Mapping[str, Any]) -> str:
    """Say what a text looks like, where the schema does."""
    formats = {
        "date-time": "2027-01-31T08:00:00Z",
        "date": "2027-01-31",
        "uri": "https://…",
        "duration": "PT5M",
    }
    return f"such as {formats[schema['format']]}" if schema.get("format") in formats else ""


def _text(default: Any, kind: str) -> str:
    if default is None:
        return ""
    if kind == "list" and isinstance(default, list):
        return "\n".join(str(one) for one in default)
    if kind in ("choice", "json", "boolean"):
        return to_json(default)
    return str(default)
