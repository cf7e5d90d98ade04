"""Which version of a model is there: another one under the same name hears otherwise."""

from __future__ import annotations

import os
from pathlib import Path

from hopyard.errors import InvalidInput

Version = list[tuple[str, int, int]]


def version_of(path: str, setting: str) -> Version:
    """Return names, sizes and times of the last writing of a model: of its file, or those of its directory.

    Raises `InvalidInput` for one that cannot be read, and names the setting.
    """
    place = Path(path)
    try:
        files = sorted(place.iterdir()) if place.is_dir() else [place]
        states = [(one.name, os.stat(one)) for one in files]
    except OSError as error:
        raise InvalidInput(
            f"the model {path} cannot be read: see `{setting}` in the settings ({error.strerror})"
        ) from error
    return [(name, state.st_size, state.st_mtime_ns) for name, state in states]
