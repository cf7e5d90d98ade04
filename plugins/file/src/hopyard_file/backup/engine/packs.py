"""Packs: objects of some megabytes with many blobs, so that a hundred thousand small files are few objects.

    magic · salt · sealed blob 0 · sealed blob 1 · … · sealed directory · length of the directory (4 bytes)

The directory names each blob, in order, with its kind and its lengths. An interrupted backup's packs are
found again by it, without any index. A pack is named by the SHA-256 of its content.
"""

from __future__ import annotations

import hashlib
import os
import struct
from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

from hopyard_file.backup.engine.errors import Damaged
from hopyard_file.backup.engine.places import Place
from hopyard_file.backup.engine.sealing import MAX_RAW, SALT, Seals

MAGIC: Final = b"HOPYARD-PACK-1\n"
HEAD: Final = len(MAGIC) + SALT
#: A pack is closed when it has that many bytes or blobs.
FULL_BYTES: Final = 16 << 20
FULL_BLOBS: Final = 4_096
#: The largest that is read: the last blob may be as long as a blob is, incompressible.
MAX_PACK: Final = FULL_BYTES + MAX_RAW + (1 << 20)
_DIRECTORY: Final = (1 << 64) - 1
_LENGTH: Final = struct.Struct(">I")
_ENTRY: Final = struct.Struct(">B32sII")
#: A directory that is read at the end of a pack, at first try.
_TAIL: Final = 64 << 10

DATA, LIST, TREE = 1, 2, 3
"""Kinds of blobs: a piece of a file, names of pieces of a long file, a part of a snapshot's list of files."""


class Blob(NamedTuple):
    """A blob in a pack. `stored` and `raw` are its lengths there and unpacked."""

    kind: int
    name: bytes
    stored: int
    raw: int


class Pack(NamedTuple):
    """A pack's name (64 hexadecimal digits) and its blobs in order."""

    name: str
    blobs: Sequence[Blob]


def size_of(stored: int, blobs: int, overhead: int) -> int:
    """Return the length of a pack with so many bytes in so many blobs."""
    return HEAD + stored + overhead + blobs * _ENTRY.size + _LENGTH.size


def pack_key(name: str) -> str:
    """Return the key of a pack in its place."""
    return f"packs/{name}"


def dump_blobs(blobs: Sequence[Blob]) -> bytes:
    """Return blobs as directories and indexes hold them."""
    return b"".join(_ENTRY.pack(*blob) for blob in blobs)


def load_blobs(data: bytes) -> list[Blob]:
    """Return what `dump_blobs` was given. Raises `Damaged`."""
    if len(data) % _ENTRY.size:
        raise Damaged("its list of blobs is cut off")
    return [Blob(*entry) for entry in _ENTRY.iter_unpack(data)]


class PackWriter:
    """Fills one pack in memory."""

    def __init__(self, seals: Seals) -> None:
        self._seals = seals
        salt = os.urandom(SALT)
        self._sealer = seals.sealer(salt)
        self._parts = [MAGIC + salt]
        self.blobs: list[Blob] = []
        self.names: set[bytes] = set()
        self.length = HEAD
        self.stored_length = 0
        """Of the whole object, once it was stored."""

    @property
    def full(self) -> bool:
        """Whether it is to be stored before more is added."""
        return self.length >= FULL_BYTES or len(self.blobs) >= FULL_BLOBS

    def add(self, kind: int, name: bytes, raw: int, squeezed: bytes) -> None:
        """Add a blob of `raw` bytes, which is compressed already."""
        sealed = self._sealer.close(len(self.blobs), squeezed, bytes([kind]) + name)
        self._parts.append(sealed)
        self.length += len(sealed)
        self.blobs.append(Blob(kind, name, len(sealed), raw))
        self.names.add(name)

    def store(self, place: Place) -> Pack:
        """Store the pack; return it."""
        directory = self._sealer.close(_DIRECTORY, dump_blobs(self.blobs))
        data = b"".join([*self._parts, directory, _LENGTH.pack(len(directory))])
        name = hashlib.sha256(data).hexdigest()
        place.put(pack_key(name), data)
        self.stored_length = len(data)
        return Pack(name, self.blobs)


def read_directory(place: Place, seals: Seals, name: str, size: int) -> Pack:
    """Return what a pack of `size` bytes has in it, by its end. Raises `Damaged` and `FileNotFoundError`."""
    key = pack_key(name)
    if size < HEAD + _LENGTH.size:
        raise Damaged(f"{key} is cut off")
    tail = place.part(key, max(0, size - _TAIL), min(_TAIL, size))
    if len(tail) < _LENGTH.size:
        raise Damaged(f"{key} is cut off")
    (length,) = _LENGTH.unpack(tail[-_LENGTH.size :])
    wanted = length + _LENGTH.size
    if wanted > min(MAX_RAW, size - HEAD):
        raise Damaged(f"{key}: its directory would be longer than it")
    if wanted > len(tail):
        tail = place.part(key, size - wanted, wanted)
    salt = place.part(key, 0, HEAD)[len(MAGIC) :]
    directory = tail[-wanted : -_LENGTH.size]
    pack = Pack(name, load_blobs(seals.sealer(salt).open(_DIRECTORY, directory)))
    if size != HEAD + sum(blob.stored for blob in pack.blobs) + wanted:
        raise Damaged(f"{key} has {size:,} bytes, other than its directory says")
    return pack


class PackReader:
    """A pack in memory, whose blobs are opened one by one."""

    def __init__(self, seals: Seals, data: bytes) -> None:
        self._seals = seals
        self._data = data
        if data[: len(MAGIC)] != MAGIC:
            raise Damaged("it is no pack")
        self._sealer = seals.sealer(data[len(MAGIC) : HEAD])

    def is_named(self, name: str) -> bool:
        """Say whether all its bytes are as they were written."""
        return hashlib.sha256(self._data).hexdigest() == name

    def blob(self, number: int, start: int, blob: Blob) -> bytes:
        """Return a blob's content, checked against its name. Raises `Damaged`."""
        sealed = self._data[start : start + blob.stored]
        opened = self._sealer.open(number, sealed, bytes([blob.kind]) + blob.name)
        data = self._seals.expanded(opened)
        if len(data) != blob.raw or self._seals.name(data) != blob.name:
            raise Damaged("its content has another name")
        return data


def placed(blobs: Sequence[Blob]) -> Iterator[tuple[int, int, Blob]]:
    """Yield the blobs of a pack with their numbers and where they begin."""
    start = HEAD
    for number, blob in enumerate(blobs):
        yield number, start, blob
        start += blob.stored
