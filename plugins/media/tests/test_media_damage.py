"""Recordings that are damaged, joined of several, or odd in form: what can be read is, and it is said."""

from __future__ import annotations

import io
import struct
import wave
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import av
import media_samples as samples
import pytest
from hopyard.testing import Hop
from hopyard_media.engine.container import Clock, packets
from hypothesis import given
from hypothesis import strategies as st

PARTS = pytest.mark.parametrize("own_settings", [{"limits": {"part_seconds": 10}}])


def tone(seconds: int, loudness: int) -> bytes:
    return struct.pack("<8h", *[loudness, -loudness] * 4) * (seconds * samples.RATE // 8)


def wav(path: Path, channels: int, rate: int, loudness: Mapping[int, int], seconds: int = 2) -> None:
    frame = struct.pack(f"<{channels}h", *(loudness.get(n, 0) for n in range(channels)))
    with wave.open(str(path), "wb") as made:
        made.setnchannels(channels)
        made.setsampwidth(2)
        made.setframerate(rate)
        made.writeframes(frame * (rate * seconds))


def sound_of(hop: Hop, out: Path, way: str) -> list[int]:
    """Return how loud the middle of each second of a recording's sound is."""
    made = hop.run("media.process_video", root="in", way=way, sound=True, insights=False).result()
    with wave.open(io.BytesIO((out / made.sound).read_bytes())) as file:
        data = memoryview(file.readframes(file.getnframes())).cast("h")
    return [
        max(abs(one) for one in data[at + 4_000 : at + 12_000]) for at in range(0, len(data) - 15_000, 16_000)
    ]


@pytest.mark.parametrize(
    ("suffix", "codec", "rates"),
    [
        (".mp3", "libmp3lame", (16_000, 44_100)),
        (".ts", "mp2", (16_000, 48_000)),
        (".ogg", "libopus", (48_000,) * 2),
    ],
)
def test_joined_recordings_are_heard_to_their_end(
    hop: Hop, folder: Path, out: Path, suffix: str, codec: str, rates: tuple[int, int]
) -> None:
    whole = b""
    for n, rate in enumerate(rates):
        part = samples.sound(folder / f"part{suffix}", tone(3, 2_000 * (n + 1)), codec=codec, rate=rate)
        whole += part.read_bytes()
    (folder / f"joined{suffix}").write_bytes(whole)
    loud = sound_of(hop, out, f"joined{suffix}")
    assert len(loud) == 6
    assert max(loud[:3]) < min(loud[3:])
    known = hop.run("media.show_recording", root="in", way=f"joined{suffix}").result()
    assert ("it is several recordings, joined" in known.video.notes) == (suffix != ".mp3")


@given(st.lists(st.lists(st.integers(0, 90), min_size=1, max_size=20), min_size=1, max_size=5))
def test_times_never_begin_anew(files: list[list[int]]) -> None:
    clock, packet = Clock(), av.Packet(1)
    packet.time_base = samples.Fraction(1, 10)
    before, later = -1, 0
    for steps in files:
        at = 0
        for step in steps:
            at += step
            packet.pts = packet.dts = at
            clock.set(packet)
            assert packet.pts is not None
            assert packet.pts >= before - 10, "a second back is no new beginning"
            assert packet.pts - at >= later, "what is added grows only"
            before, later = max(before, packet.pts), packet.pts - at


@pytest.mark.parametrize("channels", [3, 9, 16, 64])
def test_all_channels_are_mixed(hop: Hop, folder: Path, out: Path, channels: int) -> None:
    wav(folder / "many.wav", channels, 8_000, {0: 20_000})
    assert min(sound_of(hop, out, "many.wav")) > 100


@pytest.mark.parametrize(("channels", "rate"), [(255, 8_000), (1, 7)])
def test_a_sound_that_is_none_is_refused(hop: Hop, folder: Path, channels: int, rate: int) -> None:
    wav(folder / "odd.wav", channels, rate, {}, seconds=3)
    error = hop.run("media.transcribe_audio", root="in", way="odd.wav").error
    assert error is not None
    assert f"odd.wav: its sound has {rate:,} samples a second in {channels} channels" in error["message"]


@PARTS
def test_a_damaged_place_costs_itself(hop: Hop, folder: Path) -> None:
    path = samples.sound(folder / "hurt.m4a", tone(50, 3_000))
    with av.open(str(path)) as media:
        places = [
            (packet.pos, packet.size)
            for packet in media.demux(audio=0)
            if packet.pts is not None and packet.pos is not None and 12 < packet.pts * packet.time_base < 48
        ]
    data = bytearray(path.read_bytes())
    for at, size in places:
        data[at : at + size] = b"\xff" * size
    path.write_bytes(data)
    made = hop.run("media.transcribe_audio", root="in", way="hurt.m4a").result()
    assert made.parts == 5
    left_out = [note for note in made.notes if note.startswith("left out, at 20 to 30 s: none of its")]
    assert len(left_out) == 1


def test_what_was_cut_off_is_said(hop: Hop, folder: Path) -> None:
    path = samples.sound(folder / "whole.mkv", samples.silence(20), codec="flac")
    data = path.read_bytes()
    (folder / "cut.mkv").write_bytes(data[: len(data) // 2])
    made = hop.run("media.transcribe_audio", root="in", way="cut.mkv").result()
    assert made.duration < 15
    assert any(note.startswith("its head says 20 s, and ") for note in made.notes)


def test_huge_tags_do_not_keep_a_result_from_being_stored(hop: Hop, folder: Path) -> None:
    with av.open(str(folder / "tags.mkv"), "w") as made:
        stream: Any = made.add_stream("flac", rate=samples.RATE)
        stream.layout = "mono"
        made.metadata.update({f"tag {n}": "\U0001f600" * 1_000 for n in range(100)})
        samples._put_sound(made, stream, [samples.silence(1)])
    found = hop.run("media.process_video", root="in", way="tags.mkv", insights=False).result()
    assert 10 < len(found.tags) < 30


@pytest.mark.parametrize("size", [(2, 2), (2, 8_192), (16_000, 2)])
def test_pictures_of_any_shape_are_shown(hop: Hop, folder: Path, size: tuple[int, int]) -> None:
    samples.video(folder / "odd.mkv", [0.4, 0.4], size=size)
    found = hop.run("media.process_video", root="in", way="odd.mkv", insights=False).result()
    assert found.key_frames
    assert found.sheet is not None


def test_a_slide_show_has_its_pictures(hop: Hop, folder: Path) -> None:
    path = folder / "slides.mp4"
    with av.open(str(path), "w") as made:
        stream: Any = made.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 64, "yuv420p"
        for n in range(4):
            frame = av.VideoFrame(64, 64, "yuv420p")
            for plane in frame.planes:
                plane.update(bytes([60 * n]) * plane.buffer_size)
            frame.pts, frame.time_base = n * 20 * 25, samples.Fraction(1, 25)
            made.mux(stream.encode(frame))
        made.mux(stream.encode(None))
    found = hop.run("media.process_video", root="in", way="slides.mp4", insights=False).result()
    assert 20.0 in found.scenes
    assert (len(found.key_frames), found.notes) == (len({one.at for one in found.key_frames}), [])
    assert len(found.key_frames) >= 3


class Growing:
    """A broadcast in which another stream begins: PyAV raises once, and knows it from then on."""

    def __init__(self) -> None:
        self._left = [av.Packet(1), None, av.Packet(2)]

    def demux(self, _: Any) -> Iterator[Any]:
        while self._left:
            packet = self._left.pop(0)
            if packet is None:
                raise IndexError("list index out of range")
            yield packet


def test_a_stream_that_begins_later_is_passed_over() -> None:
    assert [one.size for one in packets(Growing(), [])] == [1, 2]  # type: ignore[arg-type]
