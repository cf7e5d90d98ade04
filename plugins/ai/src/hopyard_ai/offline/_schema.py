"""A tool's parameters, read from its JSON schema."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from hopyard_ai.offline._words import name_words, vocabulary, words_of

_DATE_WORDS = vocabulary("date day deadline due birthday")
_MOMENT_WORDS = vocabulary("datetime timestamp when moment")
_FORMATS = {
    "email": vocabulary("email mail recipient recipients emails mails cc bcc"),
    "uri": vocabulary("url uri link website webpage urls links site endpoint"),
    "phone": vocabulary("phone mobile telephone msisdn"),
    "path": vocabulary("path file filename folder directory filepath dir paths files folders"),
}


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter. `kind` is its JSON type; `form`: email, uri, path, phone, date, date-time, time."""

    name: str
    kind: str
    required: bool
    options: tuple[Any, ...] = ()
    form: str = ""
    pattern: str = ""
    item: Parameter | None = None
    fields: tuple[Parameter, ...] = ()
    description: str = ""

    @property
    def words(self) -> list[str]:
        return name_words(self.name)

    @property
    def hints(self) -> frozenset[str]:
        """The words of its name and description."""
        said = [word.lower for word in words_of(self.description) if word.kind == "word"]
        return frozenset([*self.words, *said])


def parameters(schema: Mapping[str, Any]) -> list[Parameter]:
    """The parameters of an object schema; references and optional types are followed."""
    return _fields(schema, schema.get("$defs", {}), 0)


def _fields(schema: Mapping[str, Any], defs: Mapping[str, Any], depth: int) -> list[Parameter]:
    required = schema.get("required", ())
    properties = schema.get("properties", {})
    return [_parameter(name, raw, name in required, defs, depth) for name, raw in properties.items()]


def _parameter(name: str, raw: Any, required: bool, defs: Mapping[str, Any], depth: int) -> Parameter:
    schema = _followed(raw if isinstance(raw, Mapping) else {}, defs)
    options = tuple(schema["enum"]) if "enum" in schema else ((schema["const"],) if "const" in schema else ())
    kind = str(schema.get("type") or ("string" if options and isinstance(options[0], str) else "any"))
    deeper = depth < 4
    return Parameter(
        name=name,
        kind=kind,
        required=required,
        options=options,
        form=_form(name, kind, str(schema.get("format", ""))),
        pattern=str(schema.get("pattern", "")),
        item=_parameter(name, schema.get("items", {}), True, defs, depth + 1)
        if kind == "array" and deeper
        else None,
        fields=tuple(_fields(schema, defs, depth + 1)) if kind == "object" and deeper else (),
        description=str(schema.get("description", "")),
    )


def _followed(schema: Mapping[str, Any], defs: Mapping[str, Any]) -> dict[str, Any]:
    """The schema with its reference, and the first alternative that is not null, in place of them."""
    found = dict(schema)
    for _ in range(8):
        if "$ref" in found:
            target = defs.get(str(found.pop("$ref")).rsplit("/", 1)[-1], {})
            found = {**target, **found}
        elif any(key in found for key in ("anyOf", "oneOf", "allOf")):
            key = next(key for key in ("anyOf", "oneOf", "allOf") if key in found)
            real = [
                item for item in found.pop(key) if isinstance(item, Mapping) and item.get("type") != "null"
            ]
            found = {**(real[0] if real else {}), **found}
        else:
            break
    if isinstance(found.get("type"), list):
        found["type"] = next((item for item in found["type"] if item != "null"), "string")
    return found


def _form(name: str, kind: str, given: str) -> str:
    if given in ("email", "uri", "date", "date-time", "time", "path"):
        return given
    if kind not in ("string", "array") or given:
        return ""
    words = set(name_words(name))
    for form, typical in _FORMATS.items():
        if words & typical:
            return form
    if words & _MOMENT_WORDS:
        return "date-time"
    if words & _DATE_WORDS:
        return "date"
    return "time" if words == {"time"} else ""
