"""Recordings for tests: made with FFmpeg's own sources, of known cuts and lengths; and people who speak."""

from __future__ import annotations

import os
import re
import wave
from collections.abc import Iterable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import pytest

SPEECH = Path(__file__).parents[1] / ".servers" / "speech"
RATE = 16_000
#: FFmpeg's sources of pictures, none of which looks like the next.
SCENES = ("testsrc", "smptebars", "mandelbrot", "rgbtestsrc", "yuvtestsrc")


def speech_folder() -> Path:
    """Return the folder with Debian's recordings of human speech; skip the test, or in CI fail, without."""
    if not SPEECH.is_dir():
        text = "recorded speech is not here: `make setup-test-servers` fetches it"
        if os.environ.get("CI") == "true":
            pytest.fail(text)
        pytest.skip(text)
    return SPEECH


def read_wave(path: Path) -> bytes:
    """Return the samples of a WAV file."""
    with wave.open(str(path)) as file:
        found: bytes = file.readframes(file.getnframes())
        return found


def silence(seconds: float) -> bytes:
    """Return samples of silence."""
    return bytes(round(seconds * RATE) * 2)


def transcriptions(folder: Path) -> dict[str, str]:
    """Return what is said in the recordings of a folder of pocketsphinx-testdata, by name."""
    (path,) = [one for one in folder.iterdir() if "transcription" in one.name]
    found = re.findall(r"<s>\s*(.*?)\s*</s>\s*\((\S+)\)", path.read_text())
    return {name: text for text, name in found}


def word_errors(said: str, heard: str) -> tuple[int, int]:
    """Return how many words are wrong, missing or too many (Levenshtein), and how many were said."""
    left, right = _words(said), _words(heard)
    row = [*range(len(right) + 1)]
    for n, word in enumerate(left, 1):
        before, row = row, [n]
        for m, other in enumerate(right, 1):
            row.append(min(before[m] + 1, row[m - 1] + 1, before[m - 1] + (word != other)))
    return row[-1], len(left)


_NUMBERS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")


def _words(text: str) -> list[str]:
    """Return the words as all write them: Whisper writes small numbers as digits."""
    spelled = re.sub(r"\b(\d|10)\b", lambda found: _NUMBERS[int(found[0])], text)
    return re.findall(r"[a-z']+|\d+", spelled.lower().replace("mister", "mr"))


def sound(path: Path, *channels: bytes, codec: str | None = None, rate: int = RATE) -> Path:
    """Write samples as a recording; the format is that of the path's suffix."""
    length = max(len(one) for one in channels)
    padded = [one + bytes(length - len(one)) for one in channels]
    usual = {".mp3": "libmp3lame", ".m4a": "aac", ".ogg": "libopus", ".webm": "libopus", ".flac": "flac"}
    with av.open(str(path), "w") as made:
        stream: Any = made.add_stream(codec or usual.get(path.suffix, "pcm_s16le"), rate=rate)
        stream.layout = "mono" if len(padded) == 1 else "stereo"
        _put_sound(made, stream, padded)
    return path


def _put_sound(made: Any, stream: Any, channels: Sequence[bytes]) -> None:
    joined = channels[0]
    if len(channels) == 2:
        pairs = zip(*(memoryview(one).cast("h") for one in channels), strict=True)
        joined = b"".join(
            left.to_bytes(2, "little", signed=True) + right.to_bytes(2, "little", signed=True)
            for left, right in pairs
        )
    resampler = av.AudioResampler(
        format=stream.codec_context.format or "s16", layout=stream.layout, rate=stream.rate
    )
    step, width = RATE, 2 * len(channels)
    for at in range(0, len(joined) // width, step):
        piece = joined[at * width : (at + step) * width]
        frame = av.AudioFrame("s16", stream.layout.name, len(piece) // width)
        frame.planes[0].update(piece)
        frame.rate, frame.pts, frame.time_base = RATE, at, Fraction(1, RATE)
        for ready in resampler.resample(frame):
            made.mux(stream.encode(ready))
    for ready in resampler.resample(None):
        made.mux(stream.encode(ready))
    made.mux(stream.encode(None))


def video(
    path: Path,
    seconds: Iterable[float] = (4, 4, 4),
    *,
    spoken: bytes | None = None,
    size: tuple[int, int] = (320, 240),
    codec: str = "libx264",
) -> Path:
    """Make a video of scenes of so many seconds each, with a sound if samples are given."""
    with av.open(str(path), "w") as made:
        stream: Any = made.add_stream(codec, rate=25)
        stream.width, stream.height = size
        stream.pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
        heard: Any = made.add_stream("aac", rate=RATE) if spoken is not None else None
        if heard is not None:
            heard.layout = "mono"
        n = 0
        for source, length in zip(SCENES, seconds, strict=False):
            for frame in _pictures(source, size, length):
                shown = frame.reformat(format=stream.pix_fmt)
                shown.pts, shown.time_base = n, Fraction(1, 25)
                n += 1
                made.mux(stream.encode(shown))
        made.mux(stream.encode(None))
        if heard is not None and spoken is not None:
            _put_sound(made, heard, [spoken])
    return path


def _pictures(source: str, size: tuple[int, int], seconds: float) -> Iterable[Any]:
    count = round(seconds * 25)
    with av.open(f"{source}=size={size[0]}x{size[1]}:rate=25", format="lavfi") as given:
        for n, frame in enumerate(given.decode(video=0)):
            if n == count:
                return
            yield frame


def delayed(source: Path, target: Path, *, start: float, sound: float) -> Path:
    """Put a video into another container, counted from `start`, its sound some seconds later than it was."""
    with av.open(str(source)) as given, av.open(str(target), "w", options={"muxdelay": "0"}) as made:
        streams: dict[int, Any] = {one.index: made.add_stream_from_template(one) for one in given.streams}
        for packet in given.demux():
            if packet.dts is None:
                continue
            later = start + (sound if packet.stream.type == "audio" else 0.0)
            ticks = round(later / packet.time_base)
            packet.pts, packet.dts = (packet.pts or 0) + ticks, packet.dts + ticks
            packet.stream = streams[packet.stream.index]
            made.mux(packet)
    return target


def with_other_size(path: Path, width: int, height: int) -> Path:
    """Change the size that the head of a Matroska file names, of a video of 320 x 256."""
    data = path.read_bytes()
    for name, old, new in ((0xB0, 320, width), (0xBA, 256, height)):
        given = bytes([name, 0x82]) + old.to_bytes(2, "big")
        assert data.count(given) == 1, f"{name:x}"
        data = data.replace(given, bytes([name, 0x82]) + new.to_bytes(2, "big"))
    path.write_bytes(data)
    return path


def with_jpeg_size(path: Path, width: int, height: int, *, first: int = 0) -> Path:
    """Change the size that JPEG pictures of 320 x 256 in a video name for themselves, from one of them on."""
    old, new = (
        b"\xff\xc0\x00\x11\x08" + high.to_bytes(2, "big") + wide.to_bytes(2, "big")
        for wide, high in ((320, 256), (width, height))
    )
    pieces = path.read_bytes().split(old)
    assert len(pieces) > first + 1
    path.write_bytes(old.join(pieces[: first + 1]) + new + new.join(pieces[first + 1 :]))
    return path


def turned(path: Path) -> Path:
    """Have the head of a QuickTime file say that its pictures are to be turned by a quarter."""
    straight = b"".join(n.to_bytes(4, "big") for n in (1 << 16, 0, 0, 0, 1 << 16, 0, 0, 0, 1 << 30))
    quarter = b"".join(n.to_bytes(4, "big") for n in (0, 1 << 16, 0, 0xFFFF0000, 0, 0, 240 << 16, 0, 1 << 30))
    data = path.read_bytes()
    at = data.index(straight, data.index(b"tkhd"))
    path.write_bytes(data[:at] + quarter + data[at + len(quarter) :])
    return path


def playlist(target: str) -> bytes:
    """Return an HLS playlist that names a file or an address."""
    return f"#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:10,\n{target}\n#EXT-X-ENDLIST\n".encode()


def concat(target: str) -> bytes:
    """Return a list of files for FFmpeg's format concat."""
    return f"ffconcat version 1.0\nfile {target}\n".encode()


def dash(target: str) -> bytes:
    """Return a DASH manifest that names a file or an address."""
    return (
        '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static" '
        'mediaPresentationDuration="PT10S" profiles="urn:mpeg:dash:profile:isoff-on-demand:2011">'
        f'<Period><AdaptationSet mimeType="video/mp4"><Representation id="1" bandwidth="1"><BaseURL>{target}'
        "</BaseURL></Representation></AdaptationSet></Period></MPD>"
    ).encode()
