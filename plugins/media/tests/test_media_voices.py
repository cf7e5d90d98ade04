"""Speakers within one channel: the real sherpa-onnx, with toy models that tell low tones from high ones."""

from __future__ import annotations

import importlib.util
import json
import math
import os
import struct
import sys
from pathlib import Path
from typing import Any

import media_samples as samples
import pytest
import toy_voices
from hopyard.errors import PluginError
from hopyard.testing import Hop
from hopyard_media import Media
from hopyard_media.engine.faults import Missing
from hopyard_media.engine.voices import turns_of
from hopyard_media.speech.voices import Turn, segments
from hypothesis import given
from hypothesis import strategies as st

needs_sherpa = pytest.mark.skipif(
    importlib.util.find_spec("sherpa_onnx") is None, reason="sherpa-onnx is not installed"
)
LOW, HIGH = 200, 2_000


def tone(hertz: int, seconds: float) -> bytes:
    """Return the samples of a tone: a toy voice."""
    count = round(seconds * samples.RATE)
    wave = (16_000 * math.sin(2 * math.pi * hertz * n / samples.RATE) for n in range(count))
    return b"".join(struct.pack("<h", round(one)) for one in wave)


@pytest.fixture
def voices(tmp_path: Path) -> dict[str, Any]:
    """The settings with the toy models."""
    place = tmp_path / "models"
    place.mkdir()
    segmentation, embedding = toy_voices.make(place)
    return {"segmentation": str(segmentation), "embedding": str(embedding)}


def hop_with(hop_settings: dict[str, Any], tmp_path: Path, **more: Any) -> Hop:
    """An installation with more settings."""
    own = {**hop_settings["plugins.media.settings"], **more}
    return Hop(Media, folder=tmp_path / "h", settings={"plugins.media.settings": own})


@needs_sherpa
def test_who_speaks_is_told_by_voice(
    hop_settings: dict[str, Any],
    tmp_path: Path,
    folder: Path,
    speech: Path,
    voices: dict[str, Any],
    children: list[tuple[str, Any]],
) -> None:
    """A sentence of a person, with a low tone before it and a high one behind, which stand for speakers."""
    card = samples.read_wave(speech / "cards" / "005.wav")
    samples.sound(folder / "a.wav", tone(LOW, 3) + card + tone(HIGH, 3))
    with hop_with(hop_settings, tmp_path, voices=voices, privacy=True) as hop:
        alone = hop.run("media.transcribe_audio", root="in", way="a.wav").result()
        assert {one.speaker for one in alone.segments} == {None}
        made = hop.run("media.transcribe_audio", root="in", way="a.wav", speakers="voices").result()
        assert made.known == made.parts == 1, "what was heard serves both"
        assert {one.speaker for one in made.segments} <= {None, "speaker 1", "speaker 2", "speaker 3"}
        assert {one.speaker for one in made.segments} != {None}
        assert made.text.split() == alone.text.split()
        hop.run("media.transcribe_audio", root="in", way="a.wav", speakers="voices").result()
        assert [name for name, _ in children].count("voices") == 1
        shown = hop.run("media.show_recording", root="in", way="a.wav").result()
        assert shown.transcript.segments == made.segments
        samples.sound(folder / "b.wav", tone(LOW, 3))
        Path(voices["embedding"]).write_bytes(b"x")
        outcome: Any = hop.run("media.transcribe_audio", root="in", way="b.wav", speakers="voices")
        assert "the models of `voices` cannot be used" in outcome.error["message"]
        Path(voices["embedding"]).unlink()
        outcome = hop.run("media.transcribe_audio", root="in", way="b.wav", speakers="voices")
        assert "cannot be read: see `voices` in the settings" in outcome.error["message"]


@needs_sherpa
def test_turns_are_those_of_the_tones(
    hop_settings: dict[str, Any], tmp_path: Path, folder: Path, voices: dict[str, Any]
) -> None:
    low, high, still = tone(LOW, 4), tone(HIGH, 4), samples.silence(1)
    samples.sound(folder / "a.flac", low + still + high + still + low)
    with hop_with(hop_settings, tmp_path, voices=voices) as hop:
        hop.run("media.transcribe_audio", root="in", way="a.flac", speakers="voices").result()
        (row,) = hop.fetch("SELECT result FROM media_result WHERE step = 'turns'")
    turns = [Turn(**one) for one in json.loads(row["result"])]
    assert [one.speaker for one in turns] == [0, 1, 0]
    for turn, start in zip(turns, (0, 5, 10), strict=True):
        assert turn.start == pytest.approx(start, abs=0.3)
        assert turn.end == pytest.approx(start + 4, abs=0.3)


@needs_sherpa
@pytest.mark.parametrize("replaced", ["segmentation", "embedding"])
def test_another_model_under_the_same_name_finds_its_own_turns(
    hop_settings: dict[str, Any],
    tmp_path: Path,
    folder: Path,
    voices: dict[str, Any],
    children: list[tuple[str, Any]],
    replaced: str,
) -> None:
    samples.sound(folder / "a.wav", tone(LOW, 2))
    with hop_with(hop_settings, tmp_path, voices=voices) as hop:

        def asked() -> int:
            hop.run("media.transcribe_audio", root="in", way="a.wav", speakers="voices").result()
            return [name for name, _ in children].count("voices")

        assert [asked(), asked()] == [1, 1]
        path = Path(voices[replaced])
        state = path.stat()
        os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns + 1_000_000_000))
        assert [asked(), asked()] == [2, 2]


def test_what_is_not_set_up_is_refused_at_once(
    hop: Hop, folder: Path, speech: Path, children: list[tuple[str, Any]]
) -> None:
    samples.sound(folder / "a.wav", tone(LOW, 1))
    outcome: Any = hop.run("media.transcribe_audio", root="in", way="a.wav", speakers="voices")
    assert (outcome.state, outcome.attempt) == ("dead", 1)
    assert "expected `voices` in the settings, the files of two models" in outcome.error["message"]
    assert children == []


def test_without_the_extra_it_says_what_to_install(
    voices: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "sherpa_onnx", None)
    with pytest.raises(Missing, match=r"pip install 'hopyard-media\[diarize\]'"):
        turns_of([], **voices, speakers=0, threshold=0.5)


def test_a_recording_that_is_too_long_for_it_is_refused(
    hop_settings: dict[str, Any], tmp_path: Path, folder: Path, voices: dict[str, Any]
) -> None:
    samples.sound(folder / "a.wav", tone(LOW, 2))
    with hop_with(hop_settings, tmp_path, voices={**voices, "max_seconds": 1}) as hop:
        outcome: Any = hop.run("media.transcribe_audio", root="in", way="a.wav", speakers="voices")
        assert outcome.error["message"] == (
            "a.wav: found 2 s, expected at most 1 to tell voices apart (`voices.max_seconds`)"
        )


def test_models_that_are_not_there_are_told_by_the_settings(
    hop_settings: dict[str, Any], tmp_path: Path, voices: dict[str, Any]
) -> None:
    voices["embedding"] = str(tmp_path / "none.onnx")
    with (
        pytest.raises(PluginError, match=r"embedding.*expected a file that is there"),
        hop_with(hop_settings, tmp_path, voices=voices),
    ):
        pass


def word(text: str, start: float, end: float) -> dict[str, Any]:
    return {"word": text, "start": start, "end": end, "confidence": None}


def turn(start: float, end: float, speaker: int) -> Turn:
    return Turn(start=start, end=end, speaker=speaker)


def test_a_word_is_said_by_who_speaks_for_most_of_it() -> None:
    turns = [turn(0, 1.0, 0), turn(0.9, 2.0, 1)]
    said = [word("good", 0.1, 0.5), word("day", 0.6, 1.1), word("hello", 1.2, 1.5), word("late", 2.1, 2.3)]
    found = segments([{"words": said}, {"words": [word("nobody", 9, 9.4)]}], turns)
    assert [(one.text, one.speaker) for one in found] == [
        ("good day", "speaker 1"),
        ("hello late", "speaker 2"),
        ("nobody", None),
    ]
    whole = segments([{"start": 0.2, "end": 1.9, "text": "all of it"}], turns)
    assert [(one.text, one.speaker) for one in whole] == [("all of it", "speaker 2")]


@given(
    st.lists(st.tuples(st.floats(0, 100), st.floats(0, 5)), max_size=30),
    st.lists(st.tuples(st.floats(0, 100), st.floats(0, 20), st.integers(0, 4)), max_size=20),
)
def test_no_word_is_lost(spans: list[tuple[float, float]], given_: list[tuple[float, float, int]]) -> None:
    said = [word(f"w{n}", start, start + length) for n, (start, length) in enumerate(sorted(spans))]
    found = segments([{"words": said}], [turn(start, start + length, who) for start, length, who in given_])
    assert [one.word for each in found for one in each.words] == [one["word"] for one in said]
