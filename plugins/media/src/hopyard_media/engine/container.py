"""Media files opened such that they lead nowhere else: no playlists, no addresses, no other files."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import av
from av.container import InputContainer

from hopyard_media.engine.faults import Refused

#: What FFmpeg may take a file for. Playlists (HLS, DASH, concat), image sequences and devices are not among
#: them: those name other files and addresses, which would be read.
FORMATS: Final = (
    "aac,ac3,aiff,amr,asf,au,avi,caf,flac,flv,matroska,mov,mp3,mp4,m4a,3gp,3g2,mj2,mpeg,mpegts,ogg,opus,w64,"
    "wav,webm"
)
_OPTIONS: Final = {"format_whitelist": FORMATS, "protocol_whitelist": "none"}
_PIECE: Final = 1 << 20


class Held(io.RawIOBase):
    """An open file that is read by position, so that nobody's offset is moved."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._at = 0
        self._size = os.fstat(descriptor).st_size

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._size}[whence]
        self._at = max(0, base + offset)
        return self._at

    def read(self, size: int = -1) -> bytes:
        data = os.pread(self._descriptor, _PIECE if size < 0 else size, self._at)
        self._at += len(data)
        return data


@contextmanager
def opened(descriptor: int) -> Iterator[InputContainer]:
    """Open a media file. Raises `Refused` for what is none."""
    try:
        container: Any = av.open(Held(descriptor), mode="r", options=_OPTIONS, metadata_errors="replace")
    except (av.FFmpegError, ValueError) as error:
        raise Refused(f"it is no audio or video file that is read here ({_words(error)})") from None
    try:
        yield container
    except av.FFmpegError as error:
        raise Refused(f"it cannot be decoded ({_words(error)})") from None
    finally:
        container.close()


def begins(container: InputContainer) -> float:
    """Return the time at which a file begins by its own count, in seconds: a broadcast's is not 0."""
    return (container.start_time or 0) / 1_000_000


def frames(container: InputContainer, stream: Any) -> Iterator[Any]:
    """Yield the frames of a stream from where the file stands; damaged packets are passed over.

    Raises `Refused` where all are damaged.
    """
    good = bad = 0
    for packet in _packets(container, stream):
        try:
            decoded = packet.decode()
        except av.InvalidDataError:
            bad += 1
            continue
        for frame in decoded:
            good += 1
            yield frame
    if bad and not good:
        raise Refused(f"none of its {bad} packets of {stream.type} can be decoded")


def measured(container: InputContainer) -> float | None:
    """Return how long sound and pictures are, in seconds, by looking at all packets; None without any.

    What the head of a file says of its length is an estimate in some formats, is missing in what browsers
    record, and may be a lie.
    """
    streams = [one for one in container.streams if one.type in ("audio", "video") and not _is_cover(one)]
    if not streams:
        return None
    end: float | None = None
    for packet in _packets(container, streams):
        if packet.pts is not None and packet.time_base is not None:
            at = float((packet.pts + (packet.duration or 0)) * packet.time_base)
            end = at if end is None else max(end, at)
    return None if end is None else max(0.0, end - begins(container))


def _is_cover(stream: Any) -> bool:
    return bool(stream.disposition & stream.disposition.attached_pic)


def _packets(container: InputContainer, streams: Any) -> Iterator[Any]:
    try:
        yield from container.demux(streams)
    except av.InvalidDataError:  # the rest of it cannot be read
        return


def _words(error: Exception) -> str:
    return str(getattr(error, "strerror", None) or error)[:200]
