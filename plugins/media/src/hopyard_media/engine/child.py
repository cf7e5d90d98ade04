"""What the child can do."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any, Final

from av.container import InputContainer

from hopyard_media.engine import audio, container, frames, sphinx, voices, whisper
from hopyard_media.engine.faults import seal

_MOST_STREAMS: Final = 64
#: Of all tags, so that what comes of a recording stays small enough for a job's result.
_MOST_CHARACTERS: Final = 20_000
#: Formats whose heads say exactly how long the file is; in others it is an estimate.
_EXACT: Final = ("mov,mp4,m4a,3gp,3g2,mj2", "matroska,webm", "flac", "aiff", "caf", "w64", "au")


def probe(order: dict[str, Any]) -> dict[str, Any]:
    """Return what a media file is: its format, length in seconds, streams and tags."""
    seal(0, "av")
    with container.opened(order["file"]) as media:
        streams = [_stream(one) for one in [*media.streams][:_MOST_STREAMS]]
        duration, joined = container.measured(media)
        return {
            "format": media.format.name,
            "duration": duration,
            "joined": joined,
            "said": (media.duration or 0) / 1_000_000 if media.format.name in _EXACT else None,
            "streams": streams,
            "tags": _tags(media),
        }


def _tags(media: InputContainer) -> dict[str, str]:
    found: dict[str, str] = {}
    left = _MOST_CHARACTERS
    for given, value in [*media.metadata.items()][:100]:
        name, text = _text(given, 100), _text(value, 1000)
        left -= len(name) + len(text)
        if left < 0:
            break
        found[name] = text
    return found


def _text(value: object, longest: int) -> str:
    """Return what a file says such that it can be kept and shown."""
    known = str(value).encode("utf-8", "replace").decode()
    return "".join(one if one.isprintable() else " " for one in known).strip()[:longest]


def _stream(stream: Any) -> dict[str, Any]:
    codec = stream.codec_context
    own = {"type": stream.type, "codec": codec.name if codec else None}
    if language := stream.metadata.get("language"):
        own["language"] = _text(language, 20)
    if codec is None:
        return own
    if stream.type == "audio":
        return own | {"channels": stream.channels, "rate": stream.rate}
    if stream.type == "video":
        rate = stream.average_rate
        return own | {"width": stream.width, "height": stream.height, "rate": float(rate) if rate else None}
    return own


def _samples(media: InputContainer, order: dict[str, Any]) -> Iterator[bytes]:
    channel, joined = order.get("channel"), bool(order.get("joined"))
    return audio.samples(media, order["start"], order["end"], channel, joined=joined)


def hear(order: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the utterances between two moments, by PocketSphinx."""
    seal(0, "av", "pocketsphinx")
    with container.opened(order["file"]) as media:
        pieces = _samples(media, order)
        return sphinx.words_of(pieces, order["start"])


def whisper_(order: dict[str, Any]) -> dict[str, Any]:
    """Return the utterances between two moments and their language, by a Whisper model."""
    seal(0, "av", "faster_whisper")
    with container.opened(order["file"]) as media:
        pieces = _samples(media, order)
        return whisper.heard(
            pieces, order["start"], order["model"], order["device"], order["compute"], order["language"]
        )


def voices_(order: dict[str, Any]) -> list[dict[str, Any]]:
    """Return who speaks when, by two models that tell voices apart."""
    seal(0, "av", "sherpa_onnx")
    with container.opened(order["file"]) as media:
        return voices.turns_of(
            _samples(media, order),
            order["segmentation"],
            order["embedding"],
            order["speakers"],
            order["threshold"],
        )


def wave(order: dict[str, Any]) -> int:
    """Write the sound between two moments to `out` as a WAV file; return its length in bytes."""
    seal(order["most_bytes"], "av")
    with container.opened(order["file"]) as media:
        pieces = _samples(media, order)
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
    container.put(order["out"], data)
    return {"width": width, "height": height, "size": len(data)}


def sheet(order: dict[str, Any]) -> dict[str, Any]:
    """Write the pictures at some moments to `out`, on one JPEG; return how large it is."""
    seal(order["most_bytes"], "av")
    with container.opened(order["file"]) as media:
        data, width, height = frames.sheet(media, order["moments"], order["columns"], order["most_pixels"])
    container.put(order["out"], data)
    return {"width": width, "height": height, "size": len(data)}


def engines(order: dict[str, Any]) -> dict[str, bool]:
    """Return which of the libraries that hear can be imported."""
    names = ("pocketsphinx", "faster_whisper", "sherpa_onnx")
    seal(0, "av", *names)
    return {name: name in sys.modules for name in names}


OPERATIONS: Final = {
    "cuts": cuts,
    "engines": engines,
    "hear": hear,
    "picture": picture,
    "probe": probe,
    "sheet": sheet,
    "voices": voices_,
    "wave": wave,
    "whisper": whisper_,
}
