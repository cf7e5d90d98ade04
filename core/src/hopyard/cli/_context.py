"""What commands work with: the settings and the plugins that the global options lead to."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import click

from hopyard.cli._options import Globals, globals_of
from hopyard.cli._streams import noise_to_stderr, say

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


def load_context(
    role: Role = "cli", *, diagnosis: bool = False, before: Callable[[Settings], None] | None = None
) -> Context:
    """Load settings and plugins; a failed plugin is told on standard error.

    `before` is given the settings before any plugin is imported. Raises ConfigError, and PluginError where
    the settings refuse to start without a plugin: not in a `diagnosis`, which is to find out why.
    """
    current = click.get_current_context(silent=True)
    key = f"{_META}.{role}.{diagnosis}.{_globals()}"
    if current is not None and key in current.meta:
        loaded: Context = current.meta[key]
        return loaded
    settings = load_settings()
    if diagnosis:
        settings = _patient(settings)
    if before is not None:
        before(settings)
    made = Context(settings, _load_plugins(settings, role, diagnosis))
    if current is not None:
        current.meta[key] = made
    return made


def load_hopyard(
    role: Role = "cli", *, diagnosis: bool = False, before: Callable[[Settings], None] | None = None
) -> Hopyard:
    """Load everything and make it this process's Hopyard; for the rest as `load_context`."""
    from hopyard import current
    from hopyard.app import Hopyard

    context = load_context(role, diagnosis=diagnosis, before=before)
    hopyard = Hopyard(context.settings, context.plugins)
    current.set_instance(hopyard)
    return hopyard


def load_core() -> Hopyard:
    """Load the settings and make this process's Hopyard; plugins are imported when somebody asks for them.

    What is wrong with plugins is no matter then. Raises ConfigError.
    """
    from hopyard import current
    from hopyard.app import Hopyard

    settings = _patient(load_settings())
    hopyard = Hopyard(settings, lambda: _load_plugins(settings, "cli", True))
    current.set_instance(hopyard)
    return hopyard


def _load_plugins(settings: Settings, role: Role, diagnosis: bool) -> Plugins:
    from hopyard.builtin import BUILTIN
    from hopyard.loading import examine_plugins, load_plugins

    hush_loader()
    load = examine_plugins if diagnosis else load_plugins
    with noise_to_stderr():
        plugins = load(settings, role=role, builtin=BUILTIN)
    for record in plugins.records:
        if record.failed and role == "cli":  # the log of the other roles has it already
            say(f"plugin {record.name} is {record.state}: {record.reason} ({record.hint})", err=True)
    return plugins


def _patient(settings: Settings) -> Settings:
    """Return settings by which no failed plugin refuses the start."""
    plugins = settings.plugins.model_copy(update={"strict": False})
    entries = plugins.__pydantic_extra__ or {}
    entries |= {
        name: entry.model_copy(update={"on_failure": "quarantine"}) for name, entry in entries.items()
    }
    return settings.model_copy(update={"plugins": plugins})


def hush_loader() -> None:
    """Keep Python's last-resort handler from printing what the command line prints itself.

    Notices to the person who waits go to standard error, unless a log is set up, which has them.
    """
    logger = logging.getLogger("hopyard")
    if not logger.handlers:
        logger.addHandler(logging.NullHandler())
    notices = logging.getLogger("hopyard.notice")
    if not notices.handlers:
        handler = logging.StreamHandler()
        handler.addFilter(lambda record: not logging.getLogger().handlers)
        notices.addHandler(handler)


def _globals() -> Globals:
    return globals_of(click.get_current_context(silent=True))
