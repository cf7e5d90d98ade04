"""Which blobs a repository has, and where: loaded from its indexes into a temporary database.

The database is SQLite's, private and on disk where it grows large, so that a repository with ten million
blobs needs no more memory than one with ten. Only packs that are really there count. One that has not the
length that it must have counts as damaged: what is whole in it can be read, and the next backup stores anew
what it has of it.
"""

from __future__ import annotations

import sqlite3
import struct
from collections.abc import Iterable, Iterator, Sequence
from typing import Final, NamedTuple

from hopyard_file.backup.engine.errors import Damaged
from hopyard_file.backup.engine.packs import (
    Blob,
    Pack,
    dump_blobs,
    load_blobs,
    placed,
    read_directory,
    size_of,
)
from hopyard_file.backup.engine.places import Place
from hopyard_file.backup.engine.sealing import MAX_RAW, Seals

#: An index is stored when it would name that many blobs: what is lost by a crash is only read again.
INDEX_BLOBS: Final = 50_000
_HEADER: Final = struct.Struct(">32sI")

_TABLES: Final = """
CREATE TABLE pack (n INTEGER PRIMARY KEY, name TEXT UNIQUE, size INTEGER, bad INTEGER NOT NULL DEFAULT 0);
CREATE TABLE blob (name BLOB, pack INTEGER, number INTEGER, start INTEGER, kind INTEGER, stored INTEGER,
    raw INTEGER, PRIMARY KEY (name, pack)) WITHOUT ROWID;
CREATE INDEX blob_pack ON blob (pack, number);
"""


class Where(NamedTuple):
    """Where a blob is."""

    pack: str
    number: int
    start: int
    blob: Blob


class Catalog:
    """The blobs of a repository."""

    def __init__(self) -> None:
        self.scratch = scratch()
        self.scratch.executescript(_TABLES)

    def close(self) -> None:
        """Forget everything."""
        self.scratch.close()

    def add(self, packs: Iterable[Pack], *, size: int = 0) -> None:
        """Add packs that are there."""
        for pack in packs:
            cursor = self.scratch.execute(
                "INSERT INTO pack (name, size) VALUES (?, ?) ON CONFLICT DO NOTHING", (pack.name, size)
            )
            if not cursor.rowcount:
                continue
            number = cursor.lastrowid
            rows = [
                (blob.name, number, n, start, blob.kind, blob.stored, blob.raw)
                for n, start, blob in placed(pack.blobs)
            ]
            self.scratch.executemany("INSERT OR IGNORE INTO blob VALUES (?, ?, ?, ?, ?, ?, ?)", rows)

    def mark_bad(self, pack: str) -> None:
        """Have what is in a pack stored anew by whoever has it."""
        self.scratch.execute("UPDATE pack SET bad = 1 WHERE name = ?", (pack,))

    def has(self, name: bytes) -> bool:
        """Say whether a blob is there and, as far as is known, whole."""
        row = self.scratch.execute(
            "SELECT 1 FROM blob JOIN pack ON pack.n = blob.pack WHERE blob.name = ? AND NOT pack.bad LIMIT 1",
            (name,),
        ).fetchone()
        return row is not None

    def find(self, name: bytes) -> list[Where]:
        """Return where a blob is, the best copy first."""
        rows = self.scratch.execute(
            "SELECT pack.name, number, start, kind, blob.name, stored, raw FROM blob "
            "JOIN pack ON pack.n = blob.pack WHERE blob.name = ? ORDER BY pack.bad, pack.n",
            (name,),
        )
        return [Where(row[0], row[1], row[2], Blob(*row[3:])) for row in rows]

    def raw(self, name: bytes) -> int | None:
        """Return how many bytes a blob has unpacked; None if it is not there."""
        row = self.scratch.execute("SELECT raw FROM blob WHERE name = ? LIMIT 1", (name,)).fetchone()
        return None if row is None else int(row[0])

    def packs(self) -> list[str]:
        """Return the names of all packs."""
        return [row[0] for row in self.scratch.execute("SELECT name FROM pack ORDER BY n")]

    def blobs(self, pack: str) -> list[Blob]:
        """Return the blobs of a pack, in order."""
        rows = self.scratch.execute(
            "SELECT kind, blob.name, stored, raw FROM blob JOIN pack ON pack.n = blob.pack "
            "WHERE pack.name = ? ORDER BY number",
            (pack,),
        )
        return [Blob(*row) for row in rows]

    def bytes_stored(self) -> int:
        """Return how many bytes all packs take."""
        return int(self.scratch.execute("SELECT coalesce(sum(size), 0) FROM pack").fetchone()[0])


def scratch() -> sqlite3.Connection:
    """Return an empty database that is gone when it is closed, and when the process ends."""
    made = sqlite3.connect("", isolation_level=None, check_same_thread=False)
    made.execute("PRAGMA synchronous = OFF")
    made.execute("PRAGMA journal_mode = OFF")
    made.execute("PRAGMA cache_size = -32768")
    return made


def index_key(name: str) -> str:
    """Return the key of an index in its place."""
    return f"index/{name}"


def dump_index(packs: Sequence[Pack]) -> bytes:
    """Return packs as an index names them."""
    return b"".join(
        _HEADER.pack(bytes.fromhex(pack.name), len(pack.blobs)) + dump_blobs(pack.blobs) for pack in packs
    )


def load_index(data: bytes) -> Iterator[Pack]:
    """Yield the packs that an index names. Raises `Damaged`."""
    at = 0
    entry = len(dump_blobs([Blob(0, bytes(32), 0, 0)]))
    while at < len(data):
        if at + _HEADER.size > len(data):
            raise Damaged("an index is cut off")
        name, count = _HEADER.unpack_from(data, at)
        at += _HEADER.size
        end = at + count * entry
        if end > len(data):
            raise Damaged("an index is cut off")
        yield Pack(name.hex(), load_blobs(data[at:end]))
        at = end


def load(place: Place, seals: Seals) -> tuple[Catalog, list[str], list[str]]:
    """Return the catalog of a repository, the names of its indexes, and what was found wrong with it.

    Packs that no index names, those of interrupted backups, are asked for what they have.
    """
    catalog, wrong, indexes = Catalog(), list[str](), list[str]()
    there = scratch()
    there.execute("CREATE TABLE pack (name TEXT PRIMARY KEY, size INTEGER) WITHOUT ROWID")
    there.executemany(
        "INSERT OR IGNORE INTO pack VALUES (?, ?)", ((p.name, p.size) for p in place.listed("packs"))
    )
    overhead = seals.sealer(bytes(32)).overhead
    for stored in place.listed("index"):
        indexes.append(stored.name)
        key = index_key(stored.name)
        try:
            data = seals.open_object(place.get(key, MAX_RAW), key)
            for pack in load_index(data):
                _add_if_there(catalog, there, pack, overhead, wrong)
        except FileNotFoundError:  # a prune has just replaced it
            continue
        except Damaged as error:  # the packs' own directories say the same
            wrong.append(f"{key}: {error}")
    left = there.execute("SELECT name, size FROM pack").fetchall()
    for name, size in left:
        try:
            catalog.add([read_directory(place, seals, name, size)], size=size)
        except FileNotFoundError:
            continue
        except Damaged as error:
            wrong.append(f"packs/{name}: {error}")
    there.close()
    for stored in place.listed("damaged"):
        catalog.mark_bad(stored.name)
    return catalog, indexes, wrong


def _add_if_there(
    catalog: Catalog, there: sqlite3.Connection, pack: Pack, overhead: int, wrong: list[str]
) -> None:
    row = there.execute("SELECT size FROM pack WHERE name = ?", (pack.name,)).fetchone()
    if row is None:
        return
    expected = size_of(sum(blob.stored for blob in pack.blobs), len(pack.blobs), overhead)
    if row[0] != expected:
        wrong.append(f"packs/{pack.name}: it has {row[0]:,} bytes, expected {expected:,}")
    catalog.add([pack], size=row[0])
    if row[0] != expected:  # what is whole in it is read from it until it is stored anew
        catalog.mark_bad(pack.name)
    there.execute("DELETE FROM pack WHERE name = ?", (pack.name,))
