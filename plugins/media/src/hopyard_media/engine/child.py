"""What the child can do."""

from __future__ import annotations

import sys
from typing import Any, Final

from hopyard_media.engine import audio, container, frames, sphinx, whisper
from hopyard_media.engine.faults import seal

_MOST_STREAMS: Final = 64


def probe(order: dict[str, Any]) -> dict[str, Any]:
    """Return what a media file is: its format, length in seconds, streams and tags."""
    seal(0, "av")
    with container.opened(order["file"]) as media:
        streams = [_stream(one) for one in [*media.streams][:_MOST_STREAMS]]
        tags = {_text(name, 100): _text(value, 1000) for name, value in [*media.metadata.items()][:100]}
        return {
            "format": media.format.name,
            "duration": container.measured(media),
            "streams": streams,
            "tags": tags,
        }


def _text(value: object, longest: int) -> str:
    """Return what a file says such that it can be kept and shown."""
    known = str(value).encode("utf-8", "replace").decode()
    return "".join(one if one.isprintable() else " " for one in known).strip()[:longest]


def _stream(stream: Any) -> dict[str, Any]:
    codec = stream.codec_context
    own = {"type": stream.type, "codec": codec.name if codec else None}
    if language := stream.metadata.get("language"):
        own["language"] = _text(language, 20)
    if stream.type == "audio":
        return own | {"channels": stream.channels, "rate": stream.rate}
    if stream.type == "video":
        rate = stream.average_rate
        return own | {"width": stream.width, "height": stream.height, "rate": float(rate) if rate else None}
    return own


def hear(order: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the utterances between two moments, by PocketSphinx."""
    seal(0, "av", "pocketsphinx")
    with container.opened(order["file"]) as media:
        pieces = audio.samples(media, order["start"], order["end"], order.get("channel"))
        return sphinx.words_of(pieces, order["start"])


def whisper_(order: dict[str, Any]) -> dict[str, Any]:
    """Return the utterances between two moments and their language, by a Whisper model."""
    seal(0, "av", "faster_whisper")
    with container.opened(order["file"]) as media:
        pieces = audio.samples(media, order["start"], order["end"], order.get("channel"))
        return whisper.heard(
            pieces, order["start"], order["model"], order["device"], order["compute"], order["language"]
        )


def wave(order: dict[str, Any]) -> int:
    """Write the sound between two moments to `out` as a WAV file; return its length in bytes."""
    seal(order["most_bytes"], "av")
    with container.opened(order["file"]) as media:
        pieces = audio.samples(media, order["start"], order["end"], order.get("channel"))
        return audio.put_wave(order["out"], pieces)


def cuts(order: dict[str, Any]) -> list[float]:
    """Return the moments between two at which another scene begins."""
    seal(0, "av")
    with container.opened(order["file"]) as media:
        return frames.cuts(media, order["start"], order["end"], order["threshold"], order["most_pixels"])


def picture(order: dict[str, Any]) -> dict[str, Any]:
    """Write the picture at a moment to `out`, as JPEG; return how large it is."""
    seal(order["most_bytes"], "av")
    with container.opened(order["file"]) as media:
        data, width, height = frames.picture(media, order["at"], order["width"], order["most_pixels"])
    frames.put(order["out"], data)
    return {"width": width, "height": height, "size": len(data)}


def sheet(order: dict[str, Any]) -> dict[str, Any]:
    """Write the pictures at some moments to `out`, on one JPEG; return how large it is."""
    seal(order["most_bytes"], "av")
    with container.opened(order["file"]) as media:
        data, width, height = frames.sheet(media, order["moments"], order["columns"], order["most_pixels"])
    frames.put(order["out"], data)
    return {"width": width, "height": height, "size": len(data)}


def engines(order: dict[str, Any]) -> dict[str, bool]:
    """Return which of the libraries that hear can be imported."""
    seal(0, "av", "pocketsphinx", "faster_whisper")
    return {name: name in sys.modules for name in ("pocketsphinx", "faster_whisper")}


OPERATIONS: Final = {
    "cuts": cuts,
    "engines": engines,
    "hear": hear,
    "picture": picture,
    "probe": probe,
    "sheet": sheet,
    "wave": wave,
    "whisper": whisper_,
}
