"""What a snapshot says: a list of entries, in order of their paths, kept in parts that snapshots share.

Where one part ends is decided by the paths in it, not by their number, so that one new file changes one part
and the next backup stores no more than that. Whoever can write to a repository without encryption can make a
list of their own: what is read is checked here, and paths lead nowhere but below. What one line says costs at
most what that line stands for.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, Literal

from hopyard_file.backup.engine.errors import Damaged

Kind = Literal["folder", "file", "link", "left out", "unreadable"]

#: At most so many names of blobs are written into an entry; more are blobs of their own.
MAX_CHUNKS: Final = 512
_PART_LINES: Final = (16, 1_024)
_PART_BYTES: Final = 1 << 20
#: Of what a snapshot counts.
MAX_NUMBER: Final = 1 << 62
#: In bytes. Longer than any system opens at once: folders are opened one by one, so that deeper trees exist.
MAX_PATH: Final = 1 << 16
#: Whatever a system can say of a file is less: 64 bits for inodes and sizes, 94 for times in nanoseconds.
_MOST_OF_FILE: Final = 1 << 96
_CODES: Final[Mapping[str, Kind]] = {"d": "folder", "f": "file", "l": "link", "x": "left out"}
_OF: Final = {kind: code for code, kind in _CODES.items()}
_FIRST_YEAR, _LAST_YEAR = 1900, 9000
_SNAPSHOT: Final = re.compile(r"\d{8}T\d{9}Z-[0-9a-f]{8}")


@dataclass(frozen=True, slots=True)
class Entry:
    """A file, folder or link of a snapshot, or why it was left out (`note`).

    `path` is below the source, with `/` between names; the source itself is the empty path. `modified` and
    `changed` are nanoseconds since 1970. `chunks` are the names of the blobs that make up the content, with
    `listed` the names of blobs that list those. `racy`: it was changed just before it was read, so that its
    times do not tell whether it was changed again. An entry that is `unreadable` has the reason as its
    `note`, and a path only where that can be read.
    """

    path: str
    kind: Kind
    mode: int = 0
    uid: int = 0
    gid: int = 0
    size: int = 0
    modified: int = 0
    changed: int = 0
    inode: int = 0
    chunks: tuple[bytes, ...] = ()
    listed: bool = False
    racy: bool = False
    target: str = ""
    note: str = ""

    def line(self) -> bytes:
        """Return the entry as one line of JSON; names that are no UTF-8 survive in it."""
        made: dict[str, Any] = {"p": self.path, "t": _OF[self.kind]}
        numbers = (
            ("m", self.mode),
            ("u", self.uid),
            ("g", self.gid),
            ("s", self.size),
            ("mt", self.modified),
            ("ct", self.changed),
            ("i", self.inode),
        )
        made.update({key: value for key, value in numbers if value})
        if self.chunks:
            made["cl" if self.listed else "c"] = [base64.b85encode(name).decode() for name in self.chunks]
        if self.racy:
            made["r"] = 1
        if self.target:
            made["l"] = self.target
        if self.note:
            made["n"] = self.note
        return json.dumps(made, separators=(",", ":")).encode() + b"\n"


def entries_of(data: bytes) -> Iterator[Entry]:
    """Yield the entries of a part; a line that is none is an entry `unreadable`."""
    for line in data.split(b"\n"):
        if line:
            yield _entry(line)


def _entry(line: bytes) -> Entry:
    path = ""
    try:
        found = json.loads(line)
        named = _text(found["p"])
        check_path(named)
        path = named
        names = found.get("cl") or found.get("c") or []
        return Entry(
            path=path,
            kind=_CODES[found["t"]],
            mode=_number(found.get("m", 0), _MOST_OF_FILE),
            uid=_number(found.get("u", 0), _MOST_OF_FILE),
            gid=_number(found.get("g", 0), _MOST_OF_FILE),
            size=_number(found.get("s", 0), _MOST_OF_FILE),
            modified=_number(found.get("mt", 0), _MOST_OF_FILE),
            changed=_number(found.get("ct", 0), _MOST_OF_FILE),
            inode=_number(found.get("i", 0), _MOST_OF_FILE),
            chunks=tuple(_name(text) for text in names),
            listed="cl" in found,
            racy=bool(found.get("r")),
            target=_name_of_file(found.get("l", "")),
            note=_text(found.get("n", "")),
        )
    except Damaged as error:
        return Entry("", "unreadable", note=str(error))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        return Entry(path, "unreadable", note=f"its entry cannot be read: {type(error).__name__}")


def check_path(path: str) -> None:
    """Raise `Damaged` for a path that does not lead to a place below, `ValueError` for what is no name."""
    if path == "":
        return
    encoded = os.fsencode(path)
    if {"", ".", ".."}.intersection(path.split("/")) or "\0" in path or len(encoded) > MAX_PATH:
        raise Damaged(f"a snapshot names the path {path[:200]!r}, which leads to no place below")


def parts_of(lines: Iterable[tuple[str, bytes]]) -> Iterator[bytes]:
    """Yield parts of the list; `lines` are paths and their lines, in order."""
    fewest, most = _PART_LINES
    part: list[bytes] = []
    size = 0
    for path, line in lines:
        part.append(line)
        size += len(line)
        ends = hashlib.sha256(os.fsencode(path)).digest()[0] < 4  # one in 64
        if (ends and len(part) >= fewest) or len(part) >= most or size >= _PART_BYTES:
            yield b"".join(part)
            part, size = [], 0
    if part:
        yield b"".join(part)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A finished backup of a source. `size` is that of its files, `stored` those that it added."""

    id: str
    source: str
    host: str
    root: str
    started: datetime
    finished: datetime
    files: int
    folders: int
    links: int
    size: int
    left_out: int
    stored: int
    parts: tuple[bytes, ...]
    number: int = 0
    """Counts the backups of a source, so that their order does not hang on clocks; 0 in older ones."""

    def age(self) -> tuple[int, datetime, str]:
        """Return by what snapshots of one source are sorted: the number, then the time."""
        return self.number, self.started, self.id

    def dump(self) -> bytes:
        """Return it as JSON."""
        made = {
            "version": 1,
            "number": self.number,
            "source": self.source,
            "host": self.host,
            "root": self.root,
            "started": self.started.isoformat(),
            "finished": self.finished.isoformat(),
            "files": self.files,
            "folders": self.folders,
            "links": self.links,
            "bytes": self.size,
            "left_out": self.left_out,
            "stored": self.stored,
            "parts": [base64.b85encode(name).decode() for name in self.parts],
        }
        return json.dumps(made).encode()


def snapshot_key(id_: str) -> str:
    """Return the key of a snapshot in its place."""
    return f"snapshots/{id_}"


def is_snapshot(name: str) -> bool:
    """Say whether an object is named as a snapshot is."""
    return _SNAPSHOT.fullmatch(name) is not None


def new_id(now: datetime) -> str:
    """Return a name for a snapshot that begins now: they sort by time."""
    at = now.astimezone(UTC)
    return f"{at:%Y%m%dT%H%M%S}{at.microsecond // 1000:03}Z-{os.urandom(4).hex()}"


def moment_of(id_: str) -> datetime:
    """Return when a snapshot was begun, by its name alone; the year 1 for a name without a time."""
    try:
        return datetime.strptime(f"{id_[:18]}000+0000", "%Y%m%dT%H%M%S%f%z")
    except ValueError:
        return datetime.min.replace(tzinfo=UTC)


def load_snapshot(id_: str, data: bytes) -> Snapshot:
    """Return a snapshot. Raises `Damaged`."""
    try:
        found = json.loads(data)
        if found["version"] != 1:
            raise Damaged(f"snapshot {id_} is of version {found['version']}, expected 1")
        return Snapshot(
            id=id_,
            number=_number(found.get("number", 0)),
            source=_plain_text(found["source"]),
            host=_plain_text(found["host"]),
            root=_name_of_file(found["root"]),
            started=_moment(found["started"]),
            finished=_moment(found["finished"]),
            files=_number(found["files"]),
            folders=_number(found["folders"]),
            links=_number(found["links"]),
            size=_number(found["bytes"]),
            left_out=_number(found["left_out"]),
            stored=_number(found["stored"]),
            parts=tuple(_name(text) for text in found["parts"]),
        )
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError) as error:
        raise Damaged(f"snapshot {id_} cannot be read: {type(error).__name__}") from None


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError
    return value


def _plain_text(value: Any) -> str:
    """Return text that reports and databases can hold."""
    _text(value).encode()
    return _text(value)


def _name_of_file(value: Any) -> str:
    """Return what a system can take for a path, or an empty text."""
    if b"\0" in os.fsencode(_text(value)):
        raise ValueError("a name with a zero byte")
    return _text(value)


def _number(value: Any, most: int = MAX_NUMBER) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not -most <= value <= most:
        raise TypeError
    return value


def _name(text: Any) -> bytes:
    name = base64.b85decode(text)
    if len(name) != 32:
        raise ValueError("a name of a blob has 32 bytes")
    return name


def _moment(text: Any) -> datetime:
    found = datetime.fromisoformat(_text(text))
    if found.tzinfo is None:
        raise ValueError("a time without a zone")
    found = found.astimezone(UTC)
    if not _FIRST_YEAR <= found.year <= _LAST_YEAR:
        raise ValueError("a time that other zones cannot tell")
    return found
