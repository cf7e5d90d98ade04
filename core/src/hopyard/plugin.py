"""The base class of plugins: class attributes are the manifest, hook methods return data."""

from __future__ import annotations

from typing import ClassVar, Generic, Self, TypeVar, get_args

from pydantic import BaseModel, ConfigDict

from hopyard import (
    current,
    entrypoints,  # noqa: F401 - before the first model: pydantic then reads those of all packages
)


class PluginSettings(BaseModel):
    """Base of a plugin's settings model: unknown keys are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True)


S = TypeVar("S", bound=BaseModel)


class Plugin(Generic[S]):
    """One task family. Subclass as `class AI(Plugin[AISettings])`; implement hooks with `@hookimpl`.

    The name is the entry point's name; the distribution's metadata has version, summary and author.
    `self.settings` is the validated settings model.
    """

    requires: ClassVar[tuple[str, ...]] = ()
    """Plugins that must be enabled too, loaded before this one."""
    after: ClassVar[tuple[str, ...]] = ()
    """Plugins that are loaded before this one where they are present."""
    hookspecs: ClassVar[type | None] = None
    """A class of this plugin's own hook specifications, which other plugins may implement."""
    migrations: ClassVar[str | None] = None
    """Importable package with this plugin's migrations, e.g. `hopyard_ai.migrations`."""

    def __init__(self, name: str, settings: S) -> None:
        self.name = name
        self.settings = settings

    @classmethod
    def current(cls) -> Self:
        """Return this process's instance of the plugin, with its settings: `AI.current().settings.model`.

        For tasks and other code that has no `self` of the plugin. Raises `PluginError` with the reason if the
        plugin is not enabled here.
        """
        found: Self = current.get().plugins.instance(cls)
        return found

    @classmethod
    def settings_model(cls) -> type[BaseModel]:
        """The model named in `Plugin[...]`; an empty one if there is none."""
        for base in cls.__mro__:
            for generic in getattr(base, "__orig_bases__", ()):
                for argument in get_args(generic):
                    if isinstance(argument, type) and issubclass(argument, BaseModel):
                        return argument
        return PluginSettings
