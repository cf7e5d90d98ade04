"""Loads the settings: all sources together, and every fault at once."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from hopyard import redaction
from hopyard.checks import nearest
from hopyard.errors import ConfigError, Fault
from hopyard.settings._draft import Draft, Origin
from hopyard.settings._faults import explain, looks_secret
from hopyard.settings._keys import dotted
from hopyard.settings._model import Key, Settings
from hopyard.settings._sources import find_file, line_numbers, read_environment, read_file, read_overrides


def load(
    *,
    config: Path | None = None,
    data: Path | None = None,
    overrides: Mapping[str, Any] | None = None,
    environ: Mapping[str, str] | None = None,
    directory: Path | None = None,
    plugin_names: Iterable[str] = (),
) -> Settings:
    """Load the settings; the command line wins over the environment, the file and the defaults.

    `overrides` are the command line's, by dotted key. `plugin_names` are the installed plugins, whose
    settings may be given as `HOPYARD_NAME__KEY`. Relative paths start from `directory`. What is wrong in
    a plugin's own settings is left to the plugin's loading (`Settings.plugin_faults`).

    Raises ConfigError with all other faults.
    """
    settings, faults = examine(
        config=config,
        data=data,
        overrides=overrides,
        environ=environ,
        directory=directory,
        plugin_names=plugin_names,
    )
    if faults:
        raise ConfigError(faults)
    return settings


def examine(
    *,
    config: Path | None = None,
    data: Path | None = None,
    overrides: Mapping[str, Any] | None = None,
    environ: Mapping[str, str] | None = None,
    directory: Path | None = None,
    plugin_names: Iterable[str] = (),
) -> tuple[Settings, list[Fault]]:
    """Like `load`, but return the faults, beside the settings as they are without the faulty values."""
    environ = os.environ if environ is None else environ
    directory = (directory or Path.cwd()).absolute()
    draft = Draft(environ)
    file, named_by = find_file(config, environ, directory)
    if file is not None:
        read_file(draft, file, named_by)
    read_environment(draft, set(plugin_names), directory)
    read_overrides(draft, _with_data(overrides, data, environ, draft, directory), directory)
    return _Check(draft, file, directory).run()


def _with_data(
    overrides: Mapping[str, Any] | None,
    data: Path | None,
    environ: Mapping[str, str],
    draft: Draft,
    directory: Path,
) -> dict[str, Any]:
    """The overrides with `--data`; HOPYARD_DATA wins over the file, which wins over `.hopyard`."""
    if environ.get("HOPYARD_DATA"):
        draft.place(
            ("data",), environ["HOPYARD_DATA"], Origin("environment variable HOPYARD_DATA", directory)
        )
    elif "data" not in draft.values:
        draft.place(("data",), ".hopyard", Origin("default", directory))
    return {**(overrides or {}), **({"data": data} if data is not None else {})}


class _Check:
    """One draft on its way to settings."""

    def __init__(self, draft: Draft, file: Path | None, directory: Path) -> None:
        self.draft = draft
        self.file = file
        self.directory = directory
        self.faults: list[Fault] = []
        self.plugin_faults: dict[str, list[Fault]] = {}
        self._lines: dict[Key, int] | None = None

    def run(self) -> tuple[Settings, list[Fault]]:
        self._take_draft_faults()
        settings = self._validate()
        self._check_people()
        settings._file = self.file
        settings._directory = self.directory
        settings._sources = {key: self.source(key) for key in self.draft.leaves}
        settings._tables = {key: self.source(key) for key in self.draft.tables}
        settings._secrets = frozenset(self.draft.secrets)
        settings._plugin_faults = {name: tuple(faults) for name, faults in self.plugin_faults.items()}
        self._register_secrets(settings)
        return settings, self.faults

    def source(self, key: Key) -> str:
        """Where the value at `key` is from, with the line if it is a file."""
        origin = self.draft.origin(key)
        if origin is None:
            return str(self.file or "settings")
        if origin.file is None:
            return origin.source
        if self._lines is None:
            self._lines = line_numbers(origin.file)
        for length in range(len(key), 0, -1):
            if key[:length] in self._lines:
                return f"{origin.source}:{self._lines[key[:length]]}"
        return origin.source

    def _take_draft_faults(self) -> None:
        """Faults of references; what they stand for is taken out, as it has no value."""
        for key, fault in self.draft.faults:
            if not key:
                self.faults.append(fault)
                continue
            located = Fault(self.source(key), fault.key, fault.found, fault.expected, fault.nearest)
            if len(key) > 3 and key[0] == "plugins" and key[2] == "settings":
                plugin = str(key[1])
                located = Fault(located.source, fault.key, fault.found, fault.expected, None, plugin)
                self.plugin_faults.setdefault(plugin, []).append(located)
            else:
                self.faults.append(located)
            self._take_out(key)

    def _validate(self) -> Settings:
        """Validate, taking faulty values out until the rest is right."""
        taken = {key for key, _ in self.draft.faults}
        while True:
            try:
                return Settings.model_validate(self.draft.values)
            except ValidationError as error:
                found = explain(
                    error, Settings, self.draft.values, source=self.source, masked=self.draft.masked
                )
                for key, fault in found:
                    # What a table lacks only since a faulty value was taken out of it is no fault of its own.
                    if not any(known[: len(key)] == key for known in taken):
                        self.faults.append(fault)
                for key, _ in found:
                    self._take_out(key)
                    taken.add(key)

    def _take_out(self, key: Key) -> None:
        """Remove a value; an item of a list goes with the whole list."""
        indices = [position for position, part in enumerate(key) if isinstance(part, int)]
        self.draft.remove(key[: indices[0]] if indices else key)

    def _check_people(self) -> None:
        people, alerts = self.draft.values.get("people", {}), self.draft.values.get("alerts", {})
        for index, name in enumerate(alerts.get("to", [])):
            if name not in people:
                key = ("alerts", "to", index)
                close = nearest(str(name), people)
                self.faults.append(
                    Fault(self.source(key), dotted(key), f'"{name}"', "a key of [people]", close)
                )

    def _register_secrets(self, settings: Settings) -> None:
        redaction.register_model(settings)
        for key in self.draft.secrets:
            value: Any = self.draft.values
            for part in key:
                value = value.get(part) if isinstance(value, dict) else None
            if isinstance(value, str) and any(looks_secret(str(part)) for part in key):
                redaction.register(value)
