"""Recordings that are damaged, joined of several, or odd in form: what can be read is, and it is said."""

from __future__ import annotations

import io
import json
import struct
import wave
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import av
import media_samples as samples
import pytest
from hopyard import portal, sandbox, storage
from hopyard.testing import DieAfter, Hop
from hopyard_media import sources, store
from hopyard_media.engine.container import Clock, packets
from hypothesis import given
from hypothesis import strategies as st

DRAFT = "a draft by PocketSphinx, which hears English only and many words wrongly"
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


def hurt(path: Path, first: float, last: float) -> Path:
    """Make what a recording has between two moments such that nothing of it can be decoded."""
    with av.open(str(path)) as media:
        places = [
            (packet.pos, packet.size)
            for packet in media.demux()
            if packet.pts is not None
            and packet.pos is not None
            and first < packet.pts * packet.time_base < last
        ]
    data = bytearray(path.read_bytes())
    for at, size in places:
        data[at : at + size] = b"\xff" * size
    path.write_bytes(data)
    return path


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
    hurt(samples.sound(folder / "hurt.m4a", tone(50, 3_000)), 12, 48)
    for known in (0, 3):
        made = hop.run("media.transcribe_audio", root="in", way="hurt.m4a").result()
        assert (made.parts, made.known) == (5, known), "the other three parts were heard, and are kept"
        left_out = [note.partition(": none of its ")[0] for note in made.notes]
        assert left_out == [DRAFT, "left out, at 20 to 30 s", "left out, at 30 to 40 s"]


Faulty = Callable[[str, Callable[[float], None]], None]


@pytest.fixture
def faulty(monkeypatch: pytest.MonkeyPatch) -> Faulty:
    """Have something befall children that do an operation, by where it begins."""
    run_told = sandbox.run_told

    def befall(operation: str, what: Callable[[float], None]) -> None:
        async def run(package: Path, name: str, order: Mapping[str, Any], *rest: Any) -> dict[str, Any]:
            if name == operation:
                what(order.get("start", order.get("at")))
            return await run_told(package, name, order, *rest)

        monkeypatch.setattr(sandbox, "run_told", run)

    return befall


def raising(error: Exception, times: int = 1_000) -> Callable[[float], None]:
    """Return what befalls the second part of a recording, so many times."""
    left = [error] * times

    def befall(at: float) -> None:
        if 0 < at < 10 and left:
            raise left.pop()

    return befall


@PARTS
@pytest.mark.parametrize(
    ("error", "attempts", "category"),
    [
        (sandbox.Breakdown("reading it took longer than 220 s"), 6, "resource"),
        (sandbox.Refusal("the Whisper model cannot be used: no file"), 1, "invalid_input"),
    ],
)
def test_only_what_cannot_be_decoded_is_left_out(
    hop: Hop, folder: Path, faulty: Faulty, error: Exception, attempts: int, category: str
) -> None:
    """A limit, a crash or a model that is none would else make holes in what looks like a transcript."""
    samples.sound(folder / "a.flac", samples.silence(30))
    faulty("hear", raising(error))
    outcome: Any = hop.run("media.transcribe_audio", root="in", way="a.flac")
    assert (outcome.state, outcome.attempt) == ("dead", attempts)
    assert (outcome.error["category"], outcome.error["message"]) == (category, f"a.flac: {error}")
    known = hop.run("media.show_recording", root="in", way="a.flac").result()
    assert (known.transcript, known.recording.problem) == (None, str(error))


@PARTS
def test_a_limit_that_passes_costs_nothing(hop: Hop, folder: Path, faulty: Faulty) -> None:
    samples.sound(folder / "a.flac", samples.silence(30))
    faulty("hear", raising(sandbox.Breakdown("reading it took longer than 220 s"), times=1))
    outcome = hop.run("media.transcribe_audio", root="in", way="a.flac")
    assert (outcome.attempt, outcome.result().known, outcome.result().notes) == (2, 1, [DRAFT])


@PARTS
def test_a_real_limit_is_no_damage(hop: Hop, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The child of the second part, which with what is around it has 20 s, has too little time, or memory."""
    samples.sound(folder / "a.flac", samples.silence(30))
    limits = sources.child_limits
    for changed, expected in (
        ({"seconds": 0.01}, "a.flac: reading it took longer than 0.01 s"),
        ({"memory": 60_000_000}, "a.flac: it "),
    ):

        def lowered(seconds: float, size: int = 0, changed: Any = changed) -> sandbox.Limits:
            return replace(limits(seconds, size), **(changed if seconds == 20 else {}))

        monkeypatch.setattr(sources, "child_limits", lowered)
        error = hop.run("media.transcribe_audio", root="in", way="a.flac").error
        assert error is not None
        assert (error["category"], error["message"].startswith(expected)) == ("resource", True), error


FILM = pytest.mark.parametrize("own_settings", [{"limits": {"part_seconds": 10}, "pictures": {"count": 4}}])
LEFT_OUT = [
    "left out, at 20 to 30 s",
    "left out, at 30 to 40 s",
    "left out, at 15 s",
    "left out, at 25 s",
    "left out, at 40 s",
]


@FILM
@pytest.mark.parametrize("saved", [None, 4, 5, 6])
def test_what_a_video_lacks_is_said_each_time(hop: Hop, folder: Path, saved: int | None) -> None:
    """Also by an attempt after a death, and by another job, for which scenes and pictures are known."""
    film = samples.video(folder / "hurt.mov", [10] * 5, size=(64, 48), codec="mjpeg")
    hurt(film, 12, 48)
    if saved is not None:
        hop.inject(DieAfter(save=saved))
    for n in range(2):
        outcome = hop.run("media.process_video", root="in", way="hurt.mov", insights=False)
        made = outcome.result()
        assert outcome.attempt == (1 if n or saved is None else 2)
        states = {one.name: one.state for one in made.stages}
        assert (states["scenes"], states["key_frames"]) == (("known",) * 2 if n else ("done",) * 2)
        assert [note.partition(":")[0] for note in made.notes] == LEFT_OUT
        assert [one.at for one in made.key_frames] == [5.0]
        shown = hop.run("media.show_recording", root="in", way="hurt.mov").result()
        assert shown.video.notes == made.notes


@FILM
def test_what_was_kept_without_notes_is_looked_at_again(hop: Hop, folder: Path) -> None:
    """An earlier release kept lists under other keys, and not what they lack."""
    film = samples.video(folder / "hurt.mov", [10] * 5, size=(64, 48), codec="mjpeg")
    hurt(film, 12, 48)
    first = hop.run("media.process_video", root="in", way="hurt.mov", insights=False).result()
    portal.run(
        storage.execute(
            "UPDATE media_result SET options = $1, result = $2 WHERE step = 'scenes'",
            store.digest("stage", "scenes", 0.3),
            json.dumps(first.scenes),
        )
    )
    again = hop.run("media.process_video", root="in", way="hurt.mov", insights=False).result()
    assert {one.name: one.state for one in again.stages}["scenes"] == "done"
    assert (again.scenes, again.notes) == (first.scenes, first.notes)


@pytest.mark.parametrize("bad", [5, 6])
def test_up_to_five_pictures_are_left_out(hop: Hop, folder: Path, faulty: Faulty, bad: int) -> None:
    samples.video(folder / "a.mkv", [40, 40], size=(64, 48), codec="mjpeg")

    def torn(at: float) -> None:
        if at < bad * 10:
            raise sandbox.Refusal("it is torn", "undecodable")

    faulty("picture", torn)
    outcome: Any = hop.run("media.process_video", root="in", way="a.mkv", insights=False)
    if bad == 5:
        made = outcome.result()
        assert [one.at for one in made.key_frames] == [55.0, 65.0, 75.0]
        assert made.notes == [f"left out, at {at} s: it is torn" for at in (5, 15, 25, 35, 45)]
    else:
        assert (outcome.state, outcome.attempt) == ("dead", 1)
        assert outcome.error["message"] == "a.mkv: it is torn"


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
