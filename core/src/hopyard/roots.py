"""Declared directories: the only places in which tasks read and write, by their names in the settings."""

from __future__ import annotations

import errno
import os
from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import Annotated, Final

from pydantic import AfterValidator, Field

from hopyard import trees
from hopyard.errors import InvalidInput
from hopyard.plugin import PluginSettings

__all__ = ["Root", "Roots", "chosen", "open_file", "place", "way_below", "writable"]

#: What belongs to the system as a whole, or is no real file at all.
_SYSTEM: Final = frozenset(
    f"/{name}"
    for name in (
        *("", "bin", "boot", "dev", "etc", "home", "lib", "lib64", "media", "mnt", "opt", "proc", "root"),
        *("run", "sbin", "srv", "sys", "tmp", "usr", "var", "var/lib", "var/tmp"),
    )
)
_KERNEL: Final = ("/dev/", "/proc/", "/sys/")
_LONGEST: Final = 4_000


def place(text: str) -> str:
    """Return an absolute path as it is written shortest. Raises `ValueError` for the system's own places."""
    path = PurePosixPath(text)
    if not path.is_absolute() or ".." in path.parts or "\0" in text:
        raise ValueError(f"expected an absolute path without `..`, found {text!r}")
    plain = "/" + str(path).lstrip("/")
    if plain in _SYSTEM or plain.startswith(_KERNEL):
        raise ValueError(f"expected a directory of its own, found the system's {plain}")
    return plain


class Root(PluginSettings):
    """A directory that tasks may work in."""

    path: Annotated[str, AfterValidator(place)] = Field(description="The directory; absolute, no link in it.")
    writable: bool = Field(False, description="Whether tasks may make files below it.")


#: A settings field: the directories by name.
Roots = dict[Annotated[str, Field(pattern=r"^[a-z][a-z0-9_-]{0,62}$")], Root]


def chosen(roots: Mapping[str, Root], name: str) -> Root:
    """Return a declared root. Raises `InvalidInput` with those that there are."""
    if name not in roots:
        told = ", ".join(sorted(roots)) or "none: declare it in the plugin's settings, under `roots`"
        raise InvalidInput(f"root: found {name[:80]!r}, expected one of: {told}")
    return roots[name]


def writable(roots: Mapping[str, Root], name: str) -> Root:
    """Return a declared root in which files may be made. Raises `InvalidInput`."""
    found = chosen(roots, name)
    if not found.writable:
        raise InvalidInput(
            f"root `{name}`: found one that tasks only read, expected one with `writable = true`"
        )
    return found


def way_below(way: str, what: str = "way") -> str:
    """Return a way below a root unchanged. Raises `InvalidInput` unless it is names with `/` between them."""
    parts = way.split("/")
    if not way or len(os.fsencode(way)) > _LONGEST or {"", ".", ".."}.intersection(parts) or "\0" in way:
        raise InvalidInput(
            f"{what}: found {trees.shown(way)!r}, expected names below the root with / between them"
        )
    return way


def open_file(roots: Mapping[str, Root], name: str, way: str) -> int:
    """Return a descriptor of the regular file at `way` below a root, for reading.

    Raises `InvalidInput` for what is not there, is a link, leads through one, or is no regular file, and
    `OSError` for all else.
    """
    path = chosen(roots, name).path
    way_below(way)
    try:
        return trees.open_file(path, way)
    except FileNotFoundError:
        if not os.path.isdir(path):
            raise InvalidInput(f"the root `{name}` is not there: {path}") from None
        raise InvalidInput(f"there is no {trees.shown(way)} in the root `{name}`") from None
    except PermissionError:
        raise InvalidInput(f"{trees.shown(way)} in the root `{name}` may not be read") from None
    except OSError as error:
        if error.errno != errno.ENAMETOOLONG:
            raise
        raise InvalidInput(f"{trees.shown(way)}: expected names of at most 255 bytes") from None
