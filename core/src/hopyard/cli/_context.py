"""What commands work with: the settings and the plugins that the global options lead to."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING

import click

from hopyard.cli._options import Globals, globals_of

if TYPE_CHECKING:
    from hopyard.app import Hopyard
    from hopyard.errors import Fault
    from hopyard.hookspecs import Role
    from hopyard.loading import Plugins
    from hopyard.settings import Settings

_META = "hopyard.cli.context"


@dataclass(frozen=True, slots=True)
class Context:
    """Settings and plugins of one command."""

    settings: Settings
    plugins: Plugins


def load_settings() -> Settings:
    """Load the settings that the global options name. Raises ConfigError with all faults."""
    from hopyard import settings
    from hopyard.loading import installed_names

    given = _globals()
    return settings.load(
        config=given.config, data=given.data, overrides=given.overrides, plugin_names=installed_names()
    )


def examine_settings() -> tuple[Settings, list[Fault]]:
    """Like `load_settings`, but return the faults beside what is right."""
    from hopyard import settings
    from hopyard.loading import installed_names

    given = _globals()
    return settings.examine(
        config=given.config, data=given.data, overrides=given.overrides, plugin_names=installed_names()
    )


def load_context(role: Role = "cli") -> Context:
    """Load settings and plugins; a failed plugin is told on standard error.

    Raises ConfigError, and PluginError where the settings refuse to start without a plugin.
    """
    from hopyard.builtin import BUILTIN
    from hopyard.loading import load_plugins

    current = click.get_current_context(silent=True)
    key = f"{_META}.{role}.{_globals()}"
    if current is not None and key in current.meta:
        loaded: Context = current.meta[key]
        return loaded
    hush_loader()
    settings = load_settings()
    plugins = load_plugins(settings, role=role, builtin=BUILTIN)
    for record in plugins.records:
        if record.failed:
            click.echo(f"plugin {record.name} is {record.state}: {record.reason} ({record.hint})", err=True)
    made = Context(settings, plugins)
    if current is not None:
        current.meta[key] = made
    return made


def load_hopyard(role: Role = "cli") -> Hopyard:
    """Load everything and make it this process's Hopyard. Raises as `load_context`."""
    from hopyard import current
    from hopyard.app import Hopyard

    context = load_context(role)
    hopyard = Hopyard(context.settings, context.plugins)
    current.set_instance(hopyard)
    return hopyard


def hush_loader() -> None:
    """Keep Python's last-resort handler from printing what the command line prints itself."""
    logger = logging.getLogger("hopyard")
    if not logger.handlers:
        logger.addHandler(logging.NullHandler())


def _globals() -> Globals:
    return globals_of(click.get_current_context(silent=True))
