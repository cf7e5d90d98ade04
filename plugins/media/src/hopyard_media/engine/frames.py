"""Pictures of a video: where scenes change, single frames as JPEG, and many of them on one sheet."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fractions import Fraction
from typing import Any, Final

import av
from av.container import InputContainer

from hopyard_media.engine.container import begins, frames
from hopyard_media.engine.faults import Refused, undecodable

#: Scenes are looked for in pictures of this width and height: what changes is seen in small ones as well.
_LOOK_WIDTH: Final = 320
_TILE: Final = (320, 180)
_FORMAT: Final = "yuvj420p"
#: By degrees counterclockwise.
_TURNS: Final = {90: ("cclock",), 180: ("clock", "clock"), 270: ("clock",)}
_LEAD: Final = 2.0
_HIGHEST: Final = 16_000
#: Of one part; a film that flickers has no scenes.
_MOST_CUTS: Final = 10_000


def stream_of(container: InputContainer, most_pixels: int) -> Any:
    """Return the first video stream. Raises `Refused` where there is none, or its pictures are too large."""
    streams = [one for one in container.streams.video if not one.disposition & one.disposition.attached_pic]
    if not streams:
        raise Refused("it has no moving pictures")
    stream = streams[0]
    width, height = stream.width or 0, stream.height or 0
    if not 0 < width * height <= most_pixels:
        raise Refused(f"its pictures have {width} x {height} pixels, expected at most {most_pixels:,}")
    stream.codec_context.options = {"max_pixels": str(most_pixels)}  # later frames may say another size
    stream.thread_type = "NONE"  # threads of a child take its memory and tell nothing sooner
    return stream


def cuts(
    container: InputContainer, start: float, end: float, threshold: float, most_pixels: int
) -> list[float]:
    """Return the moments from `start` to `end` at which another scene begins, in seconds.

    By FFmpeg's filter `select`, whose score from 0 to 1 compares each picture with the one before it.
    """
    stream = stream_of(container, most_pixels)
    graph: Any = None
    form: tuple[Any, ...] = ()
    found: list[float] = []
    origin = begins(container)
    for frame in _frames(container, stream, origin + start, origin + end):
        if form != (form := (frame.width, frame.height, frame.format.name, frame.time_base)):
            graph = _looking(frame, threshold)
        graph.push(frame)
        moments = [round(at - origin, 3) for at in _times(graph)]
        found += [at for at in moments if start <= at < end][: _MOST_CUTS - len(found)]
    return found


def _looking(frame: Any, threshold: float) -> Any:
    """Return the filters that choose pictures unlike the one before, for pictures of this one's form."""
    graph = av.filter.Graph()
    source = graph.add_buffer(
        width=frame.width, height=frame.height, format=frame.format, time_base=frame.time_base
    )
    small = graph.add("scale", f"min({_LOOK_WIDTH}\\,iw):min({_LOOK_WIDTH}\\,ih)")
    chosen = graph.add("select", f"gt(scene,{threshold:g})")
    sink = graph.add("buffersink")
    source.link_to(small)
    small.link_to(chosen)
    chosen.link_to(sink)
    graph.configure()
    return graph


def _frames(container: InputContainer, stream: Any, start: float, end: float) -> Iterator[Any]:
    """Yield the frames around a time, which is counted as the file counts it."""
    if start - begins(container) > _LEAD:
        container.seek(int((start - _LEAD) * 1_000_000), any_frame=False)
    for frame in frames(container, stream, before=end):
        if frame.time is not None and frame.time >= end:
            return
        if frame.pts is not None:
            yield frame


def _times(graph: Any) -> Iterator[float]:
    while True:
        try:
            frame = graph.pull()
        except (av.BlockingIOError, av.EOFError):
            return
        yield float(frame.pts * frame.time_base)


def picture(container: InputContainer, at: float, width: int, most_pixels: int) -> tuple[bytes, int, int]:
    """Return the picture shown at a moment as JPEG, at most `width` wide, with its width and height."""
    stream = stream_of(container, most_pixels)
    frame = _shown_at(container, stream, at)
    wide, high = _fitted(frame.width, frame.height, width)
    return _jpeg(frame.reformat(width=wide, height=high, format=_FORMAT)), wide, high


def _fitted(width: int, height: int, most: int, highest: int = _HIGHEST) -> tuple[int, int]:
    """Return a picture's width, at most so wide, and height, as a JPEG may have it; both are even."""
    share = min(1.0, most / width, highest / height)
    wide, high = (max(2, round(one * share) // 2 * 2) for one in (width, height))
    return wide, high


def sheet(
    container: InputContainer, moments: Sequence[float], columns: int, most_pixels: int
) -> tuple[bytes, int, int]:
    """Return one JPEG with the pictures at these moments, row by row, with its width and height."""
    stream = stream_of(container, most_pixels)
    graph: Any = None
    size: tuple[int, int] = (0, 0)
    for n, at in enumerate(moments):
        frame = _shown_at(container, stream, at)
        if graph is None:
            size = _fitted(frame.width, frame.height, *_TILE)
            graph = _tiles(size, columns, -(-len(moments) // columns), len(moments))
        shown = frame.reformat(width=size[0], height=size[1], format=_FORMAT)
        shown.pts, shown.time_base = n, Fraction(1, 1)
        graph.push(shown)
    graph.push(None)
    tiled = graph.pull()
    return _jpeg(tiled), tiled.width, tiled.height


def _tiles(size: tuple[int, int], columns: int, rows: int, count: int) -> Any:
    graph = av.filter.Graph()
    wide, high = _TILE
    shape = av.VideoFormat(_FORMAT, size[0], size[1])
    source = graph.add_buffer(width=size[0], height=size[1], format=shape, time_base=Fraction(1, 1))
    padded = graph.add("pad", f"{wide}:{high}:-1:-1")
    tiled = graph.add("tile", f"{columns}x{rows}:nb_frames={count}:padding=4:margin=4")
    sink = graph.add("buffersink")
    source.link_to(padded)
    padded.link_to(tiled)
    tiled.link_to(sink)
    graph.configure()
    return graph


def _shown_at(container: InputContainer, stream: Any, at: float) -> Any:
    """Return the last frame that begins until a moment, upright. Raises `Refused` where there is none."""
    wanted = begins(container) + max(0.0, at)
    container.seek(int(wanted * 1_000_000), any_frame=False)
    shown = None
    for frame in frames(container, stream, before=wanted + _LEAD):
        if shown is not None and frame.time is not None and frame.time > wanted + 1e-6:
            break
        shown = frame
    if shown is None:
        raise undecodable(f"there is no picture at {at:.1f} s")
    return _upright(shown)


def _upright(frame: Any) -> Any:
    """Return a frame as it is to be shown: telephones record lying pictures, and say how to turn them."""
    turns = _TURNS.get(round(frame.rotation) % 360)
    if turns is None:
        return frame
    graph = av.filter.Graph()
    last = graph.add_buffer(
        width=frame.width, height=frame.height, format=frame.format, time_base=Fraction(1, 1)
    )
    for turn in turns:
        turned = graph.add("transpose", turn)
        last.link_to(turned)
        last = turned
    sink = graph.add("buffersink")
    last.link_to(sink)
    graph.configure()
    frame.pts, frame.time_base = 0, Fraction(1, 1)
    graph.push(frame)
    return graph.pull()


def _jpeg(frame: Any) -> bytes:
    encoder: Any = av.CodecContext.create("mjpeg", "w")
    encoder.width, encoder.height = frame.width, frame.height
    encoder.pix_fmt, encoder.time_base = _FORMAT, Fraction(1, 25)
    encoder.options = {"qscale": "4"}
    frame.pts = 0
    frame.time_base = encoder.time_base
    return b"".join(bytes(packet) for packet in [*encoder.encode(frame), *encoder.encode(None)])
