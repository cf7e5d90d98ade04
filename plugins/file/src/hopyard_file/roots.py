"""The declared directories of this plugin's settings, by name; see `hopyard.roots`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hopyard import roots as declared
from hopyard.roots import Root, way_below

if TYPE_CHECKING:
    from hopyard_file.settings import FileSettings

__all__ = ["Root", "open_file", "root", "settings", "way_below", "writable"]


def settings() -> FileSettings:
    """Return the plugin's settings in this process."""
    from hopyard_file import File

    return File.current().settings


def root(name: str) -> Root:
    """Return a declared root. Raises `InvalidInput` with those that there are."""
    return declared.chosen(settings().roots, name)


def writable(name: str) -> Root:
    """Return a declared root in which files may be made. Raises `InvalidInput`."""
    return declared.writable(settings().roots, name)


def open_file(name: str, way: str) -> int:
    """Return a descriptor of the regular file at `way` below the root `name`. Raises as `hopyard.roots`."""
    return declared.open_file(settings().roots, name, way)
