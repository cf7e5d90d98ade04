"""What both sides of a connection look like to the engine."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Here:
    """A file of this machine. `stamp` changes with it; `modified` is in seconds since 1970."""

    size: int
    modified: float
    stamp: str


@dataclass(frozen=True, slots=True)
class There:
    """A file of the other side. `checksums` are hexadecimal, by `md5`, `sha1`, `sha256`, if it tells them."""

    size: int
    modified: float
    stamp: str
    checksums: Mapping[str, str] = field(default_factory=dict)


class Blocks(Protocol):
    """The content of a file, in pieces; it can be read several times."""

    size: int

    def __call__(self) -> AsyncIterator[bytes]: ...


class Far(Protocol):
    """The other side. All raise the core's errors of tasks, and `FileNotFoundError` for what is not there."""

    async def listed(self, most: int) -> dict[str, There]:
        """Return all files, by path. Raises `InvalidInput` where there are more than `most`."""

    async def look(self, path: str) -> There | None:
        """Return a file as it is now; None if there is none."""

    def read(self, path: str) -> AsyncIterator[bytes]:
        """Yield a file's content."""

    async def write(self, path: str, blocks: Blocks) -> There:
        """Store a file, whole or not at all; return what is there then."""

    async def delete(self, path: str) -> None:
        """Remove a file, if it is there."""

    async def close(self) -> None:
        """Give back what was opened."""
