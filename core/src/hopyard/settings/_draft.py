"""The settings while they are put together: raw values of all sources, and where each is from."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hopyard.errors import Fault
from hopyard.settings._keys import dotted
from hopyard.settings._model import Key


@dataclass(frozen=True, slots=True)
class Origin:
    """A source of values. `base` is the folder that relative paths in it start from."""

    source: str
    base: Path
    file: Path | None = None


@dataclass(slots=True)
class Draft:
    """Values by key; what is placed later wins."""

    environ: Mapping[str, str]
    values: dict[str, Any] = field(default_factory=dict)
    leaves: dict[Key, Origin] = field(default_factory=dict)
    tables: dict[Key, Origin] = field(default_factory=dict)
    secrets: set[Key] = field(default_factory=set)
    faults: list[tuple[Key, Fault]] = field(default_factory=list)

    def place(self, key: Key, value: Any, origin: Origin) -> None:
        """Put a value at `key`: tables are merged, anything else replaces what was there."""
        if isinstance(value, Mapping) and not (_may_be_reference(key) and _is_reference(value)):
            self._place_table(key, value, origin)
            return
        self._forget(key)
        table = self._table(key[:-1], origin)
        self.leaves[key] = origin
        table[str(key[-1])] = self._leaf(key, value, origin)

    def origin(self, key: Key) -> Origin | None:
        """The source of the value at `key`, or of what is nearest above it."""
        for length in range(len(key), 0, -1):
            if key[:length] in self.leaves:
                return self.leaves[key[:length]]
            if key[:length] in self.tables:
                return self.tables[key[:length]]
        return None

    def masked(self, key: Key) -> bool:
        """True where the value came through a reference."""
        return any(key[:length] in self.secrets for length in range(1, len(key) + 1))

    def remove(self, key: Key) -> None:
        """Take a value out, as if it had never been given."""
        above: Any = self.values
        for part in key[:-1]:
            above = above.get(part) if isinstance(above, dict) else None
        if isinstance(above, dict):
            above.pop(key[-1], None)

    def _place_table(self, key: Key, table: Mapping[str, Any], origin: Origin) -> None:
        if key:
            self._table(key, origin)
        for name, value in table.items():
            self.place((*key, name), value, origin)

    def _table(self, key: Key, origin: Origin) -> dict[str, Any]:
        """The table at `key`, made where it is missing; what stands in its way is replaced."""
        table = self.values
        for length in range(1, len(key) + 1):
            inner = table.get(str(key[length - 1]))
            if not isinstance(inner, dict):
                self._forget(key[:length])
                inner = table[str(key[length - 1])] = {}
            self.tables[key[:length]] = origin
            table = inner
        return table

    def _forget(self, key: Key) -> None:
        for known in (self.leaves, self.tables):
            for below in [other for other in known if other[: len(key)] == key]:
                del known[below]
        self.secrets -= {other for other in self.secrets if other[: len(key)] == key}
        self.faults = [(other, fault) for other, fault in self.faults if other[: len(key)] != key]

    def _leaf(self, key: Key, value: Any, origin: Origin) -> Any:
        if isinstance(value, Mapping):
            if _is_reference(value):
                return _anchored(key, self._reference(key, value, origin), origin.base)
            return {name: self._leaf((*key, name), item, origin) for name, item in value.items()}
        if isinstance(value, list | tuple):
            return [self._leaf((*key, index), item, origin) for index, item in enumerate(value)]
        return _anchored(key, value, origin.base)

    def _reference(self, key: Key, reference: Mapping[str, str], origin: Origin) -> str | None:
        self.secrets.add(key)
        ((kind, name),) = reference.items()
        if kind == "env":
            if name in self.environ:
                return self.environ[name]
            found, wanted = (
                f"a reference to the environment variable {name}, which is not set",
                f"{name} to be set",
            )
        else:
            path = origin.base / Path(name).expanduser()
            try:
                return path.read_text(encoding="utf-8").rstrip("\r\n")
            except (OSError, UnicodeDecodeError) as error:
                reason = error.strerror if isinstance(error, OSError) else "not UTF-8"
                found, wanted = f"a reference to the file {path}: {reason}", "a readable text file"
        self.faults.append((key, Fault(origin.source, dotted(key), found, wanted)))
        return None


def _may_be_reference(key: Key) -> bool:
    """Not where a table of free names belongs: there `file` and `env` are names like any other."""
    free_table = (key[:1] == ("schedules",) and key[2:] == ("kwargs",)) or (
        key[:1] == ("plugins",) and key[2:] == ("settings",)
    )
    return bool(key) and not free_table


def _is_reference(value: Mapping[str, Any]) -> bool:
    return len(value) == 1 and all(
        name in ("env", "file") and isinstance(target, str) for name, target in value.items()
    )


def _anchored(key: Key, value: Any, base: Path) -> Any:
    """Relative paths are relative to what names them: the file's folder, or the current one."""
    if key == ("data",) and isinstance(value, str | os.PathLike):
        return Path(os.path.normpath(base / Path(value).expanduser()))
    if key == ("database_url",) and isinstance(value, str) and value.startswith("sqlite"):
        scheme, separator, path = value.partition(":///")
        if separator and path and not path.startswith(("/", ":memory:", "file:")):
            return f"{scheme}:///{os.path.normpath(base / path)}"
    return value
