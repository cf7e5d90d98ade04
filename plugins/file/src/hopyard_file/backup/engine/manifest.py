"""What a snapshot says: a list of entries, in order of their paths, kept in parts that snapshots share.

Where one part ends is decided by the paths in it, not by their number, so that one new file changes one part
and the next backup stores no more than that. Whoever can write to a repository without encryption can make a
list of their own: what is read is checked here, and paths lead nowhere but below.
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

Kind = Literal["folder", "file", "link", "left out"]

#: At most so many names of blobs are written into an entry; more are blobs of their own.
MAX_CHUNKS: Final = 512
_PART_LINES: Final = (16, 1_024)
_PART_BYTES: Final = 1 << 20
_MAX_PATH: Final = 4_096
_CODES: Final[Mapping[str, Kind]] = {"d": "folder", "f": "file", "l": "link", "x": "left out"}
_OF: Final = {kind: code for code, kind in _CODES.items()}
_SNAPSHOT: Final = re.compile(r"\d{8}T\d{9}Z-[0-9a-f]{8}")


@dataclass(frozen=True, slots=True)
class Entry:
    """A file, folder or link of a snapshot, or why it was left out (`note`).

    `path` is below the source, with `/` between names; the source itself is the empty path. `modified` and
    `changed` are nanoseconds since 1970. `chunks` are the names of the blobs that make up the content, with
    `listed` the names of blobs that list those. `racy`: it was changed just before it was read, so that its
    times do not tell whether it was changed again.
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
    """Yield the entries of a part. Raises `Damaged`."""
    for line in data.splitlines():
        yield _entry(line)


def _entry(line: bytes) -> Entry:
    try:
        found = json.loads(line)
        names = found.get("cl") or found.get("c") or []
        made = Entry(
            path=_text(found["p"]),
            kind=_CODES[found["t"]],
            mode=_number(found.get("m", 0)),
            uid=_number(found.get("u", 0)),
            gid=_number(found.get("g", 0)),
            size=_number(found.get("s", 0)),
            modified=_number(found.get("mt", 0)),
            changed=_number(found.get("ct", 0)),
            inode=_number(found.get("i", 0)),
            chunks=tuple(_name(text) for text in names),
            listed="cl" in found,
            racy=bool(found.get("r")),
            target=_text(found.get("l", "")),
            note=_text(found.get("n", "")),
        )
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise Damaged(f"an entry of a snapshot cannot be read: {type(error).__name__}") from None
    check_path(made.path)
    return made


def check_path(path: str) -> None:
    """Raise `Damaged` for a path that does not lead to a place below."""
    if path == "":
        return
    if {"", ".", ".."}.intersection(path.split("/")) or "\0" in path or len(os.fsencode(path)) > _MAX_PATH:
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

    def dump(self) -> bytes:
        """Return it as JSON."""
        made = {
            "version": 1,
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


def load_snapshot(id_: str, data: bytes) -> Snapshot:
    """Return a snapshot. Raises `Damaged`."""
    try:
        found = json.loads(data)
        if found["version"] != 1:
            raise Damaged(f"snapshot {id_} is of version {found['version']}, expected 1")
        return Snapshot(
            id=id_,
            source=_text(found["source"]),
            host=_text(found["host"]),
            root=_text(found["root"]),
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
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise Damaged(f"snapshot {id_} cannot be read: {type(error).__name__}") from None


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError
    return value


def _number(value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not -(1 << 63) <= value < 1 << 63:
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
    return found
