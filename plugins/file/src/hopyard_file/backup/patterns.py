"""Which files are meant: patterns as shells have them, on paths below a root."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Sequence


class Patterns:
    """`include` names what is taken (all, where it is empty), `exclude` what is not.

    A pattern without a slash fits the name of a file, or of any folder on the way to it; one with a slash
    fits the path from the root, or that of a folder on the way (`*` goes over slashes, too). Upper and lower
    case are different.
    """

    def __init__(self, include: Sequence[str] = (), exclude: Sequence[str] = ()) -> None:
        self.excluded = tuple(exclude)
        self._include = [_compiled(pattern) for pattern in include]
        self._exclude = [_compiled(pattern) for pattern in exclude]

    def takes(self, path: str) -> bool:
        """Say whether a file at this path is meant."""
        if self._exclude and _fits(self._exclude, path):
            return False
        return not self._include or _fits(self._include, path)

    def enters(self, path: str) -> bool:
        """Say whether a folder is meant; what is in it may not be."""
        return path == "" or not self._exclude or not _fits(self._exclude, path)


def _compiled(pattern: str) -> tuple[bool, re.Pattern[str]]:
    whole = pattern.strip("/")
    return "/" in whole, re.compile(fnmatch.translate(whole))


def _fits(patterns: Sequence[tuple[bool, re.Pattern[str]]], path: str) -> bool:
    names = path.split("/")
    ways = ["/".join(names[: n + 1]) for n in range(len(names))]
    return any(
        any(pattern.match(one) for one in (ways if on_path else names)) for on_path, pattern in patterns
    )
