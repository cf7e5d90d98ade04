"""The plugin under the contract: its class, its package's sources, and an installation with it."""

from __future__ import annotations

import ast
import inspect
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import importlib_metadata

from hopyard import settings
from hopyard.builtin import BUILTIN
from hopyard.loading import PluginRecord, Plugins, examine_plugins
from hopyard.plugin import Plugin
from hopyard.testing.contract._rules import shortened
from hopyard.testing.hop import Hop

Arguments = Mapping[str, Any]

#: Folders of a package that are not its own code.
_LEFT_OUT: Final = {"tests", "_vendor"}


@dataclass(frozen=True, slots=True)
class Source:
    """One file of the package."""

    path: Path
    tree: ast.Module

    @property
    def shown(self) -> str:
        """Its path as messages have it."""
        return shortened(self.path)


@dataclass
class Subject:
    """What the rules look at.

    `settings` are the core's settings as the plugin needs them; `examples` are arguments of its tasks by
    name, with which they may be called in a test; `distribution` is that of its package, None if it is not
    installed.
    """

    name: str
    cls: type[Plugin[Any]]
    settings: Mapping[str, Any] = field(default_factory=dict)
    examples: Mapping[str, Sequence[Arguments]] = field(default_factory=dict)

    @cached_property
    def distribution(self) -> Any:
        """The distribution that brings the plugin; None if it is not installed."""
        for distribution in importlib_metadata.distributions():
            for entry in distribution.entry_points:
                if (
                    entry.group == "hopyard"
                    and entry.name == self.name
                    and entry.module == self.cls.__module__
                ):
                    return distribution
        return None

    @cached_property
    def package(self) -> str:
        """The top-level package of the plugin's class."""
        return self.cls.__module__.partition(".")[0]

    @cached_property
    def sources(self) -> Sequence[Source]:
        """The package's Python files, without tests; only the class's own file if that is in no package."""
        own = Path(inspect.getfile(self.cls)).resolve()
        module = sys.modules.get(self.package)
        folder = getattr(module, "__path__", None)
        top = Path(next(iter(folder))) if folder else own.parent
        files = sorted(top.rglob("*.py")) if folder else [own]
        kept = [file for file in files if not _LEFT_OUT & {*file.relative_to(top).parts} or file == own]
        found = []
        for file in kept:
            try:
                found.append(Source(file, ast.parse(file.read_bytes(), str(file))))
            except (SyntaxError, ValueError) as error:
                if (file.parent / "__init__.py").exists():  # else it is no module, but a template, say
                    self.unreadable[file] = (getattr(error, "lineno", None) or 1, str(error))
        return found

    @cached_property
    def loaded(self) -> Plugins:
        """The plugin as the loader takes it; whatever is wrong with it is in its record."""
        with tempfile.TemporaryDirectory(prefix="hopyard-contract-") as folder:
            found, faults = settings.examine(
                data=Path(folder),
                overrides=dict(self.settings),
                environ={},
                directory=Path(folder),
                plugin_names=[self.name],
            )
            self.setting_faults = faults
            return examine_plugins(
                found, role="worker", builtin={**BUILTIN, self.name: self.cls}, distributions=[]
            )

    setting_faults: Sequence[Any] = ()

    @cached_property
    def unreadable(self) -> dict[Path, tuple[int, str]]:
        """Modules that Python cannot read: line and reason. Known once `sources` were read."""
        return {}

    @property
    def record(self) -> PluginRecord:
        """What the loader says of it."""
        return self.loaded.record(self.name)

    @property
    def tasks(self) -> list[Any]:
        """Its tasks."""
        return [task for name, task in self.loaded.tasks.items() if name.partition(".")[0] == self.name]

    @contextmanager
    def hop(self) -> Iterator[Hop]:
        """An installation with the plugin, for one rule."""
        with (
            tempfile.TemporaryDirectory(prefix="hopyard-contract-") as folder,
            Hop({self.name: self.cls}, folder=Path(folder) / "data", settings=self.settings) as hop,
        ):
            yield hop
