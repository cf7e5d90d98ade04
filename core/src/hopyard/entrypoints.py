"""Entry points of installed packages, read so that one package with broken metadata hides no other.

Not only Hopyard asks all installed packages for their entry points, by way of the standard library: pydantic,
Celery, SQLAlchemy and others do. One malformed `entry_points.txt` of a foreign package would end
each of them, and with them every command. So the property that reads the file is wrapped, once.
"""

from __future__ import annotations

import functools
import importlib.metadata
import logging
from typing import Any

logger = logging.getLogger("hopyard.notice")


def tolerate(metadata: Any) -> None:
    """Let `metadata` (`importlib.metadata` or its backport) leave out a broken file, and say so."""
    plain = metadata.Distribution.entry_points.fget
    if hasattr(plain, "__wrapped__"):
        return

    @functools.wraps(plain)
    def entry_points(self: Any) -> Any:
        try:
            return plain(self)
        except Exception as error:  # noqa: BLE001 - whatever the parser meets in a foreign file; it is named
            _name_once(_project(self), f"{type(error).__name__}: {error}")
            return metadata.EntryPoints(())

    metadata.Distribution.entry_points = property(entry_points)


@functools.cache
def _name_once(project: str, reason: str) -> None:
    logger.warning("the entry points of %s cannot be read and are left out: %s", project, reason)


def _project(distribution: Any) -> str:
    try:
        return str(distribution.metadata["Name"] or "a distribution without a name")
    except Exception as error:  # noqa: BLE001 - its other file is broken, too
        return f"a distribution whose metadata cannot be read ({type(error).__name__})"


tolerate(importlib.metadata)
