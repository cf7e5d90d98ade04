"""Finds, checks and loads plugins. Whatever is wrong with one of them ends only that one.

Names are loaded when they are first used: listing installed plugins needs no more than `_discovery`.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hopyard.loading._callers import Caller, Callers
    from hopyard.loading._discovery import (
        RESERVED,
        SITE,
        candidates,
        installed_names,
        normal_name,
        wrong_name,
    )
    from hopyard.loading._effective import effective
    from hopyard.loading._leaving import Moved
    from hopyard.loading._loader import examine_plugins, load_plugins
    from hopyard.loading._plugins import Plugins
    from hopyard.loading._records import DeclaredTask, PluginRecord, PluginState
    from hopyard.loading._telling import EventTeller

_HOME = {
    "Caller": "_callers",
    "Callers": "_callers",
    "RESERVED": "_discovery",
    "SITE": "_discovery",
    "candidates": "_discovery",
    "installed_names": "_discovery",
    "normal_name": "_discovery",
    "wrong_name": "_discovery",
    "effective": "_effective",
    "examine_plugins": "_loader",
    "load_plugins": "_loader",
    "Moved": "_leaving",
    "Plugins": "_plugins",
    "EventTeller": "_telling",
    "DeclaredTask": "_records",
    "PluginRecord": "_records",
    "PluginState": "_records",
}

__all__ = [
    "RESERVED",
    "SITE",
    "Caller",
    "Callers",
    "DeclaredTask",
    "EventTeller",
    "Moved",
    "PluginRecord",
    "PluginState",
    "Plugins",
    "candidates",
    "effective",
    "examine_plugins",
    "installed_names",
    "load_plugins",
    "normal_name",
    "wrong_name",
]


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
