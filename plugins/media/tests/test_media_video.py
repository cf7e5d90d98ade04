"""What is seen in videos: scenes, pictures; every stage once, whatever dies; insights and chapters."""

from __future__ import annotations

import io
import json
import os
import shutil
import wave
from collections import Counter
from pathlib import Path
from typing import Any

import av
import media_samples as samples
import pytest
from hopyard import Plugin, PluginSettings, Queue, hookimpl, task
from hopyard.testing import DieAfter, FakeModel, Hop
from hopyard_media import Media
from hopyard_media.chapters import chapters
from hopyard_media.models import Segment
from hopyard_media.video.scenes import moments
from hypothesis import given
from hypothesis import strategies as st

STAGES = ["probe", "sound", "transcript", "scenes", "key_frames", "sheet", "insights"]


@pytest.fixture(scope="session")
def made_film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A video of 12 seconds with cuts at 4 and 8 seconds, in which a person says something."""
    said = samples.read_wave(samples.speech_folder() / "cards" / "005.wav")
    return samples.video(tmp_path_factory.mktemp("film") / "film.mp4", spoken=said)


@pytest.fixture
def film(folder: Path, made_film: Path) -> str:
    """That video in the root `in`."""
    shutil.copy(made_film, folder)
    return made_film.name


def process(hop: Hop, way: str, **arguments: Any) -> Any:
    return hop.run("media.process_video", root="in", way=way, **arguments)


def states(video: Any) -> dict[str, str]:
    return {one.name: one.state for one in video.stages}


def test_a_video_is_known_by_its_stages(hop: Hop, film: str, out: Path) -> None:
    outcome = process(hop, film, sound=True, formats=["srt"])
    video = outcome.result()
    assert [one.name for one in video.stages] == STAGES
    assert {*states(video).values()} == {"done", "failed"}
    assert video.stages[-1].detail == "no enabled plugin has the task ai.analyze_content: install hopyard-ai"
    assert (video.duration, video.format) == (pytest.approx(12, abs=0.1), "mov,mp4,m4a,3gp,3g2,mj2")
    assert (video.streams[0]["width"], video.streams[0]["codec"]) == (320, "h264")
    assert "hearts" in video.transcript.text
    assert video.scenes == [0.0, 4.0, 8.0]
    assert [one.at for one in video.key_frames] == [2.0, 6.0, 10.0]
    for picture in [*video.key_frames, video.sheet]:
        data = (out / picture.file).read_bytes()
        assert len(data) == picture.size
        with av.open(io.BytesIO(data), mode="r") as shown:
            stream = shown.streams.video[0]
            assert (stream.width, stream.height) == (picture.width, picture.height)
    with wave.open(str(out / video.sound)) as sound:
        assert (sound.getframerate(), sound.getnchannels()) == (16_000, 1)
        assert sound.getnframes() / 16_000 == pytest.approx(4, abs=1)
    assert outcome.progress[-1][:2] == (7, 7)


def test_the_pictures_are_those_of_their_scenes(hop: Hop, film: str, out: Path) -> None:
    """The first scene has FFmpeg's test picture, the third a fractal: their colours tell them apart."""
    video = process(hop, film).result()
    given = [_colours(next(iter(samples._pictures(one, (320, 240), 0.04)))) for one in samples.SCENES[:3]]
    for n, picture in enumerate(video.key_frames):
        with av.open(str(out / picture.file)) as shown:
            mine = _colours(next(shown.decode(video=0)))
        distances = [sum(abs(a - b) for a, b in zip(mine, other, strict=True)) for other in given]
        if n < 2:  # the fractal grows
            assert distances[n] == min(distances)


def _colours(frame: Any) -> list[float]:
    small = frame.reformat(width=4, height=4, format="rgb24")
    line = small.planes[0].line_size
    data = bytes(small.planes[0])
    return [float(data[row * line + n]) for row in range(4) for n in range(12)]


@pytest.mark.parametrize("own_settings", [{"limits": {"part_seconds": 10}}])
def test_a_cut_where_parts_meet_is_found_once(hop: Hop, folder: Path, children: list[Any]) -> None:
    samples.video(folder / "a.mkv", [10, 9, 6])
    video = process(hop, "a.mkv").result()
    assert video.scenes == [0.0, 10.0, 19.0]
    assert len([name for name, _ in children if name == "cuts"]) == 2
    assert states(video)["transcript"] == "skipped"


def test_sound_alone_has_no_scenes(hop: Hop, folder: Path, speech: Path) -> None:
    shutil.copy(speech / "cards" / "005.wav", folder)
    video = process(hop, "005.wav").result()
    assert states(video) == {
        "probe": "done",
        "sound": "skipped",
        "transcript": "done",
        "scenes": "skipped",
        "key_frames": "skipped",
        "sheet": "skipped",
        "insights": "failed",
    }
    assert {one.name: one.detail for one in video.stages}["sheet"] == "it has no moving pictures"


def test_pictures_that_lie_are_shown_upright(hop: Hop, folder: Path, out: Path) -> None:
    """Telephones say how a picture is to be turned."""
    samples.video(folder / "lying.mov", [1])
    samples.turned(folder / "lying.mov")
    (picture,) = process(hop, "lying.mov").result().key_frames
    assert (picture.width, picture.height) == (240, 320)


#: A death after the checkpoint of each stage, and in the midst of one; with the variable, after each word.
DEATHS = [("save", n) for n in range(2, 7)] + [
    ("progress", n) for n in (range(1, 19) if "HOPYARD_INTERNAL_EXAMPLES" in os.environ else (12,))
]


@pytest.mark.parametrize(("moment", "count"), DEATHS)
def test_killed_anywhere_it_repeats_no_finished_stage(
    film: str,
    folder: Path,
    hop_settings: dict[str, Any],
    tmp_path: Path,
    children: list[tuple[str, Any]],
    moment: str,
    count: int,
) -> None:
    with Hop("ai", Media, folder=tmp_path / "hopyard", settings=hop_settings) as hop:
        hop.inject(DieAfter(save=count) if moment == "save" else DieAfter(progress=count))
        outcome = process(hop, film, sound=True)
        video = outcome.result()
        assert outcome.attempt == 2
        done = Counter(one for one in children if one[0] != "probe")
        pictures = [number for (name, _), number in done.items() if name == "picture"]
        assert len(pictures) == 3
        # The pictures are one stage: a death among them takes those of it that were made.
        assert {number for (name, _), number in done.items() if name != "picture"} == {1}
        assert sum(pictures) <= 5
        assert [*states(video).values()].count("known") <= 1, "kept, but not said before the death"
        assert {*states(video).values()} <= {"done", "known"}
        attempts = [one.attempt for one in video.stages]
        assert attempts[1:] == sorted(attempts[1:])
        if moment == "save":  # what is in the checkpoint was done by the attempt that died
            assert attempts[1 : min(count, 6)] == [1] * (min(count, 6) - 1)
        assert len(hop.jobs("ai.analyze_content")) == 1
        again = process(hop, film, sound=True).result()
        assert [one.state for one in again.stages[1:6]] == ["known"] * 5


def test_a_file_that_is_gone_is_made_again(hop: Hop, film: str, out: Path) -> None:
    first = process(hop, film).result()
    (out / first.sheet.file).unlink()
    (out / first.key_frames[0].file).write_bytes(b"")
    again = process(hop, film).result()
    assert (states(again)["sheet"], states(again)["key_frames"], states(again)["scenes"]) == (
        "done",
        "done",
        "known",
    )
    assert (out / first.sheet.file).stat().st_size == first.sheet.size


def test_without_a_place_for_files_the_rest_is_done(
    film: str, hop_settings: dict[str, Any], tmp_path: Path
) -> None:
    own = {**hop_settings["plugins.media.settings"]}
    own.pop("output")
    with Hop(Media, folder=tmp_path / "h", settings={"plugins.media.settings": own}) as hop:
        video = process(hop, film).result()
        assert (states(video)["key_frames"], video.scenes) == ("skipped", [0.0, 4.0, 8.0])
        outcome = process(hop, film, sound=True)
        assert "expected `output` in the settings" in outcome.error["message"]


def test_offline_insights_say_so(film: str, hop_settings: dict[str, Any], tmp_path: Path) -> None:
    with Hop("ai", Media, folder=tmp_path / "hopyard", settings=hop_settings) as hop:
        video = process(hop, film).result()
        assert (states(video)["insights"], video.insights.offline) == ("done", True)
        assert "hearts" in video.insights.summary
        made = hop.run("media.enhance_video_with_ai", root="in", way=film).result()
        assert (made.offline, made.draft, made.language) == (True, True, "en")
        assert [one.partition(":")[0] for one in made.missing] == ["learning insights"]
        assert made.chapters[0].title
        assert made.chapters[0].start < made.chapters[0].end <= made.duration
        assert not hop.run("media.enhance_video_with_ai", root="in", way=film).result().known


def test_without_the_ai_plugin_enhancing_says_what_is_missing(
    hop: Hop, film: str, children: list[Any]
) -> None:
    outcome: Any = hop.run("media.enhance_video_with_ai", root="in", way=film)
    assert (outcome.state, outcome.attempt) == ("dead", 1)
    assert outcome.error["message"].endswith("install hopyard-ai")
    assert children == [], "it is told before anything is heard"


ASKED: list[dict[str, Any]] = []


@task("ai.analyze_content")
async def analyze_content(content: str, categories: list[str] | None = None) -> dict[str, Any]:
    """Answer as the ai plugin does, and as a model that was talked into things."""
    ASKED.append({"task": "analyze", "content": content})
    return {
        "summary": "About\x00 cards.\x1b[31m",
        "key_points": ["one", "one", "two", 3, None],
        "categories": ["Cards", "Games"],
        "entities": [{"name": "Queen", "kind": "person"}, {"kind": "place"}, "x"],
        "spent": {"offline": False},
    }


@task("ai.process_with_llm")
async def process_with_llm(content: str, operation: str = "summarize") -> dict[str, Any]:
    """Answer as the ai plugin does."""
    ASKED.append({"task": operation, "content": content})
    return {"text": "", "points": ["Cards have suits."], "spent": {"offline": False}}


class Ai(Plugin[PluginSettings]):
    """A plugin in the place of the ai plugin."""

    @hookimpl
    def register_queues(self) -> list[Queue]:
        return [Queue("ai")]

    @hookimpl
    def register_tasks(self) -> list[Any]:
        return [analyze_content, process_with_llm]


def test_a_recording_is_enhanced_once(film: str, hop_settings: dict[str, Any], tmp_path: Path) -> None:
    ASKED.clear()
    with Hop({"ai": Ai}, Media, folder=tmp_path / "hopyard", settings=hop_settings) as hop:
        made = hop.run("media.enhance_video_with_ai", root="in", way=film).result()
        assert (made.digest, made.topics) == ("About  cards. [31m", ["Cards", "Games"])
        assert made.learning_insights == ["Cards have suits."]
        assert made.tags == ["cards", "games", "queen"]
        assert [one.title for one in made.chapters] == ["Cards, Games"]
        assert (made.offline, made.missing, made.known) == (False, [], False)
        assert [one["task"] for one in ASKED] == ["analyze", "extract_insights"]
        assert hop.run("media.enhance_video_with_ai", root="in", way=film).result().known
        assert len(ASKED) == 2
        assert not hop.run("media.enhance_video_with_ai", root="in", way=film, fresh=True).result().known
        assert len(ASKED) == 4


def test_a_model_gets_what_is_said_as_content_and_no_tool(
    film: str, hop_settings: dict[str, Any], tmp_path: Path, fake_model: FakeModel
) -> None:
    for _ in range(10):
        fake_model.calls(("media__transcribe_audio", {"root": "in", "way": "other.mp4"}))
    settings = {**hop_settings, **fake_model.settings}
    with Hop("ai", Media, folder=tmp_path / "hopyard", settings=settings) as hop:
        outcome = process(hop, film)
        assert states(outcome.result())["insights"] in ("done", "failed")
        assert hop.jobs("media.transcribe_audio") == []
    assert fake_model.requests
    for request in fake_model.requests:
        assert "media__" not in json.dumps(request.get("tools", []))
        system = [one["content"] for one in request["messages"] if one["role"] in ("system", "developer")]
        assert "hearts" not in json.dumps(system), "what is said is content, never instructions"


def spoken(*texts: tuple[float, str]) -> list[Segment]:
    return [Segment(start=at, end=at + 9, text=text) for at, text in texts]


def test_chapters_begin_where_the_words_change() -> None:
    hops = [(n * 10.0, "hops grow on poles above fields of barley") for n in range(60)]
    whales = [(600 + n * 10.0, "captain hunts whale across ocean storms") for n in range(60)]
    found = chapters(spoken(*hops, *whales), 1200.0, 2)
    assert [part[0].start for part in found] == [0.0, 600.0]
    assert chapters([], 100.0, 5) == []


@given(st.lists(st.tuples(st.floats(0, 40), st.text(max_size=20)), max_size=40), st.integers(1, 12))
def test_chapters_keep_all_segments_in_order(given_: list[tuple[float, str]], most: int) -> None:
    at, segments = 0.0, []
    for length, text in given_:
        segments.append(Segment(start=at, end=at + length, text=text))
        at += length + 1
    found = chapters(segments, at, most)
    assert [one for part in found for one in part] == segments
    assert all(found) or not segments
    assert len(found) <= most


@given(st.lists(st.floats(0, 1000), max_size=30), st.floats(0.1, 5000), st.integers(1, 60))
def test_moments_are_within_the_video(cuts: list[float], duration: float, count: int) -> None:
    scenes = sorted({0.0, *(at for at in cuts if at < duration)})
    found = moments(scenes, duration, count)
    assert 0 < len(found) <= count
    assert found == sorted(found)
    assert all(0 <= at <= duration for at in found)
