"""Many recordings: one after the other, an error for each that cannot be, and on where it was."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import media_samples as samples
import pytest
from hopyard.errors import TransientError
from hopyard.testing import CancelAfter, DieAfter, Hop
from hopyard_media.speech import engines


@pytest.fixture
def shelf(folder: Path) -> Path:
    """Four recordings, one of which is none, and a text."""
    (folder / "below").mkdir()
    for n, way in enumerate(("a.wav", "c.flac", "below/d.mp3")):
        samples.sound(folder / way, samples.silence(n + 1))
    (folder / "b.mp4").write_bytes(samples.playlist("/etc/passwd"))
    (folder / "notes.txt").write_text("no recording")
    return folder


def batch(hop: Hop, **arguments: Any) -> Any:
    return hop.run("media.batch_transcribe_videos", root="in", **arguments)


def test_an_error_costs_its_own_recording(hop: Hop, shelf: Path, out: Path) -> None:
    outcome = batch(hop, formats=["txt"])
    report = outcome.result()
    assert (report.total, report.done, report.failed) == (4, 3, 1)
    assert report.seconds == pytest.approx(6, abs=0.1)
    assert report.items[0].way == "b.mp4"
    assert "no audio or video file" in report.items[0].problem
    assert [one.way for one in report.items[1:]] == ["a.wav", "below/d.mp3", "c.flac"]
    assert len([*out.iterdir()]) == 3
    assert outcome.progress[-1][:2] == (4, 4)
    assert "4 of 4, c.flac: all parts heard" in outcome.progress[-1][2]


def test_those_that_are_named_are_taken_once(hop: Hop, shelf: Path) -> None:
    report = batch(hop, ways=["c.flac", "gone.wav", "c.flac"]).result()
    assert (report.total, report.done, report.failed) == (2, 1, 1)
    assert "there is no gone.wav" in report.items[0].problem
    assert batch(hop, under="below", patterns=["*.MP3"]).result().total == 1
    for arguments, expected in (
        ({"ways": []}, "found no recordings"),
        ({"under": "no"}, "there is no no in the root"),
        ({"ways": ["../a"]}, "expected names below the root"),
        ({"language": "de"}, "hears English only"),
    ):
        outcome = batch(hop, **arguments)
        assert (outcome.state, outcome.attempt) == ("dead", 1)
        assert expected in outcome.error["message"]


@pytest.mark.parametrize("moment", [2, 6])
def test_killed_it_goes_on(hop: Hop, shelf: Path, children: list[tuple[str, Any]], moment: int) -> None:
    hop.inject(DieAfter(progress=moment))
    outcome = batch(hop)
    assert (outcome.result().done, outcome.result().failed, outcome.attempt) == (3, 1, 2)
    assert [name for name, _ in children].count("hear") == 3
    (shelf / "new.wav").write_bytes((shelf / "a.wav").read_bytes())
    assert outcome.result().total == 4, "what comes later is not part of it"


def test_what_may_pass_is_left_for_the_next_attempt(
    hop: Hop, shelf: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hear, faults = engines.Local.hear, ["busy"]

    async def busy(self: Any, source: Any, *rest: Any) -> Any:
        if source.way == "a.wav" and faults:
            raise TransientError(faults.pop())
        return await hear(self, source, *rest)

    monkeypatch.setattr(engines.Local, "hear", busy)
    outcome = batch(hop)
    assert (outcome.result().done, outcome.attempt) == (3, 2)
    assert outcome.attempts[0]["message"] == "busy"


def test_what_never_passes_is_noted_and_a_bug_is_its_own(
    hop: Hop, shelf: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hear = engines.Local.hear

    async def broken(self: Any, source: Any, *rest: Any) -> Any:
        if source.way == "a.wav":
            raise TransientError("always busy")
        if source.way == "c.flac":
            raise ZeroDivisionError("a bug")
        return await hear(self, source, *rest)

    monkeypatch.setattr(engines.Local, "hear", broken)
    outcome = batch(hop)
    report = outcome.result()
    assert (report.done, report.failed, outcome.attempt) == (1, 3, 6)
    problems = {one.way: one.problem for one in report.items}
    assert problems["a.wav"] == "always busy"
    assert problems["c.flac"] == "ZeroDivisionError: a bug"
    assert any("c.flac cannot be transcribed" in line for line in outcome.log)


def test_cancelled_it_ends(hop: Hop, shelf: Path) -> None:
    hop.inject(CancelAfter(progress=2))
    assert batch(hop).state == "cancelled"


def test_what_is_kept_is_listed_and_goes_in_time(hop: Hop, shelf: Path, out: Path) -> None:
    batch(hop)
    found = hop.run("media.list_recordings").result()
    assert {one.way: one.transcribed for one in found} == {
        "a.wav": True,
        "b.mp4": False,
        "c.flac": True,
        "below/d.mp3": True,
    }
    assert hop.run("media.list_recordings", root="out").result() == []
    known = hop.run("media.show_recording", root="in", way="a.wav").result()
    assert known.transcript.duration == 1
    outcome: Any = hop.run("media.show_recording", root="in", way="x.wav")
    assert "nothing is known of x.wav" in outcome.error["message"]
    (out / ".media-0123-abcd.part").write_bytes(b"half")
    import os

    os.utime(out / ".media-0123-abcd.part", (0, 0))
    shutil.copy(shelf / "notes.txt", out / ".media-0123-abce.part")
    kept = hop.run("media.forget_old_results").result()
    assert (kept.results, kept.recordings, kept.batches, kept.files) == (0, 0, 0, 1)
    gone = hop.run("media.forget_old_results", days=0).result()
    assert (gone.recordings, gone.batches, gone.files) == (4, 4, 0)
    assert gone.results == 6
    assert (out / ".media-0123-abce.part").exists(), "a job may still write it"
