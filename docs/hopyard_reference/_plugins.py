"""The plugins of this repository, whose settings, hooks and commands are in the reference."""

from __future__ import annotations

from importlib.metadata import entry_points
from typing import Any

from hopyard import Plugin


def classes() -> list[tuple[str, type[Plugin[Any]]]]:
    """Return the installed plugins of this project: names and classes."""
    found = [entry for entry in entry_points(group="hopyard") if _ours(entry)]
    return sorted(((entry.name, entry.load()) for entry in found), key=lambda one: one[0])


def _ours(entry: Any) -> bool:
    return bool(entry.dist and entry.dist.name == f"hopyard-{entry.name.replace('_', '-')}")
