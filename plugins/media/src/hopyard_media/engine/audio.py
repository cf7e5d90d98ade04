"""Sound as speech recognition takes it: 16 kHz, one channel, 16 bits."""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator
from typing import Any, Final

import av
from av.container import InputContainer

from hopyard_media.engine.container import begins, frames, put
from hopyard_media.engine.faults import Refused, undecodable

RATE: Final = 16_000
#: What is decoded before the wanted moment, in seconds: codecs need some frames to come in.
_LEAD: Final = 1.0
_HEADER: Final = 44
#: Of a sound: below it nothing can be understood, and FFmpeg's own mixer takes so many channels.
_LEAST_RATE: Final = 1_000
_MOST_CHANNELS: Final = 64
#: Samples by which times may be wrong without anything missing: they are rounded in many formats.
_TOLERANCE: Final = RATE // 50


def stream_of(container: InputContainer) -> Any:
    """Return the first audio stream. Raises `Refused` where there is none, or none that is known."""
    if not container.streams.audio:
        raise Refused("it has no sound")
    stream = container.streams.audio[0]
    if stream.codec_context is None:
        raise Refused("its sound is in a form that is not known here")
    return stream


def samples(
    container: InputContainer, start: float, end: float, channel: int | None = None, *, joined: bool = False
) -> Iterator[bytes]:
    """Yield the sound from `start` to `end`, in seconds, as 16-bit samples; of one channel, or of all mixed.

    Where the file has a gap, or its sound begins later than its pictures, there is silence. In one that was
    `joined` of several a moment cannot be looked up: it is read from its beginning.
    """
    stream = stream_of(container)
    if channel is not None and channel >= stream.channels:
        raise Refused(f"it has {stream.channels} channels, expected more than {channel}")
    mixer = _Mixer(channel)
    origin = begins(container)
    if start > _LEAD and not joined:
        container.seek(int((origin + start - _LEAD) * 1_000_000), any_frame=False)
    place = _Place(origin + start, origin + end)
    after = origin + start - _LEAD if joined else -math.inf
    for frame in frames(container, stream, after, place.end):
        if frame.time is not None and frame.time >= place.end:
            break
        for at, data in mixer.mixed(frame):
            yield from place.cut(at, data)
    for at, data in mixer.rest():
        yield from place.cut(at, data)


class _Mixer:
    """Makes frames of any form into 16-bit samples; the form may change, as it does in joined files."""

    def __init__(self, channel: int | None) -> None:
        self._channel = channel
        self._form: tuple[Any, ...] | None = None
        self._graph: Any = None

    def mixed(self, frame: Any) -> Iterator[tuple[float | None, bytes]]:
        """Yield what is ready after another frame, each piece with its time."""
        form = (frame.format.name, frame.sample_rate, frame.layout.name, frame.time_base)
        if form != self._form:
            yield from self.rest()
            self._form, self._graph = form, _graph(frame, self._channel)
        if self._graph is not None:
            self._graph.push(frame)
            yield from _pulled(self._graph)

    def rest(self) -> Iterator[tuple[float | None, bytes]]:
        """Yield what is left after the last frame of a form."""
        if self._graph is not None:
            self._graph.push(None)
            yield from _pulled(self._graph)


def _graph(frame: Any, channel: int | None) -> Any:
    """Return what mixes frames like this one; None where they have no such channel. Raises `Refused`."""
    count, rate = frame.layout.nb_channels, frame.sample_rate
    if rate < _LEAST_RATE or count > _MOST_CHANNELS:
        raise undecodable(
            f"its sound has {rate:,} samples a second in {count} channels, expected at least {_LEAST_RATE:,} "
            f"in at most {_MOST_CHANNELS}"
        )
    if channel is not None and channel >= count:
        return None
    graph = av.filter.Graph()
    source = graph.add_abuffer(
        format=frame.format, sample_rate=rate, layout=frame.layout, time_base=frame.time_base
    )
    mono = graph.add(*_mix(frame.layout.name, count, channel))
    shaped = graph.add("aformat", f"sample_fmts=s16:sample_rates={RATE}:channel_layouts=mono")
    sink = graph.add("abuffersink")
    source.link_to(mono)
    mono.link_to(shaped)
    shaped.link_to(sink)
    graph.configure()
    return graph


def _mix(layout: str, count: int, channel: int | None) -> tuple[str, str]:
    """Return the filter that makes one channel; where nobody says what is left and right, of all alike."""
    if channel is not None:
        return "pan", f"mono|c0=c{channel}"
    if layout.endswith("channels"):
        return "pan", "mono|c0=" + "+".join(f"{1 / count:.6f}*c{n}" for n in range(count))
    return "aformat", "channel_layouts=mono"


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


def _pulled(graph: Any) -> Iterator[tuple[float | None, bytes]]:
    """Yield what the graph has ready, each piece with its time."""
    while True:
        try:
            frame = graph.pull()
        except (av.BlockingIOError, av.EOFError):
            return
        yield frame.time, bytes(frame.planes[0])[: frame.samples * 2]


def put_wave(descriptor: int, pieces: Iterator[bytes]) -> int:
    """Write samples to an open file as a WAV file (RIFF, PCM); return its length in bytes."""
    at = _HEADER
    for piece in pieces:
        put(descriptor, piece, at)
        at += len(piece)
    size = at - _HEADER
    head = b"RIFF" + struct.pack("<I", size + 36) + b"WAVEfmt "
    head += struct.pack("<IHHIIHH", 16, 1, 1, RATE, RATE * 2, 2, 16) + b"data" + struct.pack("<I", size)
    put(descriptor, head, 0)
    return at
