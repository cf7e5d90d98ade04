"""Cutting files into pieces where their content says so, and storing those that are not there yet.

FastCDC (Xia and others, "The Design of Fast Content-Defined Chunking", 2020) by pyfastcdc: a byte that is put
into a long file changes the piece that it is in, and the others are found to be there. A file that is shorter
than the least piece is one piece.
"""

from __future__ import annotations

import io
import os
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Final

from hopyard_file.backup.engine.manifest import MAX_CHUNKS
from hopyard_file.backup.engine.packs import DATA, LIST
from hopyard_file.backup.engine.repository import Repository

#: Bytes of the shortest, the aimed-at and the longest piece; changing them stores everything anew.
SHORTEST: Final = 256 << 10
AIM: Final = 1 << 20
LONGEST: Final = 4 << 20
_INLINE: Final = 32 << 10
_MOST_WAITING: Final = 8


class Pieces:
    """Stores blobs; threads compress them, since zstandard leaves Python's lock to others."""

    def __init__(self, repository: Repository) -> None:
        self._repository = repository
        self._pool = ThreadPoolExecutor(2, "compress")
        self._waiting: deque[tuple[int, bytes, int, Future[bytes]]] = deque()
        self._names: set[bytes] = set()

    def close(self) -> None:
        """Give up what still waits."""
        self._pool.shutdown(cancel_futures=True)

    def add(self, kind: int, data: bytes | memoryview) -> bytes:
        """Have a blob stored unless it is there; return its name."""
        name = self._repository.seals.name(data)
        if self._known(name):
            return name
        if len(data) <= _INLINE:
            self._repository.add(kind, name, data)
            return name
        held = bytes(data)
        self._names.add(name)
        future = self._pool.submit(self._repository.seals.squeezed, held)
        self._waiting.append((kind, name, len(held), future))
        self._settle(_MOST_WAITING)
        return name

    def known(self, name: bytes) -> bool:
        """Say whether a blob is in the repository, whole as far as is known."""
        return self._known(name)

    def flush(self) -> None:
        """Have all that was added in the repository for good."""
        self._settle(0)
        self._repository.flush()

    def _known(self, name: bytes) -> bool:
        repository = self._repository
        return name in self._names or repository.pending(name) or repository.catalog.has(name)

    def _settle(self, left: int) -> None:
        while len(self._waiting) > left:
            kind, name, raw, future = self._waiting.popleft()
            self._repository.add_squeezed(kind, name, raw, future.result())
            self._names.discard(name)


def store_file(
    descriptor: int, size: int, pieces: Pieces, read: Callable[[int], None]
) -> tuple[tuple[bytes, ...], bool, int]:
    """Store an open file of about `size` bytes.

    Returns the names of its pieces, whether these are names of lists of names, and how many bytes there were.
    `read` is told of bytes as they come.
    """
    names: list[bytes] = []
    lists: list[bytes] = []
    total = 0
    for data in _cut(descriptor, size):
        names.append(pieces.add(DATA, data))
        total += len(data)
        read(len(data))
        if len(names) >= MAX_CHUNKS:
            lists.append(pieces.add(LIST, b"".join(names)))
            names.clear()
    if not lists:
        return tuple(names), False, total
    if names:
        lists.append(pieces.add(LIST, b"".join(names)))
    return tuple(lists), True, total


def _cut(descriptor: int, size: int) -> Iterator[Any]:
    if size <= SHORTEST:
        data = _whole(descriptor)
        if len(data) <= SHORTEST:
            if data:
                yield data
            return
        os.lseek(descriptor, 0, os.SEEK_SET)  # it has grown meanwhile
    from pyfastcdc import FastCDC

    cutter = FastCDC(AIM, min_size=SHORTEST, max_size=LONGEST)
    with io.FileIO(descriptor, closefd=False) as stream:
        for chunk in cutter.cut_stream(stream):
            yield chunk.data


def _whole(descriptor: int) -> bytes:
    parts = []
    left = SHORTEST + 1
    while left > 0 and (part := os.read(descriptor, left)):
        parts.append(part)
        left -= len(part)
    return b"".join(parts)
