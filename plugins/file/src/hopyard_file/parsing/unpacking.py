"""Unpacking an archive into an empty directory that is given open, with archives in it if that is wanted.

Files are made relative to open directories, never through links, and never over what is there. They get
neither owners nor modes of the archive.
"""

from __future__ import annotations

import contextlib
import os
from typing import IO, Final

from hopyard_file.parsing import archives, kinds
from hopyard_file.parsing.archives import Budget, Entry
from hopyard_file.parsing.faults import Limits, Refused

_MADE: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_READ: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC
_FOLDER: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_PIECE: Final = 1 << 16
_SUFFIXES: Final = (".tgz", ".tbz2", ".txz", ".tzst", ".gz", ".bz2", ".xz", ".zst", ".zip", ".tar")
_MOST_SHOWN: Final = 100
_INNER: Final = ".unpacked"


class Unpacker:
    """One archive, and what is in it."""

    def __init__(
        self, directory: int, limits: Limits, packed: int, *, nested: bool, skip_links: bool
    ) -> None:
        self._root = directory
        self._nested = nested
        self._skip_links = skip_links
        self.budget = Budget(limits, packed)
        self.files: list[tuple[str, int]] = []
        self.count = 0
        self._archives: list[tuple[str, int]] = []
        """Those that were found in others: where, and how deep."""

    def run(self, data: bytes, name: str) -> None:
        """Unpack all of it. Raises `Refused`, and `OSError` where files cannot be made."""
        self._unpack(data, name, "", 1)
        while self._archives:
            way, depth = self._archives.pop()
            self._unpack(self._content(way), way.rpartition("/")[2], f"{way}{_INNER}/", depth)

    def _unpack(self, data: bytes, name: str, into: str, depth: int) -> None:
        kind = kinds.kind_of(data, os.path.splitext(name)[1].lower())
        if kind.group != "archive":
            if depth > 1:
                return
            raise Refused(f"it is no archive, but {kind.name} ({kind.media_type})")

        def take(entry: Entry, packed: IO[bytes]) -> None:
            self._take(f"{into}{entry.way}", packed, depth)

        archives.each(kind.name, data, without_suffix(name), self.budget, take, skip_links=self._skip_links)

    def _take(self, way: str, packed: IO[bytes], depth: int) -> None:
        """Write one file, counting what comes."""
        *folders, name = way.split("/")
        folder = self._folder(folders)
        try:
            made = os.open(name, _MADE, 0o666, dir_fd=folder)
        except FileExistsError:
            raise Refused(f"{archives.shown(way)} is in it twice") from None
        except (IsADirectoryError, NotADirectoryError):
            raise Refused(f"{archives.shown(way)} in it is a file and a directory at once") from None
        finally:
            os.close(folder)
        size = 0
        with open(made, "wb") as file:
            while piece := packed.read(_PIECE):
                if not size and self._nested and _is_archive(piece):
                    self._found_archive(way, depth)
                size += len(piece)
                self.budget.spend(len(piece))
                file.write(piece)
        self.count += 1
        if len(self.files) < _MOST_SHOWN:
            self.files.append((way, size))

    def _found_archive(self, way: str, depth: int) -> None:
        if depth >= self.budget.limits.max_depth:
            raise Refused(
                f"{archives.shown(way)}: archives are within archives more than "
                f"{self.budget.limits.max_depth} deep"
            )
        self._archives.append((way, depth + 1))

    def _folder(self, parts: list[str]) -> int:
        """Return a descriptor of a directory below the target, made where it is missing."""
        folder = os.dup(self._root)
        for part in parts:
            with contextlib.suppress(FileExistsError):
                os.mkdir(part, 0o777, dir_fd=folder)
            try:
                below = os.open(part, _FOLDER, dir_fd=folder)
            except OSError:
                raise Refused(f"{archives.shown(part)} in it is a file and a directory at once") from None
            finally:
                os.close(folder)
            folder = below
        return folder

    def _content(self, way: str) -> bytes:
        *folders, name = way.split("/")
        folder = self._folder(folders)
        try:
            with open(os.open(name, _READ, dir_fd=folder), "rb") as file:
                data = file.read(self.budget.limits.max_bytes + 1)
        finally:
            os.close(folder)
        if len(data) > self.budget.limits.max_bytes:
            raise Refused(f"{archives.shown(way)} in it is an archive that is too large")
        return data


def without_suffix(name: str) -> str:
    """Return what a file is called that was packed as `name`."""
    for suffix in _SUFFIXES:
        if name.lower().endswith(suffix) and len(name) > len(suffix):
            return name[: -len(suffix)] if name[: -len(suffix)].strip(".") else "content"
    return f"{name}{_INNER}" if name else "content"


def _is_archive(head: bytes) -> bool:
    """Say whether a file that begins so is unpacked as well; office files, which are zip files, are not."""
    signatures = (b"\x1f\x8b\x08", b"BZh", b"\xfd7zXZ\x00", b"\x28\xb5\x2f\xfd")
    if head.startswith(b"PK\x03\x04"):
        return not head[30:].startswith(
            (b"[Content_Types].xml", b"_rels/", b"mimetype", b"word/", b"xl/", b"ppt/")
        )
    return head.startswith(signatures) or head[257:262] == b"ustar"
