"""Media files opened such that they lead nowhere else: no playlists, no addresses, no other files."""

from __future__ import annotations

import io
import math
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import av
from av.container import InputContainer

from hopyard_media.engine.faults import Refused, undecodable

#: What FFmpeg may take a file for. Playlists (HLS, DASH, concat), image sequences and devices are not among
#: them: those name other files and addresses, which would be read.
FORMATS: Final = (
    "aac,ac3,aiff,amr,asf,au,avi,caf,flac,flv,matroska,mov,mp3,mp4,m4a,3gp,3g2,mj2,mpeg,mpegts,ogg,opus,w64,"
    "wav,webm"
)
_OPTIONS: Final = {"format_whitelist": FORMATS, "protocol_whitelist": "none"}
#: Seconds by which packets may be out of order.
_SLACK: Final = 2.0
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
    """Open a media file. Raises `Refused` for what is none, or cannot be decoded within the block."""
    try:
        container: Any = av.open(Held(descriptor), mode="r", options=_OPTIONS, metadata_errors="replace")
    except av.MemoryError:
        raise
    except (av.FFmpegError, ValueError) as error:
        raise Refused(f"it is no audio or video file that is read here ({_words(error)})") from None
    try:
        yield container
    except av.MemoryError:  # that says nothing of the file
        raise
    except av.FFmpegError as error:
        raise undecodable(f"it cannot be decoded ({_words(error)})") from None
    finally:
        container.close()


def begins(container: InputContainer) -> float:
    """Return the time at which a file begins by its own count, in seconds: a broadcast's is not 0."""
    return (container.start_time or 0) / 1_000_000


class Clock:
    """Makes the times of a stream go on where they begin anew, as in recordings that were joined end to end.

    Broadcasts that were cut, and what is recorded of web radio, have such places; what comes after them would
    otherwise have the times of what came before, and be lost.
    """

    def __init__(self) -> None:
        self.joined = False
        self._last: dict[int, int] = {}
        self._later: dict[int, int] = {}

    def set(self, packet: Any) -> None:
        """Change the times of a stream's next packet where that is needed."""
        given = packet.pts if packet.dts is None else packet.dts
        if given is None or not packet.time_base:
            return
        stream, second = packet.stream_index, round(1 / packet.time_base)
        last = self._last.get(stream, given)
        if given + self._later.get(stream, 0) < last - second:
            self.joined = True
            self._later[stream] = last + min(packet.duration or 0, second) - given
        if later := self._later.get(stream, 0):
            packet.pts = None if packet.pts is None else packet.pts + later
            packet.dts = None if packet.dts is None else packet.dts + later
        self._last[stream] = max(last, given + later)


def frames(
    container: InputContainer, stream: Any, after: float = -math.inf, before: float = math.inf
) -> Iterator[Any]:
    """Yield the frames of a stream from where the file stands; damaged packets are passed over.

    Of packets before and after these two times nothing is decoded. Raises `Refused` where all are damaged.
    """
    good = bad = 0
    for packet in packets(container, stream):
        at = math.nan if packet.pts is None else packet.pts * packet.time_base
        if at < after:
            continue
        past = at > before + _SLACK
        try:
            decoded = stream.decode(None) if past else packet.decode()  # what a decoder still holds back
        except av.MemoryError:
            raise
        except av.FFmpegError:  # decoders have many words for it beside InvalidDataError
            bad += 1
            continue
        for frame in decoded:
            good += 1
            yield frame
        if past:
            break
    if bad and not good:
        raise undecodable(f"none of its {bad} packets of {stream.type} can be decoded")


def measured(container: InputContainer) -> tuple[float | None, bool]:
    """Return how long sound and pictures are, in seconds, by looking at all packets; None without any.

    What the head of a file says of its length is an estimate in some formats, is missing in what browsers
    record, and may be a lie. Also say whether it is several recordings, joined (`Clock`).
    """
    streams = [one for one in container.streams if one.type in ("audio", "video") and not _is_cover(one)]
    if not streams:
        return None, False
    end: float | None = None
    clock = Clock()
    for packet in packets(container, streams, clock):
        if packet.pts is not None and packet.time_base is not None:
            at = float((packet.pts + (packet.duration or 0)) * packet.time_base)
            end = at if end is None else max(end, at)
    return None if end is None else max(0.0, end - begins(container)), clock.joined


def put(descriptor: int, data: bytes, at: int = 0) -> None:
    """Write all of some data to an open file: a disk that is nearly full takes a part of it at first."""
    while data:
        written = os.pwrite(descriptor, data, at)
        data, at = data[written:], at + written


def _is_cover(stream: Any) -> bool:
    return bool(stream.disposition & stream.disposition.attached_pic)


def packets(container: InputContainer, streams: Any, clock: Clock | None = None) -> Iterator[Any]:
    """Yield the packets of streams, as far as they can be read, with times that go on."""
    clock = clock or Clock()
    found = container.demux(streams)
    while True:
        try:
            packet = next(found)
        except StopIteration:
            return
        except IndexError:  # PyAV does not know a stream that begins only here; it is none of those wanted
            found = container.demux(streams)
            continue
        except av.MemoryError:
            raise
        except av.FFmpegError:  # the rest of it cannot be read
            return
        clock.set(packet)
        yield packet


def _words(error: Exception) -> str:
    return str(getattr(error, "strerror", None) or error)[:200]
