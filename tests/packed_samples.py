"""Archives for the tests of the file plugin, real ones and hostile ones; see `file_samples`."""

from __future__ import annotations

import gzip
import io
import struct
import tarfile
import zipfile
from collections.abc import Mapping, Sequence


def zipped(files: Mapping[str, bytes], *, modes: Mapping[str, int] | None = None) -> bytes:
    """A zip file; `modes` are what `stat` says of entries, such as those of links."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            info = zipfile.ZipInfo(name)
            info.compress_type = zipfile.ZIP_DEFLATED
            info.external_attr = (modes or {}).get(name, 0o100644) << 16
            archive.writestr(info, content)
    return out.getvalue()


def tarred(files: Mapping[str, bytes], *, members: Sequence[tarfile.TarInfo] = (), mode: str = "w") -> bytes:
    """A tar file, packed as `mode` says (`w:gz` …), with members that have no content beside it."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode=mode) as archive:  # type: ignore[call-overload]
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
        for member in members:
            archive.addfile(member)
    return out.getvalue()


def member(name: str, kind: bytes, target: str = "") -> tarfile.TarInfo:
    """A member of a tar file without content: a link, a pipe, a device."""
    info = tarfile.TarInfo(name)
    info.type = kind
    info.linkname = target
    return info


def zip_bomb(size: int, files: int = 1) -> bytes:
    """A zip file that unpacks to `files` times `size` bytes of zeros."""
    return zipped({f"{n}.bin": bytes(size) for n in range(files)})


def overlapping_zip(entries: int, size: int) -> bytes:
    """A zip file all of whose entries are the same bytes of it, after the bomb of David Fifield."""
    one = zipped({"a": bytes(size)})
    directory = one.find(b"PK\x01\x02")
    end = one.find(b"PK\x05\x06")
    entry = one[directory:end]
    body = entry * entries
    tail = struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, entries, entries, len(body), directory, 0)
    return one[:directory] + body + tail


def gzip_bomb(size: int) -> bytes:
    """A gzip file that unpacks to `size` zeros."""
    out = io.BytesIO()
    with gzip.GzipFile(fileobj=out, mode="wb") as file:
        for _ in range(size // 1_000_000):
            file.write(bytes(1_000_000))
    return out.getvalue()


def nested_zip(depth: int) -> bytes:
    """A zip file in a zip file, and so on."""
    found = zipped({"bottom.txt": b"bottom"})
    for n in range(depth - 1):
        found = zipped({f"{n}.zip": found})
    return found
