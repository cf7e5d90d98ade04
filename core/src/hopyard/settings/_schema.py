"""One JSON Schema of all settings, the plugins' included: editors complete and check the file with it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import JsonSchemaValue, models_json_schema

from hopyard.settings._model import PluginEntry, Settings

_REFERENCE = {
    "title": "Reference",
    "description": "The value of an environment variable or the text of a file.",
    "oneOf": [
        {
            "type": "object",
            "properties": {kind: {"type": "string"}},
            "required": [kind],
            "additionalProperties": False,
        }
        for kind in ("env", "file")
    ],
}


def schema(plugin_models: Mapping[str, type[BaseModel]]) -> dict[str, Any]:
    """JSON Schema (draft 2020-12) of `hopyard.toml` with the settings of the given plugins, by name."""
    models: list[type[BaseModel]] = list(dict.fromkeys([Settings, PluginEntry, *plugin_models.values()]))
    by_model, shared = models_json_schema([(model, "validation") for model in models])
    definitions: dict[str, Any] = shared["$defs"]
    definitions["Reference"] = _REFERENCE
    root = _resolve(by_model[Settings, "validation"], definitions)
    plugins = dict(_resolve(root["properties"]["plugins"], definitions))
    entry = _resolve(by_model[PluginEntry, "validation"], definitions)
    plugins["properties"] = dict(plugins["properties"])
    for name, model in plugin_models.items():
        properties = {**entry["properties"], "settings": by_model[model, "validation"]}
        plugins["properties"][name] = {**entry, "title": name, "properties": properties}
    document = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **root,
        "title": "hopyard.toml",
        "properties": {**root["properties"], "plugins": plugins},
        "$defs": definitions,
    }
    return {key: value if key == "$defs" else _with_references(value) for key, value in document.items()} | {
        "$defs": {
            name: value if name == "Reference" else _with_references(value)
            for name, value in definitions.items()
        }
    }


def _resolve(value: JsonSchemaValue, definitions: Mapping[str, Any]) -> dict[str, Any]:
    reference = value.get("$ref")
    return dict(definitions[reference.rpartition("/")[2]]) if reference else dict(value)


def _with_references(value: Any) -> Any:
    """Secrets may be given as a reference wherever a text may stand."""
    if isinstance(value, list):
        return [_with_references(item) for item in value]
    if not isinstance(value, dict):
        return value
    if value.get("format") == "password":
        return {"anyOf": [value, {"$ref": "#/$defs/Reference"}]}
    return {key: _with_references(item) for key, item in value.items()}
