"""What people say in recordings is heard on this machine: words, times, parts, formats, checkpoints."""

from __future__ import annotations

import json
import os
import re
import shutil
from itertools import pairwise
from pathlib import Path
from typing import Any

import media_samples as samples
import pytest
from hopyard.testing import CancelAfter, DieAfter, Hop
from hopyard_media.models import Segment, Transcript, Word
from hopyard_media.speech import formats, joining
from hypothesis import given
from hypothesis import strategies as st

CARD = "005.wav"
PARTS = {"limits": {"part_seconds": 10}}


def transcribe(hop: Hop, way: str, **arguments: Any) -> Any:
    return hop.run("media.transcribe_audio", root="in", way=way, **arguments)


def test_what_people_say_is_heard_with_the_time_of_each_word(hop: Hop, folder: Path, speech: Path) -> None:
    shutil.copy(speech / "cards" / CARD, folder)
    made = transcribe(hop, CARD).result()
    assert (made.engine, made.language, made.draft) == ("local", "en", True)
    assert "hears English only" in made.notes[0]
    assert made.text.startswith("eight of spades")
    words = [word for one in made.segments for word in one.words]
    assert [word.word for word in words] == made.text.split()
    for before, after in pairwise(words):
        assert before.start < before.end <= after.start + 0.02
    assert all(0 <= word.start < word.end <= made.duration for word in words)
    assert all(0 <= (word.confidence or 0) <= 1 for word in words)
    assert 0 < (made.confidence or 0) < 1


def test_the_errors_of_words_on_human_recordings(
    hop: Hop, folder: Path, speech: Path, record_property: Any
) -> None:
    """The figure is reported by the run (and `make bench ONLY=speech`); only a loose bound is asserted."""
    for kind, least, bound in (("librivox", 60, 0.36), ("cards", 20, 0.2)):
        wrong = said = 0
        for name, text in samples.transcriptions(speech / kind).items():
            shutil.copy(speech / kind / f"{name}.wav", folder)
            errors, words = samples.word_errors(text, transcribe(hop, f"{name}.wav").result().text)
            wrong, said = wrong + errors, said + words
        record_property(f"word error rate, {kind}", f"{wrong / said:.1%} of {said} words")
        assert said > least
        assert wrong / said < bound


def test_words_are_counted() -> None:
    assert samples.word_errors("ten of clubs", "ten of clubs") == (0, 3)
    assert samples.word_errors("ten of clubs", "ten off the clubs") == (2, 3)
    assert samples.word_errors("ten of clubs", "10 of Clubs.") == (0, 3)
    assert samples.word_errors("ten of clubs", "") == (3, 3)


@pytest.fixture
def long(folder: Path, speech: Path) -> str:
    """33 seconds in which the same is said five times, also over the ends of parts of 10 seconds."""
    card = samples.read_wave(speech / "cards" / CARD)
    piece = card + samples.silence(2.3)
    samples.sound(folder / "long.flac", piece * 5)
    return "long.flac"


@pytest.fixture
def sparse(folder: Path, speech: Path) -> str:
    """29 seconds in three parts, in which little is said."""
    card = samples.read_wave(speech / "cards" / CARD)
    samples.sound(folder / "sparse.flac", card + samples.silence(25))
    return "sparse.flac"


@pytest.mark.parametrize("own_settings", [PARTS])
def test_no_word_is_cut_or_doubled_where_parts_meet(hop: Hop, long: str) -> None:
    in_parts = transcribe(hop, long).result()
    assert in_parts.parts == 3
    assert len(re.findall("eight of spades", in_parts.text)) == 5
    assert len(re.findall("hearts", in_parts.text)) == 5
    starts = [word.start for one in in_parts.segments for word in one.words]
    assert starts == sorted(starts)


@pytest.mark.parametrize("own_settings", [PARTS])
def test_what_was_heard_is_not_heard_again(
    hop: Hop, folder: Path, sparse: str, children: list[tuple[str, Any]]
) -> None:
    first = transcribe(hop, sparse).result()
    shutil.copy(folder / sparse, folder / "copy.flac")
    again = transcribe(hop, "copy.flac").result()
    assert (first.known, again.known, again.parts) == (0, 3, 3)
    assert [one.model_dump() for one in again.segments] == [one.model_dump() for one in first.segments]
    assert (again.way, again.sha256) == ("copy.flac", first.sha256)
    assert [name for name, _ in children] == ["probe", "hear", "hear", "hear", "probe"]
    samples.sound(folder / "other.flac", samples.silence(12))
    assert transcribe(hop, "other.flac").result().known == 0


@pytest.mark.parametrize("own_settings", [PARTS])
@pytest.mark.parametrize("moment", [2, 4])
def test_killed_it_goes_on_after_the_last_part(
    hop: Hop, sparse: str, children: list[tuple[str, Any]], moment: int
) -> None:
    hop.inject(DieAfter(progress=moment))
    outcome = transcribe(hop, sparse)
    assert outcome.result().text.count("eight of spades") == 1
    assert outcome.attempt == 2
    heard = [at for name, at in children if name == "hear"]
    assert len(heard) == 3
    assert outcome.result().known == moment - 1


@pytest.mark.parametrize("own_settings", [PARTS])
def test_cancelled_it_stops_between_parts(hop: Hop, sparse: str, children: list[tuple[str, Any]]) -> None:
    hop.inject(CancelAfter(progress=2))
    assert transcribe(hop, sparse).state == "cancelled"
    assert [name for name, _ in children].count("hear") <= 2


@pytest.mark.parametrize("own_settings", [PARTS])
def test_progress_is_in_seconds_of_sound_with_the_time_left(hop: Hop, sparse: str) -> None:
    told = transcribe(hop, sparse).progress
    assert told[0][1] == pytest.approx(told[-1][0])
    assert told[0][2] == "hearing part 1 of 3"
    assert re.fullmatch(r"hearing part 2 of 3, about \d+ s left", told[1][2])


def test_each_channel_is_a_speaker(hop: Hop, folder: Path, speech: Path) -> None:
    left = samples.read_wave(speech / "cards" / CARD)
    right = samples.silence(4) + samples.read_wave(speech / "cards" / "003.wav")
    samples.sound(folder / "call.wav", left, right)
    made = transcribe(hop, "call.wav", speakers="channels", formats=["vtt"]).result()
    assert [one.speaker for one in made.segments] == ["speaker 1", "speaker 2"]
    assert made.segments[1].start > 4
    assert transcribe(hop, "call.wav").result().segments[0].speaker is None
    samples.sound(folder / "mono.wav", left)
    outcome = transcribe(hop, "mono.wav", speakers="channels")
    assert outcome.error["message"] == "mono.wav: found 1 channels, expected 2 to 8, one for each speaker"


def test_what_has_no_sound_is_refused(hop: Hop, folder: Path) -> None:
    samples.video(folder / "silent.mkv", [0.4])
    outcome = transcribe(hop, "silent.mkv")
    assert (outcome.state, outcome.error["message"]) == ("dead", "silent.mkv: it has no sound")
    (kept,) = hop.run("media.list_recordings").result()
    assert kept.problem == "it has no sound"


def test_silence_is_no_speech(hop: Hop, folder: Path) -> None:
    samples.sound(folder / "still.wav", samples.silence(3))
    made = transcribe(hop, "still.wav").result()
    assert (made.segments, made.language, made.confidence) == ([], None, None)


@pytest.mark.parametrize("suffix", [".mp3", ".m4a", ".ogg", ".webm", ".flac", ".mkv", ".ts", ".aiff", ".avi"])
def test_all_usual_containers_are_heard(hop: Hop, folder: Path, speech: Path, suffix: str) -> None:
    card = samples.read_wave(speech / "cards" / CARD)
    codec = {".mkv": "flac", ".ts": "aac", ".aiff": "pcm_s16be"}.get(suffix)
    samples.sound(folder / f"card{suffix}", card, codec=codec, rate=48_000 if suffix != ".ts" else 16_000)
    made = transcribe(hop, f"card{suffix}").result()
    assert "hearts" in made.text
    assert made.duration == pytest.approx(len(card) / 2 / samples.RATE, abs=0.2)
    assert made.segments[0].start == pytest.approx(0.24, abs=0.15)


def test_sound_that_begins_late_keeps_its_time(hop: Hop, folder: Path, speech: Path) -> None:
    """A broadcast counts from somewhere, and its sound may begin after its pictures."""
    card = samples.read_wave(speech / "cards" / CARD)
    samples.video(folder / "late.mkv", [6], spoken=card)
    samples.delayed(folder / "late.mkv", folder / "broadcast.ts", start=5000.0, sound=2.0)
    made = transcribe(hop, "broadcast.ts").result()
    assert made.duration == pytest.approx(6, abs=0.5)
    assert made.segments[0].start == pytest.approx(2.24, abs=0.2)
    assert "hearts" in made.text


def test_files_have_all_of_it(hop: Hop, folder: Path, out: Path, speech: Path) -> None:
    shutil.copy(speech / "cards" / CARD, folder)
    made = transcribe(hop, CARD, formats=["srt", "vtt", "txt", "json"]).result()
    names = sorted(os.listdir(out))
    assert names == sorted(made.files.values())
    assert names[0] == f"005.{made.sha256[:8]}.json"
    texts = {key: (out / name).read_text() for key, name in made.files.items()}
    assert texts["srt"].startswith("1\n00:00:00,240 --> 00:00:0")
    assert texts["vtt"].startswith("WEBVTT\n\n00:00:00.240 --> ")
    assert texts["txt"] == made.text + "\n"
    assert json.loads(texts["json"])["segments"][0]["words"][0]["word"] == "eight"


def test_a_transcript_that_is_too_long_for_a_result_is_shortened_and_kept_whole() -> None:
    from hopyard_media.speech.transcribing import shortened

    words = [Word(word="word", start=n, end=n + 0.5, confidence=0.5) for n in range(100)]
    segment = Segment(start=0, end=100, text="word " * 100, words=words)
    fields = {"root": "in", "way": "a", "sha256": "0" * 64, "duration": 9.0, "engine": "local"}
    fields |= {"language": "en", "draft": True, "isolated": True, "confidence": 0.5, "parts": 1, "known": 0}
    small = Transcript(**fields, segments=[segment])
    assert shortened(small) is small
    middle = shortened(Transcript(**fields, segments=[segment] * 100))
    assert (middle.shortened, len(middle.segments), middle.segments[0].words) == (True, 100, [])
    large = shortened(Transcript(**fields, segments=[segment] * 10_000))
    assert large.shortened
    assert 100 < len(large.segments) < 1000
    assert len(large.model_dump_json()) < 500_000


TEXT = st.text(st.characters(codec="utf-8"), max_size=40)


@given(TEXT, st.none() | TEXT, st.floats(0, 90_000), st.floats(0, 100))
def test_no_text_breaks_out_of_its_subtitle(
    text: str, speaker: str | None, start: float, length: float
) -> None:
    segment = Segment(start=start, end=start + length, text=text, speaker=speaker)
    fields = {"root": "in", "way": "a", "sha256": "", "duration": 9.0, "engine": "local", "language": None}
    made = Transcript(
        **fields, draft=False, isolated=True, confidence=None, parts=1, known=0, segments=[segment] * 2
    )
    clock = r"\d\d:\d\d:\d\d"
    srt = formats.text_of(made, "srt").rstrip("\n").split("\n")
    assert sum(bool(re.fullmatch(rf"{clock},\d{{3}} --> {clock},\d{{3}}", line)) for line in srt) == 2
    assert sum("-->" in line for line in srt) == 2
    vtt = formats.text_of(made, "vtt")
    assert vtt.count("-->") == 2
    assert "<" not in vtt.replace("<v ", "")


@given(st.floats(0.1, 50_000), st.floats(10, 3600))
def test_parts_cover_all_and_overlap(duration: float, seconds: float) -> None:
    parts = joining.parts(duration, seconds)
    assert parts[0].start == 0
    assert parts[-1].end == duration
    for before, after in pairwise(parts):
        assert before.end == after.start
        assert before.last > after.start > after.first
    assert all(part.end - part.start <= 1.5 * seconds + 0.01 for part in parts)


@given(st.lists(st.floats(0, 99.9), unique=True), st.floats(10, 60))
def test_each_word_belongs_to_one_part(starts: list[float], seconds: float) -> None:
    heard: list[dict[str, Any]] = [
        {"words": [{"word": "a", "start": at, "end": at + 0.2}]} for at in sorted(starts)
    ]
    kept = []
    for part in joining.parts(100.0, seconds):
        around = [one for one in heard if part.first <= one["words"][0]["start"] <= part.last]
        kept += [one["words"][0]["start"] for one in joining.own(part, around)]
    assert kept == sorted(starts)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ({"root": "other"}, "expected one of: in, out"),
        ({"way": "../x.wav"}, "expected names below the root"),
        ({"way": "no.wav"}, "there is no no.wav in the root `in`"),
        ({"engine": "cloud"}, "expected `cloud` in the settings"),
        ({"engine": "whisper"}, "expected `whisper` in the settings"),
        ({"engine": "hybrid"}, "expected `cloud` in the settings"),
        ({"language": "de"}, "hears English only"),
        ({"language": "English please"}, "expected a code such as en"),
    ],
)
def test_what_makes_no_sense_is_refused_at_once(
    hop: Hop, folder: Path, arguments: dict[str, Any], expected: str
) -> None:
    samples.sound(folder / "a.wav", samples.silence(1))
    given = {"root": "in", "way": "a.wav", **arguments}
    outcome: Any = hop.run("media.transcribe_audio", **given)
    assert (outcome.state, outcome.attempt) == ("dead", 1)
    assert expected in outcome.error["message"]


def test_a_recording_that_is_changed_meanwhile_is_read_again(
    hop: Hop, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing of a mixture is kept under the content of before."""
    from hopyard_media.speech import engines

    path = samples.sound(folder / "a.wav", samples.silence(3))
    hear, changes = engines.Local.hear, [4.0]

    async def changed(self: Any, source: Any, *rest: Any) -> Any:
        if changes:
            samples.sound(path, samples.silence(changes.pop()))
        return await hear(self, source, *rest)

    monkeypatch.setattr(engines.Local, "hear", changed)
    outcome = transcribe(hop, "a.wav")
    assert outcome.attempt == 2
    assert "was changed while it was read" in outcome.attempts[0]["message"]
    assert outcome.result().duration == 4


def test_what_decodes_is_cut_off_from_the_network(hop: Hop, folder: Path) -> None:
    samples.sound(folder / "a.wav", samples.silence(1))
    made = transcribe(hop, "a.wav").result()
    if not made.isolated:
        pytest.skip("this kernel lets nobody make a network of his own")
    assert made.isolated
