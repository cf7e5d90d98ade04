"""Sound as speech recognition takes it: 16 kHz, one channel, 16 bits."""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from typing import Any, Final

import av
from av.container import InputContainer

from hopyard_media.engine.container import begins, frames
from hopyard_media.engine.faults import Refused

RATE: Final = 16_000
#: What is decoded before the wanted moment, in seconds: codecs need some frames to come in.
_LEAD: Final = 1.0
_HEADER: Final = 44
#: Samples by which times may be wrong without anything missing: they are rounded in many formats.
_TOLERANCE: Final = RATE // 50


def stream_of(container: InputContainer) -> Any:
    """Return the first audio stream. Raises `Refused` where there is none."""
    if not container.streams.audio:
        raise Refused("it has no sound")
    return container.streams.audio[0]


def samples(
    container: InputContainer, start: float, end: float, channel: int | None = None
) -> Iterator[bytes]:
    """Yield the sound from `start` to `end`, in seconds, as 16-bit samples; of one channel, or of all mixed.

    Where the file has a gap, or its sound begins later than its pictures, there is silence.
    """
    stream = stream_of(container)
    if channel is not None and channel >= stream.channels:
        raise Refused(f"it has {stream.channels} channels, expected more than {channel}")
    graph = _graph(stream, channel)
    origin = begins(container)
    if start > _LEAD:
        container.seek(int((origin + start - _LEAD) * 1_000_000), any_frame=False)
    place = _Place(origin + start, origin + end)
    for frame in frames(container, stream):
        if frame.time is not None and frame.time >= place.end:
            break
        graph.push(frame)
        yield from _pulled(graph, place)
    graph.push(None)
    yield from _pulled(graph, place)


def _graph(stream: Any, channel: int | None) -> Any:
    graph = av.filter.Graph()
    source = graph.add_abuffer(template=stream)
    chosen = f"pan=mono|c0=c{channel}" if channel is not None else "aformat=channel_layouts=mono"
    name, _, options = chosen.partition("=")
    mono = graph.add(name, options)
    shaped = graph.add("aformat", f"sample_fmts=s16:sample_rates={RATE}:channel_layouts=mono")
    sink = graph.add("abuffersink")
    source.link_to(mono)
    mono.link_to(shaped)
    shaped.link_to(sink)
    graph.configure()
    return graph


class _Place:
    """Where in the wanted time the sound is, in samples from its start."""

    def __init__(self, start: float, end: float) -> None:
        self.start = start
        self.end = end
        self._length = round((end - start) * RATE)
        self._done = 0

    def cut(self, at: float | None, data: bytes) -> Iterator[bytes]:
        """Yield what is wanted of a piece that begins at a moment, after silence where it is late."""
        count = len(data) // 2
        first = self._done if at is None else round((at - self.start) * RATE)
        if abs(first - self._done) <= _TOLERANCE:
            first = self._done
        for size in self._silence(min(first, self._length) - self._done):
            yield bytes(size * 2)
        wanted = data[max(0, self._done - first) * 2 : max(0, min(count, self._length - first)) * 2]
        self._done += len(wanted) // 2
        if wanted:
            yield wanted

    def _silence(self, missing: int) -> Iterator[int]:
        while missing > 0:
            size = min(missing, RATE)
            self._done += size
            missing -= size
            yield size


def _pulled(graph: Any, place: _Place) -> Iterator[bytes]:
    """Yield what the graph has ready, cut to the wanted time."""
    while True:
        try:
            frame = graph.pull()
        except (av.BlockingIOError, av.EOFError):
            return
        yield from place.cut(frame.time, bytes(frame.planes[0])[: frame.samples * 2])


def put_wave(descriptor: int, pieces: Iterator[bytes]) -> int:
    """Write samples to an open file as a WAV file (RIFF, PCM); return its length in bytes."""
    at = _HEADER
    for piece in pieces:
        os.pwrite(descriptor, piece, at)
        at += len(piece)
    size = at - _HEADER
    head = b"RIFF" + struct.pack("<I", size + 36) + b"WAVEfmt "
    head += struct.pack("<IHHIIHH", 16, 1, 1, RATE, RATE * 2, 2, 16) + b"data" + struct.pack("<I", size)
    os.pwrite(descriptor, head, 0)
    return at
