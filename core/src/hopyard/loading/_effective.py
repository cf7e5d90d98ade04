"""All settings as they are in effect, those of plugins among them, each with its source."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from hopyard.hookspecs import PROJECT
from hopyard.redaction import MASK
from hopyard.settings import dotted, looks_secret

if TYPE_CHECKING:
    from hopyard.loading._plugins import Plugins
    from hopyard.settings import Key, Settings


def effective(settings: Settings, plugins: Plugins) -> list[dict[str, Any]]:
    """Return rows of key, value and source; secrets are masked."""
    values = settings.model_dump(mode="json")
    for name in plugins.names:
        if name != PROJECT:  # the core's own plugin has no settings
            entry = values["plugins"].setdefault(name, settings.plugin(name).model_dump(mode="json"))
            entry["settings"] = plugins.get(name).settings.model_dump(mode="json")
    rows = []
    for key, value in _leaves((), values):
        hidden = settings.masked(*key) or looks_secret(str(key[-1])) or value == "**********"
        shown = MASK if hidden and value is not None else value
        rows.append({"key": dotted(key), "value": shown, "source": settings.source(*key)})
    return rows


def _leaves(key: Key, value: Any) -> Iterator[tuple[Key, Any]]:
    if isinstance(value, Mapping) and (value or not key):
        for name, inner in value.items():
            yield from _leaves((*key, str(name)), inner)
    elif isinstance(value, list) and "**********" in value:
        yield key, [MASK for _ in value]
    else:
        yield key, value
