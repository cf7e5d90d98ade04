"""The settings while they are put together: raw values of all sources, and where each is from."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hopyard import files
from hopyard.checks import printable, storable
from hopyard.errors import Fault
from hopyard.settings._keys import dotted
from hopyard.settings._model import Key

#: How deep lists and tables may be within each other: far more than any setting needs.
_DEEPEST = 30
_LARGEST = 2**63 - 1
_TEXT_FILE = f"a readable text file of at most {files.MAX_VALUE:,} bytes"


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
        if key and not self._placeable(key, origin):
            return
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

    def _placeable(self, key: Key, origin: Origin) -> bool:
        """Note a fault for a key that no setting can have: too deep, or with letters that are none."""
        name = str(key[-1])
        if len(key) > _DEEPEST:
            # Told once, of what holds it: the whole of that is left out.
            outer = next((key[:n] for n, part in enumerate(key) if isinstance(part, int)), key[:3])
            found = f"lists and tables that are more than {_DEEPEST} deep"
            if (outer, found) not in [(other, fault.found) for other, fault in self.faults]:
                self._fault(outer, origin, found, f"at most {_DEEPEST} levels")
            return False
        if storable(name) != name:
            self._fault(key, origin, "a name with NUL or bytes that are not UTF-8", "a name in UTF-8")
            return False
        return True

    def _fault(self, key: Key, origin: Origin, found: str, expected: str) -> None:
        self.faults.append((key, Fault(origin.source, dotted(key), found, expected)))

    def _text(self, key: Key, value: str, origin: Origin) -> str | None:
        """Return a text as it is; None, with a fault, for one that no file name or database can hold."""
        if storable(value) == value:
            return value
        self._fault(key, origin, "text with NUL or bytes that are not UTF-8", "text in UTF-8 without NUL")
        return None

    def _leaf(self, key: Key, value: Any, origin: Origin) -> Any:
        if not self._placeable(key, origin):
            return None
        if isinstance(value, Mapping):
            if _is_reference(value):
                found = self._reference(key, value, origin)
                return found if found is None else self._anchored(key, self._text(key, found, origin), origin)
            return {name: self._leaf((*key, name), item, origin) for name, item in value.items()}
        if isinstance(value, list | tuple):
            return [self._leaf((*key, index), item, origin) for index, item in enumerate(value)]
        if isinstance(value, str):
            value = self._text(key, value, origin)
        if isinstance(value, int) and not -_LARGEST <= value <= _LARGEST:
            self._fault(key, origin, "a number of more than 64 bits", f"a number of at most {_LARGEST:,}")
            return None
        return self._anchored(key, value, origin)

    def _anchored(self, key: Key, value: Any, origin: Origin) -> Any:
        """Relative paths are relative to what names them: the file's folder, or the current one."""
        if key == ("data",) and isinstance(value, str | os.PathLike):
            if self._text(key, os.fspath(value), origin) is None:
                return None
            try:
                return Path(os.path.normpath(origin.base / Path(value).expanduser()))
            except RuntimeError as error:  # `~name` of nobody
                self._fault(key, origin, f"{os.fspath(value)}: {error}", "a folder")
                return None
        if key == ("database_url",) and isinstance(value, str) and value.startswith("sqlite"):
            scheme, separator, path = value.partition(":///")
            if separator and path and not path.startswith(("/", ":memory:", "file:")):
                return f"{scheme}:///{os.path.normpath(origin.base / path)}"
        return value

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
            place = printable(str(origin.base / name))
            try:
                path = origin.base / Path(name).expanduser()
                return files.read_text(path, files.MAX_VALUE).rstrip("\r\n")
            except (OSError, ValueError, RuntimeError) as error:
                reason = getattr(error, "strerror", None) or "not UTF-8"
                reason = "no file name" if "null byte" in str(error) else reason
                found, wanted = f"a reference to the file {place}: {reason}", _TEXT_FILE
        self._fault(key, origin, found, wanted)
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
