"""What an archive holds, within caps: every entry is looked at before the next, and nothing is trusted.

What an archive says of its own sizes is only a reason to refuse it early; the bytes that come out count.
"""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO, Any, Final, NamedTuple, Self

from hopyard_file.parsing.faults import Content, Limits, Refused, counted

#: Small archives of text may be packed ever so well: a ratio is a bomb's only from here on.
_BOMB_BYTES: Final = 10_000_000
_LONGEST_NAME: Final = 255
_LONGEST_WAY: Final = 2_000
_DEEPEST_WAY: Final = 50
_MOST_SHOWN: Final = 1_000
_PIECE: Final = 1 << 16
_ZSTD_WINDOW: Final = 1 << 27
#: What the decoders of the standard library raise for data that is broken.
_BROKEN: Final = (
    zipfile.BadZipFile,
    tarfile.TarError,
    lzma.LZMAError,
    zlib.error,
    EOFError,
    OSError,
    ValueError,
)
_Take = Callable[["Entry", IO[bytes]], None]


class Entry(NamedTuple):
    """A file in an archive: its way with `/`, and the size that the archive says, None where it does not."""

    way: str
    size: int | None


@dataclass
class Budget:
    """What is left of the caps, for an archive and all that are in it."""

    limits: Limits
    packed: int
    """Bytes of the outermost archive."""
    entries: int = 0
    total: int = 0
    links: int = 0
    """Links that were left out."""

    def entry(self) -> None:
        """Count an entry. Raises `Refused`."""
        self.entries += 1
        if self.entries > self.limits.max_entries:
            raise Refused(f"it has more than {self.limits.max_entries:,} entries")

    def spend(self, size: int) -> None:
        """Count bytes that came out. Raises `Refused`."""
        self.total += size
        self.check(self.total)

    def check(self, total: int) -> None:
        """Raise `Refused` where so many bytes are too many."""
        limits = self.limits
        if total > limits.max_total:
            raise Refused(f"it unpacks to more than {limits.max_total:,} bytes")
        if total > _BOMB_BYTES and total > limits.max_ratio * self.packed:
            raise Refused(f"it unpacks to more than {counted(limits.max_ratio)} times its size, as bombs do")


class _Counted(io.RawIOBase):
    """A stream that counts what is read from it."""

    def __init__(self, inner: Any, budget: Budget) -> None:
        self._inner = inner
        self._budget = budget
        self._seen = 0

    def readable(self) -> bool:
        """It is."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Read into a buffer. Raises `Refused` where too much came out."""
        found: bytes = self._inner.read(len(buffer))
        buffer[: len(found)] = found
        self._seen += len(found)
        self._budget.check(self._seen)
        return len(found)


def check_zip(archive: zipfile.ZipFile, size: int, limits: Limits) -> None:
    """Look at a zip file's directory. Raises `Refused`; what comes out is counted again when it does."""
    budget = Budget(limits, size)
    infos = archive.infolist()
    claimed = 0
    for info in infos:
        budget.entry()
        claimed += info.file_size
        if info.flag_bits & 1:
            raise Refused(f"{shown(info.filename)} in it is encrypted")
    budget.check(claimed)
    _check_overlap(infos, size)


def _check_overlap(infos: list[zipfile.ZipInfo], size: int) -> None:
    """Refuse entries that share their bytes, which make a small file a large one many times over."""
    end = 0
    for info in sorted(infos, key=lambda one: one.header_offset):
        if info.header_offset < end:
            raise Refused(f"{shown(info.filename)} in it shares bytes with another entry")
        end = info.header_offset + 30 + info.compress_size
        if end > size:
            raise Refused(f"{shown(info.filename)} in it goes beyond the end of the file")


def each(kind: str, data: bytes, name: str, budget: Budget, take: _Take, *, skip_links: bool) -> None:
    """Call `take` with each file of an archive, in order. Raises `Refused`.

    `name` is what a file that is packed alone is called, without the suffix of the archive.
    """
    with refusing(f"{kind} archive"):
        if kind == "zip":
            _each_of_zip(data, budget, take, skip_links=skip_links)
        else:
            _each_of_stream(kind, data, name, budget, take, skip_links=skip_links)


@contextmanager
def refusing(what: str) -> Iterator[None]:
    """Raise `Refused` for what the decoders raise; `OSError` of the system, such as of a full disk, stays."""
    try:
        yield
    except _BROKEN as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        raise Refused(f"it is a broken {what}: {str(error)[:200]}") from None
    except RecursionError:
        raise
    except RuntimeError as error:  # a way of packing that is unknown, or an entry that is encrypted after all
        raise Refused(f"it is packed in a way that is not read: {str(error)[:200]}") from None


def _each_of_zip(data: bytes, budget: Budget, take: _Take, *, skip_links: bool) -> None:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        check_zip(archive, len(data), budget.limits)
        budget.check(budget.total + sum(info.file_size for info in archive.infolist()))
        for info in archive.infolist():
            budget.entry()
            way = usable(info.filename)
            mode = info.external_attr >> 16
            if stat.S_ISLNK(mode):
                _link(way, budget, skip_links=skip_links)
            elif stat.S_IFMT(mode) not in (0, stat.S_IFREG, stat.S_IFDIR):
                raise Refused(f"{shown(way)} in it is no file and no directory")
            elif not info.is_dir() and way:
                with archive.open(info) as packed:
                    take(Entry(way, info.file_size), packed)


def _each_of_stream(
    kind: str, data: bytes, name: str, budget: Budget, take: _Take, *, skip_links: bool
) -> None:
    with _unpacked(kind, data) as raw:
        stream = io.BufferedReader(_Counted(raw, budget), _PIECE)
        if stream.peek(512)[257:262] == b"ustar":
            _each_of_tar(stream, budget, take, skip_links=skip_links)
        elif kind == "tar":
            raise Refused("it is no tar archive")
        else:
            budget.entry()
            take(Entry(usable(name), None), stream)


@contextmanager
def _unpacked(kind: str, data: bytes) -> Iterator[Any]:
    packed = io.BytesIO(data)
    if kind == "gzip":
        yield gzip.GzipFile(fileobj=packed)
    elif kind == "bzip2":
        yield bz2.BZ2File(packed)
    elif kind == "xz":
        yield lzma.LZMAFile(packed)  # noqa: SIM115 - it holds nothing but `packed`
    elif kind == "zstd":
        import zstandard

        decoder = zstandard.ZstdDecompressor(max_window_size=_ZSTD_WINDOW)
        try:
            with decoder.stream_reader(packed, read_across_frames=True) as found:
                yield found
        except zstandard.ZstdError as error:
            raise Refused(f"it is a broken zstd file: {str(error)[:200]}") from None
    else:
        yield packed


class _Header(tarfile.TarInfo):
    """A header that is refused where it is broken: the library ends there quietly, as if nothing followed."""

    @classmethod
    def fromtarfile(cls, archive: tarfile.TarFile) -> Self:
        try:
            return super().fromtarfile(archive)
        except (tarfile.InvalidHeaderError, tarfile.TruncatedHeaderError) as error:  # type: ignore[attr-defined]
            raise Refused(f"it is a damaged tar archive: {error}") from None


def _each_of_tar(stream: Any, budget: Budget, take: _Take, *, skip_links: bool) -> None:
    with tarfile.open(fileobj=stream, mode="r|", errorlevel=2, tarinfo=_Header) as archive:
        for member in archive:
            archive.members.clear()  # type: ignore[attr-defined]  # it would keep each one
            budget.entry()
            way = usable(member.name)
            if member.issym() or member.islnk():
                _link(way, budget, skip_links=skip_links)
            elif member.isdir():
                continue
            elif not member.isreg():
                raise Refused(f"{shown(way)} in it is no file and no directory")
            else:
                budget.check(budget.total + member.size)
                packed = archive.extractfile(member)
                if packed is not None and way:
                    take(Entry(way, member.size), packed)


def _link(way: str, budget: Budget, *, skip_links: bool) -> None:
    if not skip_links:
        raise Refused(f"{shown(way)} in it is a link: links are never made (they can be left out)")
    budget.links += 1


def usable(name: str) -> str:
    """Return the way of an entry below where it is unpacked, `""` for that itself. Raises `Refused`.

    Backslashes, which old programs on Windows write, divide names as well.
    """
    way = name.replace("\\", "/")
    if way.startswith("/") or (len(way) > 1 and way[1] == ":" and way[0].isalpha()):
        raise Refused(f"{shown(name)} in it is an absolute path")
    parts = [part for part in way.split("/") if part not in ("", ".")]
    if ".." in parts:
        raise Refused(f"{shown(name)} in it leads out of the archive")
    try:
        long = [part for part in parts if len(part.encode()) > _LONGEST_NAME]
    except UnicodeEncodeError:
        raise Refused(f"{shown(name)} in it is a name that is no UTF-8") from None
    if long or len(way) > _LONGEST_WAY or len(parts) > _DEEPEST_WAY:
        raise Refused(f"{shown(name)} in it is too long a name, or too deep")
    if any(ord(one) < 32 or ord(one) == 127 for one in way):
        raise Refused(f"{shown(name)} in it has control characters in its name")
    return "/".join(parts)


def shown(name: str) -> str:
    """Return a name as it fits into a line."""
    return repr(name if len(name) <= 200 else f"{name[:100]}…{name[-100:]}")


def read(data: bytes, name: str, content: Content, limits: Limits) -> None:
    """List an archive: the text is its table of contents. Raises `Refused`."""
    budget = Budget(limits, len(data))
    lines: list[str] = []

    def take(entry: Entry, packed: IO[bytes]) -> None:
        size = 0
        while piece := packed.read(_PIECE):
            size += len(piece)
            budget.spend(len(piece))
        if len(lines) < _MOST_SHOWN:
            lines.append(f"{size:>15,}  {entry.way}")

    each(content.kind, data, name, budget, take, skip_links=True)
    content.text = "\n".join(lines)
    content.metadata |= {"entries": budget.entries, "unpacked_bytes": budget.total, "links": budget.links}
    if budget.entries > len(lines) >= _MOST_SHOWN:
        content.note(f"only the first {_MOST_SHOWN:,} of its {budget.entries:,} entries are listed")
    if budget.links:
        content.note(f"it has {budget.links} links, which are never made")
